//! A request whose body comes in chunks, against the same in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| webhook_fuzz_targets::chunks(data));
