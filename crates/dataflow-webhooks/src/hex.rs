//! Bytes as lower-case hex.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Appends bytes as lower-case hex.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

/// `sha256:` and the 64 hex digits of the bytes' SHA-256: what stands for an id
/// that cannot stand for itself.
pub(crate) fn sha256_name(bytes: &[u8]) -> String {
    let mut name = String::with_capacity("sha256:".len() + 64);
    name.push_str("sha256:");
    push_hex(&mut name, &Sha256::digest(bytes));
    name
}
