//! bad data
