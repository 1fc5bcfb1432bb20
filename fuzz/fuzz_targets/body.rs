#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gatepost::fuzz::body(data));
