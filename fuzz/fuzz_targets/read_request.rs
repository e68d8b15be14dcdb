#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::fuzz_read_request(data));
