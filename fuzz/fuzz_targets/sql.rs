//! SQL text through the planner. See `gemini_tests::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gemini_fuzz::deep(bytes, gemini_tests::fuzz::fuzz_sql));
