//! (essay)
