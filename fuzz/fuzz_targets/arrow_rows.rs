//! Drives the target `arrow_rows`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::arrow_rows(data));
