//! Other spellings of a secret that a sender may have signed with: the mistakes
//! made when secrets are pasted, and what other platforms do with theirs.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// How a secret would have to be written for the signature to be right under
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretForm {
    /// Without the quotes that stand around it here.
    WithoutQuotes,
    /// With quotes (`"` or `'`) around it.
    InQuotes,
    /// Without the invisible characters that stand around it here: a byte order
    /// mark, a zero-width space.
    WithoutInvisible,
    /// With a line break (LF or CR LF) after it.
    WithLineBreak,
    /// With a space before or after it.
    WithSpace,
    /// With `whsec_` before it.
    WithPrefix,
    /// Without the `whsec_` that it begins with here.
    WithoutPrefix,
    /// Decoded from base64, of what follows `whsec_`, as other platforms do.
    Base64Decoded,
}

impl fmt::Display for SecretForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WithoutQuotes => "without the quotes around it",
            Self::InQuotes => "with quotes around it",
            Self::WithoutInvisible => {
                "without the invisible characters around it (a byte order mark, say)"
            }
            Self::WithLineBreak => "with a line break after it",
            Self::WithSpace => "with a space before or after it",
            Self::WithPrefix => "with whsec_ before it",
            Self::WithoutPrefix => "without its whsec_",
            Self::Base64Decoded => "decoded from base64",
        })
    }
}

impl SecretForm {
    /// What to do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::WithoutQuotes | Self::WithoutInvisible => "Paste the secret again without them.",
            Self::WithPrefix => {
                "It was lost on the way here: paste the whole secret, its prefix included."
            }
            Self::InQuotes | Self::WithLineBreak | Self::WithSpace | Self::WithoutPrefix => {
                "The sender signs with another spelling than the one held here: have the whole \
                 secret, and nothing else, put in there."
            }
            Self::Base64Decoded => {
                "Some other platforms do that; DataFlow Platform signs with the whole secret as \
                 it is written. Have the sender do the same."
            }
        }
    }
}

const PREFIX: &str = "whsec_";

/// Both alphabets, padded or not, with left-over bits let go: as Node.js and
/// Python decode.
pub(super) const LENIENT_BASE64: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT),
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT),
];

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// The HMAC states of the other spellings, likely ones first.
pub(super) fn forms(secret: &Secret) -> impl Iterator<Item = (SecretForm, Hmac<Sha256>)> {
    use SecretForm as F;
    let secret = secret.secret_str();
    let mut forms: Vec<(SecretForm, Zeroizing<Vec<u8>>)> = Vec::new();
    let mut add = |form, parts: &[&str]| {
        forms.push((form, Zeroizing::new(parts.concat().into_bytes())));
    };

    let visible = secret.trim_matches(['\u{feff}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}']);
    if visible != secret {
        add(F::WithoutInvisible, &[visible]);
    }
    for quote in ["\"", "'"] {
        let start = secret.strip_prefix(quote);
        // Also a quote on one side only: the other one went missing.
        let inner = start.unwrap_or(secret);
        let inner = inner.strip_suffix(quote).unwrap_or(inner);
        if inner != secret {
            add(F::WithoutQuotes, &[inner]);
        }
    }
    let bare = secret.strip_prefix(PREFIX);
    match bare {
        Some(bare) => add(F::WithoutPrefix, &[bare]),
        None => add(F::WithPrefix, &[PREFIX, secret]),
    }
    for line_break in ["\n", "\r\n"] {
        add(F::WithLineBreak, &[secret, line_break]);
    }
    add(F::WithSpace, &[secret, " "]);
    add(F::WithSpace, &[" ", secret]);
    for quote in ["\"", "'"] {
        add(F::InQuotes, &[quote, secret, quote]);
    }
    for base64 in &LENIENT_BASE64 {
        if let Ok(key) = base64.decode(bare.unwrap_or(secret)) {
            forms.push((F::Base64Decoded, Zeroizing::new(key)));
        }
    }
    forms.into_iter().filter_map(|(form, key)| Some((form, Hmac::new_from_slice(&key).ok()?)))
}
