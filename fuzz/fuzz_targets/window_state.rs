#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| promql::fuzz_window_state(data));
