//! Drives the target `ndjson_rows`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::ndjson_rows(data));
