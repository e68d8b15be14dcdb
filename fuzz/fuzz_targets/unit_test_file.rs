#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ruler::unit_test::fuzz_unit_test_file(data));
