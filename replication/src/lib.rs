//! (essay)

pub mod quic;
