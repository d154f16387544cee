//! Why a signature does not match, for people.

use std::fmt;

use jiff::Timestamp;

use crate::verify::Verifier;

/// What [`Endpoint::explain`](crate::Endpoint::explain) found.
#[derive(Debug, Clone)]
pub struct Explanation {
    text: String,
}

pub(crate) fn explain(
    _verifier: &Verifier,
    _header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
    _body: &[u8],
    _now: Timestamp,
) -> Explanation {
    Explanation { text: String::new() }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
