#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cluster::fuzz_meta(data));
