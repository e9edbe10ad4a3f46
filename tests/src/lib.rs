//! Tests of the whole: a simulator of clusters, its checkers, and clients.

pub mod check;
pub mod cluster;
pub mod history;
pub mod random;
pub mod simulate;
pub mod world;
