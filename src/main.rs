//! The `gemini` program.
fn main() {}
