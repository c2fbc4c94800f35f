#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harvest::fuzzing::json_query(bytes));
