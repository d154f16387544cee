//! Verifying a body while it arrives.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use super::held::Held;
use super::{Verifier, matches_any, moment};
use crate::delivery::{Delivery, Observer};
use crate::hex::push_hex;
use crate::keyring::KeyRing;
use crate::rejection::{Rejection, RejectionKind as Kind};
use crate::signature::{self, Digest, Digits, SignatureHeader, VerifiedSignature, mac};
use crate::source::Unlisted;

/// A body on its way in: [`Verifier::begin`], then [`update`](Self::update) for
/// each chunk, then [`finish`](Self::finish).
///
/// Each chunk is hashed with the newest key as it arrives, so that at the end
/// the answer is ready. The bytes are kept, for the older keys and for the
/// [`Delivery`]; never more of them than the limit. Dropping it forgets them.
///
/// ```
/// use dataflow_webhooks::{Secret, Verifier, sign};
/// use jiff::Timestamp;
///
/// let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?;
/// let header = sign(&secret, Timestamp::now(), br#"{"id":"evt_1"}"#);
///
/// let mut body = Verifier::new(secret).begin([header], None)?;
/// body.update(r#"{"id":"#)?;
/// body.update(r#""evt_1"}"#)?;
/// assert_eq!(body.finish()?.id(), "evt_1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Verification {
    keys: KeyRing,
    generation: u64,
    mac: Hmac<Sha256>,
    digits: Digits,
    signed_at: i64,
    begun_at: Timestamp,
    candidates: Candidates,
    declared: Option<u64>,
    limit: usize,
    held: Held,
    observer: Option<Arc<dyn Observer>>,
    /// Boxed: hardly any has it, and each one is held in the future of a request.
    unlisted: Option<Box<Unlisted>>,
}

/// The well-formed `v1` values. There is one, but for a sender that signs with
/// several secrets at once.
enum Candidates {
    One(Digest),
    Many(Box<[Digest]>),
    /// Nothing can match. The header line is kept to say why.
    None(Box<[u8]>),
}

impl Candidates {
    fn of(header: &SignatureHeader<'_>) -> Self {
        let mut all = header.candidates();
        match (all.next(), all.next()) {
            (None, _) => Self::None(header.line().into()),
            (Some(only), None) => Self::One(only),
            (Some(first), Some(second)) => {
                Self::Many([first, second].into_iter().chain(all).collect())
            }
        }
    }

    fn as_slice(&self) -> &[Digest] {
        match self {
            Self::One(digest) => std::slice::from_ref(digest),
            Self::Many(digests) => digests,
            Self::None(_) => &[],
        }
    }

    /// A header line that says the same as the one received.
    fn header_line(&self, digits: &Digits) -> Vec<u8> {
        if let Self::None(line) = self {
            return line.to_vec();
        }
        let mut line = format!("t={}", digits.as_str());
        for digest in self.as_slice() {
            line.push_str(",v1=");
            push_hex(&mut line, digest);
        }
        line.into_bytes()
    }
}

impl Verification {
    pub(super) fn new(
        verifier: &Verifier,
        header: &SignatureHeader<'_>,
        begun_at: Timestamp,
        declared: Option<u64>,
    ) -> Self {
        let (mut mac, generation) = {
            let keys = verifier.keys.read();
            (keys.newest().mac.clone(), keys.generation)
        };
        signature::begin(&mut mac, header.digits);
        Self {
            keys: verifier.keys.clone(),
            generation,
            mac,
            digits: Digits::new(header.digits),
            signed_at: header.signed_at,
            begun_at,
            candidates: Candidates::of(header),
            declared,
            limit: verifier.max_body_bytes,
            held: Held::default(),
            observer: None,
            unlisted: None,
        }
    }

    pub(crate) fn observed_by(
        mut self,
        observer: Arc<dyn Observer>,
        unlisted: Option<Unlisted>,
    ) -> Self {
        self.observer = Some(observer);
        self.unlisted = unlisted.map(Box::new);
        self
    }

    /// How many bytes of the body have come so far.
    #[must_use]
    pub fn received(&self) -> usize {
        self.held.len()
    }

    /// Takes the next chunk: hashes it and keeps it.
    ///
    /// # Errors
    ///
    /// [`BodyTooLarge`](Kind::BodyTooLarge) when this chunk goes over the
    /// limit, and [`TooManyBytes`](Kind::TooManyBytes) when an endpoint's budget
    /// is spent; the chunk is then neither hashed nor kept, and this should be
    /// dropped.
    pub fn update(&mut self, chunk: impl Into<Bytes>) -> Result<(), Rejection> {
        let chunk = chunk.into();
        let so_far = self.received();
        let total = so_far.saturating_add(chunk.len());
        if total > self.limit {
            let (total, limit) = (total as u64, self.limit as u64);
            return Err(Rejection::with_figures(Kind::BodyTooLarge, total, limit));
        }
        if let Some(observer) = &self.observer {
            observer.grant(so_far, chunk.len())?;
        }
        self.mac.update(&chunk);
        let is_whole = so_far == 0 && self.declared == Some(chunk.len() as u64);
        // What can still come, at most.
        let most = self.declared.map_or(self.limit, |d| d as usize).max(total) - so_far;
        self.held.push(chunk, is_whole, most);
        Ok(())
    }

    /// Ends the body and says whether it is authentic.
    ///
    /// The key ring is read again: a key removed since
    /// [`begin`](Verifier::begin) does not match, a key added since does.
    ///
    /// # Errors
    ///
    /// [`NoMatch`](Kind::NoMatch), or [`NotAnEvent`](Kind::NotAnEvent) for an
    /// authentic body that is no JSON object.
    pub fn finish(mut self) -> Result<Delivery, Rejection> {
        let Some((key, by_newest)) = self.matching_key() else {
            if let Some(observer) = &self.observer {
                let line = || self.candidates.header_line(&self.digits);
                observer.no_match(self.held.len(), &|| (line(), self.held.to_bytes()));
            }
            return Err(Kind::NoMatch.into());
        };
        let signature = VerifiedSignature { signed_at: moment(self.signed_at), key, by_newest };
        let body = self.take_held().into_bytes();
        let delivery = Delivery::new(body, signature, self.begun_at, self.observer.take())?;
        if let Some(unlisted) = self.unlisted.take() {
            delivery.report_unlisted(*unlisted);
        }
        Ok(delivery)
    }

    /// The label of the key that matches, and whether it is the newest one.
    fn matching_key(&self) -> Option<(Arc<str>, bool)> {
        let candidates = self.candidates.as_slice();
        let keys = self.keys.read();
        let begun_with_newest = keys.generation == self.generation;
        for (index, key) in keys.iter().enumerate() {
            let digest = if index == 0 && begun_with_newest {
                self.mac.clone().finalize().into_bytes().into()
            } else {
                mac(&key.mac, self.digits.as_bytes(), self.held.pieces())
            };
            if matches_any(&digest, candidates.iter().copied()) {
                return Some((key.label.clone(), index == 0));
            }
        }
        None
    }

    /// The bytes out, and the budget for them handed back.
    fn take_held(&mut self) -> Held {
        let held = std::mem::take(&mut self.held);
        if let Some(observer) = &self.observer {
            observer.give_back(held.len());
        }
        held
    }
}

impl Drop for Verification {
    fn drop(&mut self) {
        self.take_held();
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verification")
            .field("received", &self.received())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
