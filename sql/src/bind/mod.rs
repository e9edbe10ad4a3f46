//! Binding: names to slots, expressions to types.
