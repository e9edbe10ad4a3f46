//! Order-preserving encoding of keys.
