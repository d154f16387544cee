//! Any bytes as the signature header line, against a plain parser.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| webhook_fuzz_targets::header(data));
