#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ruler::template::fuzz_template(data));
