//! The grammar of `X-DataFlow-Signature` ("Signature Header"), and the making
//! of such a value.
//!
//! `t=<unix seconds>,v1=<64 hex digits>`: elements split at `,`, optional white
//! space around an element dropped, names case-sensitive, unknown names, empty
//! elements and bare words ignored. Exactly one `t` of 1 to 12 ASCII digits; at
//! most [`MAX_CANDIDATES`] `v1`, each of which either is 64 hex digits of either
//! case or simply never matches; at most [`MAX_HEADER_BYTES`] in all.

use std::fmt::Write as _;

use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::keyring::mac_of;
use crate::secret::Secret;

/// The name of the header, in the lower case that HTTP libraries compare in.
pub const SIGNATURE_HEADER: &str = "x-dataflow-signature";

/// The longest header value that is read, in bytes.
pub const MAX_HEADER_BYTES: usize = 4096;

/// The most `v1` elements that are compared.
pub const MAX_CANDIDATES: usize = 16;

/// The most digits of `t`: enough until the year 33 658.
pub(crate) const MAX_DIGITS: usize = 12;

/// What a `v1` element holds, decoded.
pub(crate) type Digest = [u8; 32];

/// One header value that keeps to the grammar.
pub(crate) struct SignatureHeader<'a> {
    /// The digits of `t` as received: they are what was signed.
    pub(crate) digits: &'a [u8],
    /// Seconds since the Unix epoch.
    pub(crate) signed_at: i64,
    line: &'a [u8],
    /// The only candidate, where the value has the platform's own layout.
    fixed: Option<Digest>,
}

impl<'a> SignatureHeader<'a> {
    /// Reads one header value, or says in words what is wrong with it.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, &'static str> {
        match Self::parse_fixed_layout(line) {
            Some(header) => Ok(header),
            None => Self::parse_any(line),
        }
    }

    /// The layout that the platform sends: `t=`, 10 digits, `,v1=`, 64 hex.
    /// Anything else is left to [`parse_any`](Self::parse_any), which reads this
    /// layout to the same result, only slower.
    fn parse_fixed_layout(line: &'a [u8]) -> Option<Self> {
        let (head, hex) = line.split_first_chunk::<16>()?;
        if !head.starts_with(b"t=") || !head.ends_with(b",v1=") {
            return None;
        }
        let fixed = Some(decode(hex.try_into().ok()?)?);
        let digits = &line[2..12];
        let signed_at = seconds(digits)?;
        Some(Self { digits, signed_at, line, fixed })
    }

    fn parse_any(line: &'a [u8]) -> Result<Self, &'static str> {
        if line.len() > MAX_HEADER_BYTES {
            return Err("it is longer than 4096 bytes");
        }
        let mut digits = None;
        let mut candidates = 0;
        for (name, value) in elements(line) {
            match name {
                b"t" if digits.is_some() => return Err("it has two t elements"),
                b"t" => digits = Some(value),
                b"v1" if candidates == MAX_CANDIDATES => {
                    return Err("it has more than 16 v1 elements");
                }
                b"v1" => candidates += 1,
                _ => {}
            }
        }
        let digits = digits.ok_or("it has no t element")?;
        let signed_at = seconds(digits).ok_or("its t is not 1 to 12 digits")?;
        Ok(Self { digits, signed_at, line, fixed: None })
    }

    pub(crate) fn line(&self) -> &'a [u8] {
        self.line
    }

    /// The `v1` elements that are 64 hex digits; the others cannot match.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = Digest> {
        let line = if self.fixed.is_some() { &[] } else { self.line };
        let decoded = v1_values(line).filter_map(|v| decode(v.try_into().ok()?));
        self.fixed.into_iter().chain(decoded)
    }
}

/// The values of all `v1` elements, well-formed or not.
pub(crate) fn v1_values(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    elements(line).filter(|(name, _)| *name == b"v1").map(|(_, value)| value)
}

/// The `name=value` elements of a header value; empty elements and bare words
/// are passed over.
pub(crate) fn elements(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|&b| b == b',').filter_map(|element| {
        let element = trim_ows(element);
        let equals = element.iter().position(|&b| b == b'=')?;
        Some((&element[..equals], &element[equals + 1..]))
    })
}

/// Without optional white space at either end (RFC 9110, section 5.6.3: SP and
/// HTAB, nothing else).
fn trim_ows(mut element: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = element {
        element = rest;
    }
    element
}

fn seconds(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return None;
    }
    digits.iter().try_fold(0_i64, |seconds, digit| {
        // Twelve digits stay far below i64::MAX.
        digit.is_ascii_digit().then(|| seconds * 10 + i64::from(digit - b'0'))
    })
}

/// 64 hex digits of either case. Written without branches in the loop, so that
/// the compiler can use vector instructions.
pub(crate) fn decode(hex: &[u8; 64]) -> Option<Digest> {
    let mut nibbles = [0_u8; 64];
    let mut bad = 0_u8;
    for (nibble, &byte) in nibbles.iter_mut().zip(hex) {
        let digit = byte.wrapping_sub(b'0');
        let letter = (byte | 0x20).wrapping_sub(b'a');
        let is_digit = 0_u8.wrapping_sub(u8::from(digit < 10));
        let is_letter = 0_u8.wrapping_sub(u8::from(letter < 6));
        *nibble = (digit & is_digit) | (letter.wrapping_add(10) & is_letter);
        bad |= !(is_digit | is_letter);
    }
    if bad != 0 {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(nibbles.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(bytes)
}

/// Whether two MACs are the same, in constant time: one compare of 64 bits after
/// all 256 have been folded into them (`subtle`'s compare of slices does the
/// same byte by byte, at ten times the cost).
pub(crate) fn equal(a: &Digest, b: &Digest) -> bool {
    let mut difference = 0_u64;
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let mut folded = [0_u8; 8];
        for (folded, (a, b)) in folded.iter_mut().zip(a.iter().zip(b)) {
            *folded = a ^ b;
        }
        difference |= u64::from_ne_bytes(folded);
    }
    difference.ct_eq(&0).into()
}

/// The bytes that stand before the body in what is signed: `t` as received,
/// then a full stop.
#[derive(Clone, Copy)]
pub(crate) struct Prefix {
    bytes: [u8; MAX_DIGITS + 1],
    len: u8,
}

impl Prefix {
    /// `digits` is at most [`MAX_DIGITS`] long; what is beyond is cut.
    pub(crate) fn new(digits: &[u8]) -> Self {
        let mut bytes = [b'.'; MAX_DIGITS + 1];
        let mut len = 0;
        for (slot, digit) in bytes[..MAX_DIGITS].iter_mut().zip(digits) {
            *slot = *digit;
            len += 1;
        }
        Self { bytes, len: len + 1 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// `t` alone. It is digits: nothing else gets past the grammar.
    pub(crate) fn digits(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len) - 1]).unwrap_or_default()
    }
}

/// The MAC of one body, in one piece or in several, under one key.
pub(crate) fn mac<'a>(
    key: &Hmac<Sha256>,
    prefix: &Prefix,
    body: impl IntoIterator<Item = &'a [u8]>,
) -> Digest {
    let mut mac = key.clone();
    mac.update(prefix.as_bytes());
    body.into_iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().into()
}

/// The header value for a body, as the platform makes it: `t=…,v1=…`.
///
/// For tests and for tools that send deliveries of their own. `at` counts in
/// whole seconds; times before 1970 are signed as 0.
///
/// ```
/// use dataflow_webhooks::{Secret, sign};
/// use jiff::Timestamp;
///
/// let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?;
/// let value = sign(&secret, Timestamp::from_second(1_706_096_400)?, b"{}");
/// assert!(value.starts_with("t=1706096400,v1="));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn sign(secret: &Secret, at: Timestamp, body: &[u8]) -> String {
    let mut value = format!("t={},v1=", at.as_second().max(0));
    let digits = &value.as_bytes()[2..value.len() - 4];
    let digest = mac(&mac_of(secret), &Prefix::new(digits), [body]);
    push_hex(&mut value, &digest);
    value
}

/// Appends bytes as lower-case hex.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}
