//! Any bytes as the body of an event.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| webhook_fuzz_targets::event(data));
