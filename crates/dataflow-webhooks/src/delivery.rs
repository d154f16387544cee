//! A delivery that has been verified: its bytes, when and by which key they
//! were signed, and the claim under which its event is handled.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;

use crate::dedup::{Claim, DedupKey};
use crate::envelope::Envelope;
use crate::event::shown::shown;
use crate::event::{DecodeError, Event, EventType};
use crate::rejection::{Rejection, RejectionKind};
use crate::signature::VerifiedSignature;
use crate::source::Unlisted;

/// A verified delivery. To hold one is the proof: nothing else makes it but
/// [`Verifier`](crate::Verifier), [`Verification`](crate::Verification) and
/// [`verify`](crate::verify).
///
/// `Debug` shows what identifies it, never its body. A clone is cheap.
///
/// It can neither be written down nor read from anything:
///
/// ```compile_fail,E0451
/// let forged = dataflow_webhooks::Delivery { verified: unreachable!(), claim: None };
/// ```
/// ```compile_fail,E0624
/// let forged = dataflow_webhooks::Delivery::new(unreachable!(), unreachable!(), unreachable!(), None);
/// ```
/// ```compile_fail,E0277
/// let forged: dataflow_webhooks::Delivery = serde_json::from_str("{}").unwrap();
/// ```
#[derive(Clone)]
pub struct Delivery {
    verified: Arc<Verified>,
    claim: Option<Claim>,
}

struct Verified {
    body: Bytes,
    envelope: Envelope,
    signature: VerifiedSignature,
    received_at: Timestamp,
    endpoint: Option<Arc<dyn Observer>>,
    /// Set once a `data` that does not fit has been reported.
    mismatch_reported: AtomicBool,
}

/// What an endpoint adds to a verification and to the delivery that comes of
/// it: its memory budget, its counts, its name.
pub(crate) trait Observer: Send + Sync {
    /// May `more` bytes be kept, for a body that has `so_far` already? What is
    /// granted is handed back by `give_back`.
    fn grant(&self, so_far: usize, more: usize) -> Result<(), Rejection>;
    fn give_back(&self, bytes: usize);
    fn endpoint_id(&self) -> u64;
    /// Called once for a body that no key matched. `evidence` is its header line
    /// and the body itself, put together only where somebody looks at it.
    fn no_match(&self, body_bytes: usize, evidence: &dyn Fn() -> (Vec<u8>, Bytes));
    /// Called once for a body that a key matched, the newest or an older one, and
    /// that is an event.
    fn verified(&self, delivery: &Delivery, by_newest: bool);
    /// Called once for an event from a source that is not on the list, and that
    /// was let through all the same.
    fn unlisted(&self, delivery: &Delivery, unlisted: Unlisted);
    /// Called once for a documented type whose `data` does not fit.
    fn mismatched(&self, delivery: &Delivery);
}

impl Delivery {
    /// Takes a body whose signature has been checked. Private to the crate:
    /// this is the one door.
    pub(crate) fn new(
        body: Bytes,
        signature: VerifiedSignature,
        received_at: Timestamp,
        endpoint: Option<Arc<dyn Observer>>,
    ) -> Result<Self, Rejection> {
        let envelope = Envelope::parse(&body)
            .map_err(|error| Rejection::new(RejectionKind::NotAnEvent).because(error))?;
        let by_newest = signature.by_newest;
        let verified = Verified {
            body,
            envelope,
            signature,
            received_at,
            endpoint,
            mismatch_reported: AtomicBool::new(false),
        };
        let delivery = Self { verified: Arc::new(verified), claim: None };
        if let Some(endpoint) = &delivery.verified.endpoint {
            endpoint.verified(&delivery, by_newest);
        }
        Ok(delivery)
    }

    /// The event's id, the same in every attempt to deliver it ("Idempotency").
    ///
    /// Where the body has none, or one that is not a string of 1 to 255 bytes,
    /// or one with U+0000 in it, this is `sha256:` and 64 hex digits of the
    /// body's hash.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.verified.envelope.id
    }

    /// The event's type; the empty name where the body has none.
    #[must_use]
    pub fn event_type(&self) -> &EventType {
        &self.verified.envelope.event_type
    }

    /// When the event happened, where the body says so in RFC 3339.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        self.verified.envelope.created_at(&self.verified.body)
    }

    /// When this attempt was signed, in whole seconds.
    #[must_use]
    pub fn signed_at(&self) -> Timestamp {
        self.verified.signature.signed_at()
    }

    /// When it was received, by this machine's clock (or the injected one).
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        self.verified.received_at
    }

    /// How long after the signing it was received; negative where the sender's
    /// clock is ahead. Watch it: at 300 s deliveries begin to be refused.
    #[must_use]
    pub fn skew(&self) -> SignedDuration {
        self.received_at().duration_since(self.signed_at())
    }

    /// The label of the key that matched: `current`, `previous`, ….
    #[must_use]
    pub fn key(&self) -> &str {
        self.verified.signature.key()
    }

    /// The body as it was signed, byte for byte. This is what to put into a
    /// queue; [`Event::from_trusted_json`] reads it there.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.verified.body
    }

    /// The typed event. Never fails: what fits no documented type is in
    /// [`EventPayload::Unknown`](crate::EventPayload::Unknown) or
    /// [`Mismatched`](crate::EventPayload::Mismatched).
    #[must_use]
    pub fn event(&self) -> Event {
        let event = Event::decode(&self.verified.body, &self.verified.envelope);
        if event.payload.is_mismatched() {
            self.report_mismatch();
        }
        event
    }

    /// The event's `data` as a type of your own.
    ///
    /// # Errors
    ///
    /// `data` is missing or does not fit `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.event().data()
    }

    /// The claim under which the event is handled; `None` without
    /// deduplication, and before the claim is made.
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// The claim's fencing token: it rises with each run of one event. Write it
    /// beside your own data, and refuse a write with a lower one.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.claim.as_ref().map(Claim::epoch)
    }

    /// The key under which a dedup store knows the event.
    #[must_use]
    pub fn dedup_key(&self) -> DedupKey {
        DedupKey::from_event_id(self.id())
    }

    /// The same delivery with the claim on its event. For adapters.
    #[must_use]
    pub fn with_claim(mut self, claim: Claim) -> Self {
        self.claim = Some(claim);
        self
    }

    pub(crate) fn envelope(&self) -> &Envelope {
        &self.verified.envelope
    }

    /// The number of the endpoint that verified it, if one did.
    pub(crate) fn endpoint_id(&self) -> Option<u64> {
        self.verified.endpoint.as_ref().map(|endpoint| endpoint.endpoint_id())
    }

    pub(crate) fn report_unlisted(&self, unlisted: Unlisted) {
        if let Some(endpoint) = &self.verified.endpoint {
            endpoint.unlisted(self, unlisted);
        }
    }

    fn report_mismatch(&self) {
        let reported = self.verified.mismatch_reported.swap(true, Ordering::Relaxed);
        if let Some(endpoint) = self.verified.endpoint.as_ref().filter(|_| !reported) {
            endpoint.mismatched(self);
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &format_args!("\"{}\"", shown(self.id())))
            .field("event_type", &self.event_type())
            .field("created_at", &self.created_at())
            .field("signed_at", &self.signed_at())
            .field("key", &self.key())
            .field("body", &format_args!("[{} bytes elided]", self.body().len()))
            .field("epoch", &self.epoch())
            .finish()
    }
}
