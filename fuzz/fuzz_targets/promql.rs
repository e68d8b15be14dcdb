#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| promql::parse::fuzz_parse(data));
