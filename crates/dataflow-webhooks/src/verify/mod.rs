//! Whether a delivery is authentic: its one signature header line, its
//! timestamp, its body.
//!
//! [`Verifier::check`] for a body that is all there and stays where it is,
//! [`Verifier::verify`] for one that becomes a [`Delivery`], and
//! [`Verification`] for one that still arrives.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;

use crate::delivery::Delivery;
use crate::keyring::KeyRing;
use crate::rejection::{Rejection, RejectionKind as Kind};
use crate::secret::Secret;
use crate::signature::{Digest, SignatureHeader, VerifiedSignature, equal, mac};

mod held;
mod incremental;

pub use incremental::Verification;

/// Verifies one delivery whose raw body is at hand: the whole job for anything
/// that is neither tower, axum nor actix-web.
///
/// `signature_header` is what `headers.get("x-dataflow-signature")` gives in
/// either major version of the `http` crate, or a `&str` in `Some`. It is one
/// header line: a request with two would show only the first here, so where the
/// framework can list them, give [`Verifier::verify`] all. `raw_body` is the
/// body as received, never parsed and written again.
///
/// The clock is the system's, the tolerance 300 s either way. Deduplicate by
/// [`Delivery::id`] afterwards: events may be delivered more than once
/// ("Idempotency").
///
/// # Errors
///
/// A [`Rejection`]: answer with its [`status`](Rejection::status) and
/// [`public_message`](Rejection::public_message), and log it.
///
/// ```
/// use dataflow_webhooks::{Secret, sign, verify};
/// use jiff::Timestamp;
///
/// let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?;
/// let raw_body = br#"{"id":"evt_1","type":"pipeline.run.started"}"#.as_slice();
/// let signature_header = sign(&secret, Timestamp::now(), raw_body);
///
/// let delivery = verify(&secret, Some(&signature_header), raw_body)?;
/// assert_eq!(delivery.id(), "evt_1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(
    secret: &Secret,
    signature_header: Option<impl AsRef<[u8]>>,
    raw_body: impl Into<Bytes>,
) -> Result<Delivery, Rejection> {
    Verifier::new(secret.clone()).verify(signature_header, raw_body)
}

/// How far a signature's timestamp may lie from now, both ends inclusive.
///
/// 300 s either way by default ("Common Issues": within 5 minutes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    past: Duration,
    future: Duration,
}

impl Tolerance {
    /// Past and future apart; counted in whole seconds, the rest is cut off.
    #[must_use]
    pub const fn new(past: Duration, future: Duration) -> Self {
        Self { past, future }
    }

    /// How old a signature may be.
    #[must_use]
    pub const fn past(&self) -> Duration {
        self.past
    }

    /// How far in the future a signature may lie.
    #[must_use]
    pub const fn future(&self) -> Duration {
        self.future
    }

    fn check(&self, signed_at: i64, now: i64) -> Result<(), Rejection> {
        // Compared without signs, so that no difference can overflow.
        let (distance, limit, kind) = if signed_at <= now {
            (now.abs_diff(signed_at), self.past, Kind::TooOld)
        } else {
            (now.abs_diff(signed_at), self.future, Kind::TooNew)
        };
        if distance > limit.as_secs() {
            return Err(Rejection::with_figures(kind, distance, limit.as_secs()));
        }
        Ok(())
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::new(Duration::from_secs(300), Duration::from_secs(300))
    }
}

/// Where "now" comes from: the system, unless a test or a queue says otherwise.
#[derive(Clone, Default)]
pub(crate) struct Clock(Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>);

impl Clock {
    pub(crate) fn of(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(clock)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        match &self.0 {
            Some(clock) => clock(),
            None => Timestamp::now(),
        }
    }

    /// Whole seconds since the Unix epoch.
    fn seconds(&self) -> i64 {
        match &self.0 {
            Some(clock) => floor(clock()),
            // Cheaper than a Timestamp; a clock before 1970 finds every
            // signature in the future, as it should.
            None => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
        }
    }
}

/// The whole second a time lies in, also before 1970.
fn floor(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

/// Checks deliveries against a [`KeyRing`] and a [`Tolerance`].
///
/// A clone is cheap and shares the keys.
///
/// Everything takes the values of *all* signature header lines of a request:
/// `headers.get_all("x-dataflow-signature")` of the `http` crate, or
/// `Some(value)` where there can be only one. None is refused, and so are two.
#[derive(Clone)]
pub struct Verifier {
    keys: KeyRing,
    pub(crate) tolerance: Tolerance,
    max_body_bytes: usize,
    pub(crate) clock: Clock,
}

impl Verifier {
    /// The longest body that [`begin`](Self::begin) accepts unless told
    /// otherwise: 1 MiB.
    pub const MAX_BODY_BYTES: usize = 1024 * 1024;

    /// With the default tolerance, the system's clock and a limit of 1 MiB.
    pub fn new(keys: impl Into<KeyRing>) -> Self {
        Self {
            keys: keys.into(),
            tolerance: Tolerance::default(),
            max_body_bytes: Self::MAX_BODY_BYTES,
            clock: Clock::default(),
        }
    }

    /// The same, with another tolerance.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Tolerance) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The same, with another limit for [`begin`](Self::begin), in bytes.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// The same, with another clock; for tests.
    #[must_use]
    pub fn clock(self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock_of(Clock::of(clock))
    }

    pub(crate) fn clock_of(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The keys it checks against.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Checks a body where it is. Borrows everything and allocates nothing.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] of one of the 401 kinds.
    pub fn check(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        body: &[u8],
    ) -> Result<VerifiedSignature, Rejection> {
        self.check_with(header_lines, body, self.clock.seconds())
    }

    /// [`check`](Self::check) as of another moment: for deliveries that waited
    /// in a queue, as of when they were received.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_at(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedSignature, Rejection> {
        self.check_with(header_lines, body, floor(now))
    }

    fn check_with(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        body: &[u8],
        now: i64,
    ) -> Result<VerifiedSignature, Rejection> {
        let line = only_line(header_lines)?;
        self.check_line(line.as_ref(), body, now)
    }

    /// Not generic, so that it is compiled in this crate and as a whole.
    fn check_line(
        &self,
        line: &[u8],
        body: &[u8],
        now: i64,
    ) -> Result<VerifiedSignature, Rejection> {
        let header = self.read_header(line, now)?;
        for (index, key) in self.keys.read().iter().enumerate() {
            if matches_any(&mac(&key.mac, header.digits, [body]), header.candidates()) {
                let (key, signed_at) = (key.label.clone(), moment(header.signed_at));
                return Ok(VerifiedSignature { signed_at, key, by_newest: index == 0 });
            }
        }
        Err(Kind::NoMatch.into())
    }

    /// Verifies a body and takes it into a [`Delivery`].
    ///
    /// # Errors
    ///
    /// A [`Rejection`] of one of the 401 kinds, or
    /// [`NotAnEvent`](Kind::NotAnEvent).
    pub fn verify(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        body: impl Into<Bytes>,
    ) -> Result<Delivery, Rejection> {
        self.verify_at(header_lines, body, self.clock.now())
    }

    /// [`verify`](Self::verify) as of another moment: for deliveries that
    /// waited in a queue, as of when they were received.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub fn verify_at(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        body: impl Into<Bytes>,
        now: Timestamp,
    ) -> Result<Delivery, Rejection> {
        let body = body.into();
        let signature = self.check_at(header_lines, &body, now)?;
        Delivery::new(body, signature, now, None)
    }

    /// Begins to verify a body that still arrives. Nothing is hashed or kept
    /// before the header line, its timestamp and the declared length have
    /// passed.
    ///
    /// `content_length` is the declared length in bytes, where there is one.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] of one of the 401 kinds but
    /// [`NoMatch`](Kind::NoMatch), or [`BodyTooLarge`](Kind::BodyTooLarge).
    pub fn begin(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        content_length: Option<u64>,
    ) -> Result<Verification, Rejection> {
        let now = self.clock.now();
        let line = only_line(header_lines)?;
        let header = self.read_header(line.as_ref(), floor(now))?;
        let limit = self.max_body_bytes as u64;
        match content_length {
            Some(length) if length > limit => {
                Err(Rejection::with_figures(Kind::BodyTooLarge, length, limit))
            }
            length => Ok(Verification::new(self, &header, now, length)),
        }
    }

    fn read_header<'a>(&self, line: &'a [u8], now: i64) -> Result<SignatureHeader<'a>, Rejection> {
        let header = SignatureHeader::parse(line)
            .map_err(|words| Rejection::in_words(Kind::MalformedSignature, words))?;
        self.tolerance.check(header.signed_at, now)?;
        Ok(header)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.keys)
            .field("tolerance", &self.tolerance)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

/// The one header line there must be.
fn only_line<L>(header_lines: impl IntoIterator<Item = L>) -> Result<L, Rejection> {
    let mut lines = header_lines.into_iter();
    let line = lines.next().ok_or(Kind::MissingSignature)?;
    match lines.next() {
        None => Ok(line),
        Some(_) => Err(Kind::RepeatedSignature.into()),
    }
}

/// Compares with every candidate, whichever matches: how long it takes says
/// nothing about which.
fn matches_any(digest: &Digest, candidates: impl Iterator<Item = Digest>) -> bool {
    candidates.fold(false, |found, candidate| found | equal(digest, &candidate))
}

/// Twelve digits go beyond what a `Timestamp` holds only outside of every
/// tolerance, so the fallback is not seen.
fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
