#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proto::remote_write::fuzz_remote_write(data));
