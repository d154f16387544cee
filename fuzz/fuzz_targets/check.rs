//! A request, against a plain second implementation: both accept or both refuse.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| webhook_fuzz_targets::check(data));
