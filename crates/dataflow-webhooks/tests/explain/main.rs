//! `explain`: each mistake is found and named, nothing is given away.

mod body;
mod header;
mod secret;
mod words;

use dataflow_webhooks::{Explanation, Finding, KeyRing, Secret, Verifier, sign};
use jiff::Timestamp;

const KEY: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";
const OLD_KEY: &str = "whsec_an_older_one_1234567890";
const NOW: i64 = 1_706_096_400;

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// Two keys: `current` and `previous`.
fn verifier() -> Verifier {
    let keys = KeyRing::from_secrets([secret(KEY), secret(OLD_KEY)]).unwrap();
    Verifier::new(keys).clock(|| at(NOW))
}

fn signed_now(body: &[u8]) -> String {
    sign(&secret(KEY), at(NOW), body)
}

fn explain(header: &str, body: &[u8]) -> Explanation {
    verifier().explain([header], body)
}

/// The kinds of what was found, in order.
fn kinds(explanation: &Explanation) -> Vec<&'static str> {
    explanation.findings().iter().map(Finding::as_str).collect()
}

/// The hex HMAC-SHA256 of some bytes under a key of any bytes.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A header over `t.body`, signed with a key of any bytes.
fn header_of(key: &[u8], t: &str, body: &[u8]) -> String {
    format!("t={t},v1={}", hex(&mac(key, &[t.as_bytes(), b".", body])))
}
