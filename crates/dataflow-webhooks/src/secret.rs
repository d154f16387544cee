//! One signing secret: validated once, never printed, wiped when dropped.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A signing secret, exactly as the platform shows it (`whsec_…`).
///
/// The whole string is the HMAC key, the `whsec_` prefix included. `Debug`
/// prints `Secret([elided])`, and there is no `Display`.
///
/// The memory is wiped when the last copy inside this crate is dropped. That
/// is best effort: it does not reach the environment the secret was read from,
/// swap, core dumps, or copies made before the secret came here.
///
/// ```
/// use dataflow_webhooks::Secret;
///
/// let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?;
/// assert_eq!(format!("{secret:?}"), "Secret([elided])");
/// # Ok::<(), dataflow_webhooks::SecretError>(())
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The shortest secret accepted, in bytes.
    pub const MIN_BYTES: usize = 16;

    /// Takes a secret as the platform shows it.
    ///
    /// # Errors
    ///
    /// Refuses what can only be a mistake: an empty secret, one shorter than
    /// [`MIN_BYTES`](Self::MIN_BYTES), and one with white space, a control
    /// character or a comma in it. The error never holds the secret.
    pub fn new(secret: impl Into<String>) -> Result<Self, SecretError> {
        let secret = Zeroizing::new(secret.into());
        let flaw = if secret.is_empty() {
            Some(Flaw::Empty)
        } else if let Some(at) = secret.find(char::is_whitespace) {
            Some(Flaw::WhiteSpace(at))
        } else if let Some(at) = secret.find(char::is_control) {
            Some(Flaw::Control(at))
        } else if let Some(at) = secret.find(',') {
            Some(Flaw::Comma(at))
        } else if secret.len() < Self::MIN_BYTES {
            Some(Flaw::TooShort(secret.len()))
        } else {
            None
        };
        match flaw {
            None => Ok(Self(secret)),
            Some(flaw) => Err(SecretError(flaw)),
        }
    }

    /// The secret itself. Whoever holds it can sign deliveries.
    #[must_use]
    pub fn secret_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([elided])")
    }
}

impl PartialEq for Secret {
    /// Constant-time for secrets of one length.
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl TryFrom<&str> for Secret {
    type Error = SecretError;

    fn try_from(secret: &str) -> Result<Self, SecretError> {
        Self::new(secret)
    }
}

impl TryFrom<String> for Secret {
    type Error = SecretError;

    fn try_from(secret: String) -> Result<Self, SecretError> {
        Self::new(secret)
    }
}

impl std::str::FromStr for Secret {
    type Err = SecretError;

    fn from_str(secret: &str) -> Result<Self, SecretError> {
        Self::new(secret)
    }
}

/// Why a string was refused as a [`Secret`]. Says where, never what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretError(Flaw);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Flaw {
    Empty,
    WhiteSpace(usize),
    Control(usize),
    Comma(usize),
    TooShort(usize),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Flaw::Empty => f.write_str("the secret is empty; paste the one the platform shows"),
            Flaw::WhiteSpace(at) => write!(
                f,
                "the secret has white space at byte {at}; paste it without blanks or line breaks"
            ),
            Flaw::Control(at) => {
                write!(f, "the secret has a control character at byte {at}; paste it again")
            }
            Flaw::Comma(at) => {
                write!(f, "the secret has a comma at byte {at}; several secrets go into a key ring")
            }
            Flaw::TooShort(len) => write!(
                f,
                "the secret is {len} bytes long; at least {} are needed, is it cut off?",
                Secret::MIN_BYTES
            ),
        }
    }
}

impl std::error::Error for SecretError {}
