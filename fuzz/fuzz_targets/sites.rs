//! sites.toml. See `gemini_tests::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gemini_tests::fuzz::fuzz_sites(bytes));
