//! Tests of the whole: a simulator of clusters, its checkers, clients, and what fuzzers call.

pub mod check;
pub mod cluster;
pub mod fuzz;
pub mod history;
pub mod random;
pub mod simulate;
pub mod world;
