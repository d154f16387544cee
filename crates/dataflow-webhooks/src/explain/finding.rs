//! One thing that was found, and its words.

use std::fmt;

use super::change::BodyChange;
use super::secrets::SecretForm;

/// One thing that [`Verifier::explain`](crate::Verifier::explain) found.
///
/// `Display` is a few sentences for an operator, without anything of a secret, a
/// MAC or the body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The signature is right, as received, under this key.
    SignedBy {
        /// The key's label.
        key: String,
        /// Is it the newest key of the ring?
        newest: bool,
    },
    /// There is no signature header.
    HeaderMissing,
    /// There are several signature header lines.
    HeaderRepeated {
        /// How many; 16 stands for 16 or more.
        lines: usize,
        /// Do all of them hold the same?
        same: bool,
    },
    /// The header does not keep to its grammar.
    HeaderMalformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The header has no `v1`.
    NoV1 {
        /// It has a `V1`, and names are case-sensitive.
        in_upper_case: bool,
    },
    /// A `v1` is not 64 characters long.
    V1Length {
        /// How long it is.
        characters: usize,
    },
    /// A `v1` of 64 characters has others than hex digits.
    V1NotHex,
    /// A `v1` would be right, were it written in hex instead of base64.
    V1Base64 {
        /// The label of the key it is right under.
        key: String,
    },
    /// `t` looks like another unit than seconds.
    WrongUnit {
        /// The unit it looks like.
        unit: TimestampUnit,
    },
    /// `t` lies outside the tolerance.
    ClockOff {
        /// How long ago it is, in seconds; negative in the future.
        age_seconds: i64,
        /// How far it may be off in that direction, in seconds.
        allowed_seconds: u64,
    },
    /// The signature is right for the body alone, without `t.` before it.
    WithoutTimestamp {
        /// The label of the key it is right under.
        key: String,
    },
    /// The signature is right under another spelling of a secret.
    OtherSecret {
        /// The label of the key whose secret it is.
        key: String,
        /// The spelling.
        form: SecretForm,
    },
    /// The signature is right for another form of the body.
    OtherBody {
        /// The label of the key it is right under.
        key: String,
        /// What makes the signed body out of the received one, in order.
        changes: Vec<BodyChange>,
    },
    /// The body is empty, as after something else has read it.
    BodyEmpty,
    /// The body's members stand in alphabetical order, which is not the
    /// platform's own: parsed JSON, written again.
    BodySorted,
    /// The body holds U+FFFD, which stands where bytes were no UTF-8.
    BodyWasDecoded,
    /// Not everything was tried: the body is large and the keys are many.
    SearchCutShort,
    /// The body is longer than what is taken apart.
    BodyTooLong {
        /// How long it is, in bytes.
        bytes: usize,
        /// How long it may be, in bytes.
        most: usize,
    },
    /// Nothing that was tried gives the signature: another secret, a changed
    /// body, or a forgery.
    NothingFits {
        /// How many keys were tried.
        keys: usize,
    },
}

/// A unit that a timestamp was written in instead of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimestampUnit {
    /// 13 digits.
    Milliseconds,
    /// 16 digits.
    Microseconds,
    /// 19 digits.
    Nanoseconds,
}

impl TimestampUnit {
    pub(super) const fn per_second(self) -> i64 {
        match self {
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }
}

impl fmt::Display for TimestampUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        })
    }
}

impl Finding {
    /// The name of its kind, in `snake_case`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::SignedBy { .. } => "signed_by",
            Self::HeaderMissing => "header_missing",
            Self::HeaderRepeated { .. } => "header_repeated",
            Self::HeaderMalformed { .. } => "header_malformed",
            Self::NoV1 { .. } => "no_v1",
            Self::V1Length { .. } => "v1_length",
            Self::V1NotHex => "v1_not_hex",
            Self::V1Base64 { .. } => "v1_base64",
            Self::WrongUnit { .. } => "wrong_unit",
            Self::ClockOff { .. } => "clock_off",
            Self::WithoutTimestamp { .. } => "without_timestamp",
            Self::OtherSecret { .. } => "other_secret",
            Self::OtherBody { .. } => "other_body",
            Self::BodyEmpty => "body_empty",
            Self::BodySorted => "body_sorted",
            Self::BodyWasDecoded => "body_was_decoded",
            Self::SearchCutShort => "search_cut_short",
            Self::BodyTooLong { .. } => "body_too_long",
            Self::NothingFits { .. } => "nothing_fits",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignedBy { key, newest: true } => write!(
                f,
                "The signature itself is right: these bytes were signed by key \"{key}\", the \
                 newest one."
            ),
            Self::SignedBy { key, newest: false } => write!(
                f,
                "The signature itself is right: these bytes were signed by key \"{key}\". That \
                 is not the newest key: does the sender still use the old secret?"
            ),
            Self::HeaderMissing => f.write_str(
                "There is no X-DataFlow-Signature header. Either a proxy or framework drops it, \
                 or the request is not from DataFlow Platform.",
            ),
            Self::HeaderRepeated { lines, same } => write!(
                f,
                "There are {lines} X-DataFlow-Signature header lines, and one is allowed. {}",
                match same {
                    true => "All are the same: does a proxy add the header again?",
                    false => "They differ: does a proxy or a test client add one of its own?",
                }
            ),
            Self::HeaderMalformed { reason } => write!(
                f,
                "The header does not have the form t=<unix seconds>,v1=<64 hex digits>: {reason}."
            ),
            Self::NoV1 { in_upper_case: true } => f.write_str(
                "The header has no v1, only a V1, and element names are case-sensitive.",
            ),
            Self::NoV1 { in_upper_case: false } => {
                f.write_str("The header has no v1: there is no signature in it.")
            }
            Self::V1Length { characters } => write!(
                f,
                "A v1 is {characters} characters long, and a signature is 64 hex digits. {}",
                match characters {
                    43 | 44 => "Is it base64?",
                    n if *n < 64 => "Is it cut off?",
                    _ => "Is something else in it?",
                }
            ),
            Self::V1NotHex => f.write_str("A v1 has 64 characters, but not all are hex digits."),
            Self::V1Base64 { key } => write!(
                f,
                "The v1 is the right signature (key \"{key}\"), but in base64, and it must be in \
                 hex. The sender has to write it as 64 hex digits."
            ),
            Self::WrongUnit { unit } => {
                write!(f, "The t looks like {unit}, and it must be whole seconds since 1970.")
            }
            Self::ClockOff { age_seconds, allowed_seconds } => {
                let (seconds, ago) = (age_seconds.unsigned_abs(), *age_seconds >= 0);
                write!(f, "The t is {seconds} s ")?;
                f.write_str(if ago { "ago" } else { "in the future" })?;
                write!(f, ", and {allowed_seconds} s are allowed. ")?;
                if let Some(hours) = hours(seconds) {
                    return write!(
                        f,
                        "That is about {hours} h: does one of the two take local time for UTC?"
                    );
                }
                f.write_str(match ago {
                    true => "It was replayed or held back on the way, or this clock is ahead.",
                    false => "This machine's clock is behind, or the sender's is ahead.",
                })
            }
            Self::WithoutTimestamp { key } => write!(
                f,
                "The signature is right (key \"{key}\") for the body alone. What must be signed \
                 is t, a full stop and then the body."
            ),
            Self::OtherSecret { key, form } => write!(
                f,
                "The signature is right for the secret of key \"{key}\" {form}. {}",
                form.advice()
            ),
            Self::OtherBody { key, changes } => {
                write!(f, "The signature is right (key \"{key}\") for another form of the body: ")?;
                for (index, change) in changes.iter().enumerate() {
                    write!(f, "{}{change}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(
                    ". So the body was changed after it was signed. Verify the raw bytes, before \
                     anything parses, decodes or trims them.",
                )
            }
            Self::BodyEmpty => f.write_str("The body is empty. Has something else read it before?"),
            Self::BodySorted => f.write_str(
                "The body's members are in alphabetical order, and the platform writes them in \
                 another. It seems to be parsed JSON, written again.",
            ),
            Self::BodyWasDecoded => f.write_str(
                "The body holds U+FFFD, which stands for bytes that are no UTF-8. It seems to \
                 have been decoded to text on the way.",
            ),
            Self::SearchCutShort => f.write_str(
                "Not every possibility was tried, since the body is large or the keys are many.",
            ),
            Self::BodyTooLong { bytes, most } => write!(
                f,
                "The body has {bytes} bytes. Other forms of it are tried only up to {most}."
            ),
            Self::NothingFits { keys } => write!(
                f,
                "No likely mistake explains the signature ({keys} {} tried). Check, in this order:\n\
                 1. The secret. Is it the one that the platform shows now for this very webhook? \
                 Each webhook has its own, and a new one replaces it.\n\
                 2. The body. Are these the raw bytes, and does no proxy change them? A number or \
                 a blank is enough.\n\
                 3. The sender. Anyone can send to a public URL.",
                if *keys == 1 { "key was" } else { "keys were" }
            ),
        }
    }
}

/// The distance as hours, if it looks like one between time zones: within five
/// minutes of a half-hour step, up to 14 h.
fn hours(seconds: u64) -> Option<f64> {
    let steps = (seconds + 300) / 1800;
    let is_near = (1..=28).contains(&steps) && seconds.abs_diff(steps * 1800) <= 300;
    is_near.then(|| steps as f64 / 2.0)
}
