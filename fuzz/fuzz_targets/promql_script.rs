#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| promql::test_script::fuzz_script(data));
