//! The grammar of `X-DataFlow-Signature` ("Signature Header"), and the making
//! of such a value.
//!
//! `t=<unix seconds>,v1=<64 hex digits>`: elements split at `,`, optional white
//! space around an element dropped, names case-sensitive, unknown names, empty
//! elements and bare words ignored. Exactly one `t` of 1 to 12 ASCII digits; at
//! most [`MAX_CANDIDATES`] `v1`, each of which either is 64 hex digits of either
//! case or simply never matches; at most [`MAX_HEADER_BYTES`] in all.

use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::hex::push_hex;
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
        let digits = &head[2..12];
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

/// 64 hex digits of either case, eight at a time: a byte at a time would take
/// longer than hashing a block of the body does.
pub(crate) fn decode(hex: &[u8; 64]) -> Option<Digest> {
    let mut digest = [0; 32];
    let mut all_digits = EACH_HIGH_BIT;
    for (four, eight) in digest.as_chunks_mut::<4>().0.iter_mut().zip(hex.as_chunks::<8>().0) {
        let (bytes, are_digits) = decode_eight(u64::from_le_bytes(*eight));
        *four = bytes.to_le_bytes();
        all_digits &= are_digits;
    }
    (all_digits == EACH_HIGH_BIT).then_some(digest)
}

const EACH: u64 = 0x0101_0101_0101_0101;
const EACH_HIGH_BIT: u64 = 0x80 * EACH;

/// The four bytes that eight hex digits spell, and in the high bit of each digit
/// whether it is one. In both words the first byte is the lowest.
const fn decode_eight(digits: u64) -> (u32, u64) {
    // Without its high bit, a byte plus 0x80 - n has the high bit if it is n or more, and nothing
    // is carried into the next one.
    let low = digits & !EACH_HIGH_BIT;
    let folded = low | (0x20 * EACH);
    let at_least_0 = low + (0x80 - b'0' as u64) * EACH;
    let above_9 = low + (0x7f - b'9' as u64) * EACH;
    let at_least_a = folded + (0x80 - b'a' as u64) * EACH;
    let above_f = folded + (0x7f - b'f' as u64) * EACH;
    let is_digit = ((at_least_0 & !above_9) | (at_least_a & !above_f)) & !digits & EACH_HIGH_BIT;

    // Letters, in either case, have the bit 0x40 and end in 1 to 6.
    let is_letter = (low >> 6) & EACH;
    let nibbles = (low & (0x0f * EACH)) + 9 * is_letter;
    // Pairs of nibbles in every other byte, then those bytes side by side.
    let pairs = ((nibbles << 4) | (nibbles >> 8)) & 0x00ff_00ff_00ff_00ff;
    let pairs = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    ((pairs | (pairs >> 16)) as u32, is_digit)
}

/// Whether two MACs are the same, in constant time: one compare of 64 bits after
/// all 256 have been folded into them (`subtle`'s compare of slices does the
/// same byte by byte, at ten times the cost).
pub(crate) fn equal(a: &Digest, b: &Digest) -> bool {
    let mut difference = 0;
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        difference |= u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b);
    }
    difference.ct_eq(&0).into()
}

/// The MAC of one body, in one piece or in several, under one key: of `t` as
/// received, a full stop, and the body.
pub(crate) fn mac<'a>(
    key: &Hmac<Sha256>,
    digits: &[u8],
    body: impl IntoIterator<Item = &'a [u8]>,
) -> Digest {
    let mut mac = key.clone();
    begin(&mut mac, digits);
    for piece in body {
        mac.update(piece);
    }
    // `finalize` would move the state twice more.
    let mut digest = Digest::default();
    hmac::digest::FixedOutput::finalize_into(mac, (&mut digest).into());
    digest
}

/// Puts before the body what is signed with it.
pub(crate) fn begin(mac: &mut Hmac<Sha256>, digits: &[u8]) {
    mac.update(digits);
    mac.update(b".");
}

/// The digits of `t`, kept for as long as a body takes to arrive.
#[derive(Clone, Copy)]
pub(crate) struct Digits {
    bytes: [u8; MAX_DIGITS],
    len: usize,
}

impl Digits {
    /// `digits` is at most [`MAX_DIGITS`] long; what is beyond is cut.
    pub(crate) fn new(digits: &[u8]) -> Self {
        let len = digits.len().min(MAX_DIGITS);
        let mut bytes = [0; MAX_DIGITS];
        bytes[..len].copy_from_slice(&digits[..len]);
        Self { bytes, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// They are digits: nothing else gets past the grammar.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// What [`Verifier::check`](crate::Verifier::check) found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    pub(crate) signed_at: Timestamp,
    pub(crate) key: Arc<str>,
    /// Was the newest key of the ring the one that matched?
    pub(crate) by_newest: bool,
}

impl VerifiedSignature {
    /// The time in the signature, in whole seconds.
    #[must_use]
    pub const fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    /// The label of the key that matched.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
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
    let digest = mac(&mac_of(secret), digits, [body]);
    push_hex(&mut value, &digest);
    value
}
