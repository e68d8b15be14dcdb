#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flight::fuzz_fragment_answer(data));
