//! Drives the target `bundle_archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::bundle_archive(data));
