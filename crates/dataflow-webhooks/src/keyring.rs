//! The keys that deliveries may be signed with: labelled, newest first,
//! replaceable while requests run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::secret::{Secret, SecretError};

/// The environment variable with one secret, or several, comma-separated and
/// newest first.
pub const SECRET_VAR: &str = "DATAFLOW_WEBHOOK_SECRET";

/// The environment variable that names a file with the same content.
pub const SECRET_FILE_VAR: &str = "DATAFLOW_WEBHOOK_SECRET_FILE";

/// Up to [`MAX_KEYS`](Self::MAX_KEYS) signing keys, newest first.
///
/// A clone is another handle on the same ring: [`replace`](Self::replace) on
/// one is seen by all, while requests run. A delivery is checked against the
/// newest key first and against the older ones only when that did not match.
/// Labels (`current`, `previous`, `previous-2`, …) show in logs and metrics; a
/// retired key that still matches is worth an alert.
///
/// ```
/// use dataflow_webhooks::{KeyRing, Secret};
///
/// let keys = KeyRing::new(Secret::new("whsec_the_one_in_use_now")?);
/// // The platform shows a new secret: accept both for a while …
/// keys.replace([
///     Secret::new("whsec_the_one_just_made")?,
///     Secret::new("whsec_the_one_in_use_now")?,
/// ])?;
/// assert_eq!(keys.labels(), ["current", "previous"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    shared: Arc<RwLock<Keys>>,
}

/// What the ring holds at one moment. `generation` changes with every swap, so
/// that a MAC begun before one is known to be out of date.
pub(crate) struct Keys {
    pub(crate) generation: u64,
    keys: Vec<Key>,
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) label: Arc<str>,
    pub(crate) secret: Secret,
    /// The HMAC state after the key block: a clone saves two compressions.
    pub(crate) mac: Hmac<Sha256>,
}

/// The state is as good as the key: it too is wiped when dropped, which `sha2` does
/// only with its feature `zeroize`.
const _: () = is_wiped_on_drop::<Sha256>();
const fn is_wiped_on_drop<T: ZeroizeOnDrop>() {}

impl Keys {
    /// Newest first; never empty.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Key> {
        self.keys.iter()
    }

    pub(crate) fn newest(&self) -> &Key {
        &self.keys[0]
    }
}

impl KeyRing {
    /// How many keys a ring may hold. Each one costs one more MAC over a body
    /// that none matches.
    pub const MAX_KEYS: usize = 8;

    /// A ring of one key, labelled `current`.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let keys = vec![key(label_of(0), secret)];
        Self::of(keys)
    }

    /// A ring of several keys, newest first, labelled `current`, `previous`,
    /// `previous-2`, ….
    ///
    /// # Errors
    ///
    /// No key, more than [`MAX_KEYS`](Self::MAX_KEYS), or one secret twice.
    pub fn from_secrets(secrets: impl IntoIterator<Item = Secret>) -> Result<Self, KeyRingError> {
        keys_of(secrets.into_iter().enumerate().map(numbered)).map(Self::of)
    }

    /// A ring of several keys with labels of your own, newest first.
    ///
    /// A label is 1 to 32 characters of `[A-Za-z0-9_.-]`.
    ///
    /// # Errors
    ///
    /// As [`from_secrets`](Self::from_secrets), and a label that is not of that
    /// form or is given twice.
    pub fn labelled<L: Into<String>>(
        keys: impl IntoIterator<Item = (L, Secret)>,
    ) -> Result<Self, KeyRingError> {
        keys_of(keys.into_iter().map(|(label, secret)| (label.into(), secret))).map(Self::of)
    }

    /// Reads `DATAFLOW_WEBHOOK_SECRET`, or the file that
    /// `DATAFLOW_WEBHOOK_SECRET_FILE` names.
    ///
    /// Either holds one secret or several, comma-separated, newest first.
    ///
    /// # Errors
    ///
    /// Neither is set, both are, a secret stands where the file's path belongs,
    /// and as [`from_file`](Self::from_file).
    pub fn from_env() -> Result<Self, KeyRingError> {
        // An empty variable is set, and its content is an empty secret.
        let list = std::env::var_os(SECRET_VAR);
        let file = std::env::var_os(SECRET_FILE_VAR);
        match (list, file) {
            (Some(_), Some(_)) => Err(KeyRingError(Flaw::BothSet)),
            (None, None) => Err(KeyRingError(Flaw::NotSet)),
            (Some(list), None) => {
                let list = list.into_string().map_err(|raw| {
                    drop(Zeroizing::new(raw.into_encoded_bytes()));
                    KeyRingError(Flaw::NotUtf8)
                })?;
                Self::parse(&Zeroizing::new(list))
            }
            // A mix-up whose secret must not end up in a message as a path.
            (None, Some(path)) if holds_a_secret(path.as_encoded_bytes()) => {
                drop(Zeroizing::new(path.into_encoded_bytes()));
                Err(KeyRingError(Flaw::NotAPath))
            }
            (None, Some(path)) => Self::from_file(PathBuf::from(path)),
        }
    }

    /// Reads a file of the form that `DATAFLOW_WEBHOOK_SECRET_FILE` names: one
    /// secret, or several, comma-separated, newest first. One trailing line
    /// break is dropped.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not UTF-8, and as [`parse`](Self::parse).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyRingError> {
        let path = path.as_ref();
        let bytes = Zeroizing::new(
            std::fs::read(path)
                .map_err(|source| KeyRingError(Flaw::File(path.to_owned(), Arc::new(source))))?,
        );
        let text = std::str::from_utf8(&bytes).map_err(|_| KeyRingError(Flaw::NotUtf8))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Self::parse(text.strip_suffix('\r').unwrap_or(text))
    }

    /// Takes one secret, or several, comma-separated, newest first.
    ///
    /// # Errors
    ///
    /// An entry of the list is empty or is no [`Secret`], and as
    /// [`from_secrets`](Self::from_secrets).
    pub fn parse(list: &str) -> Result<Self, KeyRingError> {
        let mut secrets = Vec::new();
        for (index, entry) in list.split(',').enumerate() {
            if entry.is_empty() && list.contains(',') {
                return Err(KeyRingError(Flaw::EmptyEntry(index + 1)));
            }
            // More entries than a ring holds are refused below; none of them
            // is worth validating.
            if index > Self::MAX_KEYS {
                break;
            }
            secrets.push(
                Secret::new(entry)
                    .map_err(|source| KeyRingError(Flaw::Secret(index + 1, source)))?,
            );
        }
        Self::from_secrets(secrets)
    }

    /// Puts other keys in place of all the present ones, newest first, while
    /// requests run.
    ///
    /// When this returns, no delivery signed with a removed key passes any
    /// more, the ones whose body is still arriving included.
    ///
    /// # Errors
    ///
    /// As [`from_secrets`](Self::from_secrets); the ring stays as it was.
    pub fn replace(&self, secrets: impl IntoIterator<Item = Secret>) -> Result<(), KeyRingError> {
        self.put(keys_of(secrets.into_iter().enumerate().map(numbered))?);
        Ok(())
    }

    /// [`replace`](Self::replace) with the keys that another ring holds now,
    /// labels included: `keys.replace_with(&KeyRing::from_env()?)` after a
    /// change on disk.
    pub fn replace_with(&self, other: &KeyRing) {
        if Arc::ptr_eq(&self.shared, &other.shared) {
            return;
        }
        let keys = other.read().iter().map(|k| key(k.label.clone(), k.secret.clone())).collect();
        self.put(keys);
    }

    /// The labels of the present keys, newest first.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        self.read().iter().map(|k| k.label.to_string()).collect()
    }

    /// The keys of this moment. A swap waits for readers, so a check that holds
    /// this has ended before `replace` returns.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, keys: Vec<Key>) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        let generation = shared.generation.wrapping_add(1);
        *shared = Keys { generation, keys };
    }

    fn of(keys: Vec<Key>) -> Self {
        let generation = 0;
        Self { shared: Arc::new(RwLock::new(Keys { generation, keys })) }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.labels()).finish()
    }
}

impl From<Secret> for KeyRing {
    fn from(secret: Secret) -> Self {
        Self::new(secret)
    }
}

/// Does this begin as a secret does, with or without what it may have been pasted
/// with? A path that leads to a file of such a name does not.
fn holds_a_secret(path: &[u8]) -> bool {
    let leads_there = |byte: &u8| matches!(byte, b'/' | b'\\');
    path.windows(6)
        .position(|word| word == b"whsec_")
        .is_some_and(|at| !path[..at].iter().any(leads_there))
}

fn label_of(index: usize) -> Arc<str> {
    match index {
        0 => "current".into(),
        1 => "previous".into(),
        n => format!("previous-{n}").into(),
    }
}

fn numbered((index, secret): (usize, Secret)) -> (String, Secret) {
    (label_of(index).to_string(), secret)
}

fn key(label: Arc<str>, secret: Secret) -> Key {
    let mac = mac_of(&secret);
    Key { label, secret, mac }
}

/// The HMAC state of a secret ("Verifying Webhook Signatures": the secret as
/// it is, `whsec_` included, is the key).
pub(crate) fn mac_of(secret: &Secret) -> Hmac<Sha256> {
    // HMAC takes a key of any length (RFC 2104, section 2); the error arm
    // cannot be reached.
    Hmac::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| unreachable!())
}

fn keys_of(entries: impl Iterator<Item = (String, Secret)>) -> Result<Vec<Key>, KeyRingError> {
    let mut keys: Vec<Key> = Vec::new();
    for (index, (label, secret)) in entries.enumerate() {
        if index == KeyRing::MAX_KEYS {
            return Err(KeyRingError(Flaw::TooMany));
        }
        if let Some(twin) = keys.iter().position(|k| k.secret == secret) {
            return Err(KeyRingError(Flaw::Twice(twin + 1, index + 1)));
        }
        let fits = (1..=32).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !fits || keys.iter().any(|k| *k.label == *label) {
            return Err(KeyRingError(Flaw::Label(index + 1)));
        }
        keys.push(key(label.into(), secret));
    }
    if keys.is_empty() {
        return Err(KeyRingError(Flaw::NoKey));
    }
    Ok(keys)
}

/// Why a [`KeyRing`] could not be made. Says which entry, never its content.
#[derive(Debug, Clone)]
pub struct KeyRingError(Flaw);

#[derive(Debug, Clone)]
enum Flaw {
    NotSet,
    BothSet,
    NotAPath,
    NotUtf8,
    File(PathBuf, Arc<std::io::Error>),
    NoKey,
    EmptyEntry(usize),
    Secret(usize, SecretError),
    TooMany,
    Twice(usize, usize),
    Label(usize),
}

impl fmt::Display for KeyRingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Flaw::NotSet => write!(
                f,
                "no signing secret: set {SECRET_VAR}, or {SECRET_FILE_VAR} to the path of a file \
                 that holds it"
            ),
            Flaw::BothSet => {
                write!(f, "{SECRET_VAR} and {SECRET_FILE_VAR} are both set; unset one of them")
            }
            Flaw::NotAPath => write!(
                f,
                "{SECRET_FILE_VAR} holds a secret; it must hold the path of a file, or put the \
                 secret into {SECRET_VAR}"
            ),
            Flaw::NotUtf8 => f.write_str("the signing secret is not UTF-8 text; paste it again"),
            Flaw::File(path, source) => {
                write!(f, "cannot read the secret file {}: {source}", path.display())
            }
            Flaw::NoKey => f.write_str("a key ring needs at least one secret"),
            Flaw::EmptyEntry(entry) => write!(
                f,
                "secret {entry} of the comma-separated list is empty; is there a comma too many?"
            ),
            Flaw::Secret(1, source) => source.fmt(f),
            Flaw::Secret(entry, source) => write!(f, "secret {entry} of the list: {source}"),
            Flaw::TooMany => write!(
                f,
                "more than {} secrets; drop the ones retired longest ago",
                KeyRing::MAX_KEYS
            ),
            Flaw::Twice(first, second) => {
                write!(f, "secrets {first} and {second} of the list are the same")
            }
            Flaw::Label(entry) => write!(
                f,
                "label {entry} is not 1 to 32 characters of [A-Za-z0-9_.-], or is there twice"
            ),
        }
    }
}

impl std::error::Error for KeyRingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Flaw::File(_, source) => Some(&**source),
            Flaw::Secret(_, source) => Some(source),
            _ => None,
        }
    }
}
