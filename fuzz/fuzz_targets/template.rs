#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gatepost::fuzz::template(data));
