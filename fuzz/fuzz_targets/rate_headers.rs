#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harvest::fuzzing::rate_headers(bytes));
