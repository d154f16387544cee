//! A second implementation of verification, as plain as can be: it copies, allocates, takes its
//! time, and shares no code with the first.

use sha2::{Digest as _, Sha256};

/// What came of a verification; the refusals in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// There is no header line.
    Missing,
    /// There are two or more.
    Repeated,
    /// The header line does not keep to its grammar.
    Malformed,
    /// The timestamp is older than it may be.
    TooOld,
    /// The timestamp is further in the future than it may be.
    TooNew,
    /// No key matches.
    NoMatch,
    /// The key of this number matches, counted from the newest, which is 0.
    By(usize),
}

/// Seconds: the present, and how far a timestamp may lie from it.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "a test's input, not an API")]
pub struct Clock {
    /// The present, since the Unix epoch.
    pub now: i64,
    /// How old a timestamp may be.
    pub past: u32,
    /// How far in the future it may lie.
    pub future: u32,
}

/// Verifies as the documentation tells it.
pub fn verify(secrets: &[&str], clock: Clock, lines: &[Vec<u8>], body: &[u8]) -> Verdict {
    let line = match lines {
        [] => return Verdict::Missing,
        [line] => line,
        _ => return Verdict::Repeated,
    };
    let Some((digits, values)) = parse(line) else {
        return Verdict::Malformed;
    };
    let age = i128::from(clock.now) - digits.parse::<i128>().expect("they are digits");
    if age > i128::from(clock.past) {
        return Verdict::TooOld;
    }
    if -age > i128::from(clock.future) {
        return Verdict::TooNew;
    }
    for (number, secret) in secrets.iter().enumerate() {
        let good = sign(secret, digits.as_bytes(), body);
        if values.iter().any(|value| value.to_ascii_lowercase() == good.as_bytes()) {
            return Verdict::By(number);
        }
    }
    Verdict::NoMatch
}

/// The one `t` and all `v1` of a header line that keeps to the grammar.
fn parse(line: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
    if line.len() > 4096 {
        return None;
    }
    let (times, values) = (named(line, b"t"), named(line, b"v1"));
    let [time] = &times[..] else {
        return None;
    };
    let is_time = (1..=12).contains(&time.len()) && time.iter().all(u8::is_ascii_digit);
    if !is_time || values.len() > 16 {
        return None;
    }
    Some((String::from_utf8(time.clone()).expect("they are digits"), values))
}

/// The values of all elements of this name.
pub fn named(line: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for element in line.split(|byte| *byte == b',') {
        let mut element = element.to_vec();
        while matches!(element.first(), Some(b' ' | b'\t')) {
            element.remove(0);
        }
        while matches!(element.last(), Some(b' ' | b'\t')) {
            element.pop();
        }
        if let Some(value) = element.strip_prefix(&[name, b"="].concat()[..]) {
            values.push(value.to_vec());
        }
    }
    values
}

/// The 64 hex digits for a body: HMAC-SHA256 as RFC 2104, section 2, writes it down.
pub fn sign(secret: &str, digits: &[u8], body: &[u8]) -> String {
    let mut key = secret.as_bytes().to_vec();
    if key.len() > 64 {
        key = Sha256::digest(&key).to_vec();
    }
    key.resize(64, 0);
    let masked = |mask: u8| key.iter().map(|byte| byte ^ mask).collect::<Vec<_>>();
    let inner = Sha256::digest([&masked(0x36), digits, b".", body].concat());
    let outer = Sha256::digest([&masked(0x5c), &inner[..]].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}
