#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ruler::fuzz_rule_file(data));
