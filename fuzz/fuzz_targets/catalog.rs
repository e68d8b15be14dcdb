#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| block::fuzz_catalog(data));
