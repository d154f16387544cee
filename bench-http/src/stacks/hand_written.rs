//! The hand-written receiver, without the framework around it.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::SECRET;

/// The platform's sample ("Verification Example", "Example Implementation"),
/// with what its documentation asks for beside it: the raw body, a compare in
/// constant time, and the five minutes. Returns the status to answer with.
pub(super) fn receive(signature: Option<&str>, body: &[u8]) -> u16 {
    if !signature.is_some_and(|signature| verify_signature(body, signature)) {
        return 401;
    }
    let Ok(event) = serde_json::from_slice::<serde_json::Value>(body) else {
        return 500;
    };
    match event["type"].as_str() {
        Some("pipeline.run.completed") => drop(std::hint::black_box(event)),
        other => println!("Unhandled event type: {other:?}"),
    }
    200
}

fn verify_signature(payload: &[u8], signature: &str) -> bool {
    let mut parts = signature.split(',').filter_map(|part| part.split_once('='));
    let (Some(("t", timestamp)), Some(("v1", hash))) = (parts.next(), parts.next()) else {
        return false;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if !timestamp.parse::<u64>().is_ok_and(|timestamp| now.abs_diff(timestamp) <= 300) {
        return false;
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else {
        return false;
    };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(payload);
    let Some(hash) = from_hex(hash) else {
        return false;
    };
    mac.verify_slice(&hash).is_ok()
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let high = char::from(digits[0]).to_digit(16)?;
        let low = char::from(digits[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}
