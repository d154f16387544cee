//! Owns the platform's part in a test: signed deliveries for an endpoint.

use bytes::Bytes;
use jiff::Timestamp;

use super::Sample;
use crate::endpoint::Endpoint;
use crate::secret::Secret;
use crate::signature::{SIGNATURE_HEADER, sign};

/// Signs bodies for an [`Endpoint`] as the platform would: with its newest key
/// and by its own clock, unless told otherwise.
///
/// Keys are looked up anew for each body, so it follows a rotation.
///
/// ```
/// use dataflow_webhooks::testing::{Sample, Signer, sign_for};
/// use dataflow_webhooks::{Endpoint, KeyRing, RejectionKind, Secret};
/// use jiff::{SignedDuration, Timestamp};
///
/// let keys = KeyRing::from_secrets([
///     Secret::new("whsec_the_one_just_made")?,
///     Secret::new("whsec_the_one_in_use_now")?,
/// ])?;
/// let endpoint = Endpoint::builder(keys).build()?;
///
/// // What your app would receive, ready for a test's request builder …
/// let sent = Sample::of("pipeline.run.completed").sign(&endpoint);
/// assert_eq!(sent.header().0, "x-dataflow-signature");
/// let delivery = endpoint.verifier().verify([&sent.header_value], sent.body.clone())?;
/// assert_eq!(delivery.key(), "current");
///
/// // … signed with the key that is on its way out …
/// let sent = Signer::for_endpoint(&endpoint).key("previous").sign(sent.body);
/// let delivery = endpoint.verifier().verify([&sent.header_value], sent.body)?;
/// assert_eq!(delivery.key(), "previous");
///
/// // … a replay …
/// let an_hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
/// let stale = Signer::for_endpoint(&endpoint).at(an_hour_ago).sign("{}");
/// let rejection = endpoint.verifier().verify([&stale.header_value], stale.body).unwrap_err();
/// assert_eq!(rejection.kind(), RejectionKind::TooOld);
///
/// // … or a body of your own.
/// let header_value = sign_for(&endpoint, br#"{"id":"evt_1"}"#);
/// assert!(endpoint.verifier().check([header_value], br#"{"id":"evt_1"}"#).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Signer {
    endpoint: Endpoint,
    at: Option<Timestamp>,
    key: Option<String>,
}

impl Signer {
    /// Signs for this endpoint.
    #[must_use]
    pub fn for_endpoint(endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), at: None, key: None }
    }

    /// As of another moment than the present one of the endpoint's clock. It
    /// counts in whole seconds; times before 1970 are signed as 0.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }

    /// With the key of this label instead of the newest one.
    #[must_use]
    pub fn key(mut self, label: &str) -> Self {
        self.key = Some(label.to_owned());
        self
    }

    /// The signature header's value for a body.
    ///
    /// # Panics
    ///
    /// When the endpoint has no key of the label given to [`key`](Self::key):
    /// the test would not test what it says.
    #[must_use]
    pub fn header_value(&self, body: &[u8]) -> String {
        let at = self.at.unwrap_or_else(|| self.endpoint.verifier().clock.now());
        sign(&self.secret(), at, body)
    }

    /// A body with the header it must be sent with.
    ///
    /// # Panics
    ///
    /// As [`header_value`](Self::header_value).
    #[must_use]
    pub fn sign(&self, body: impl Into<Bytes>) -> SignedBody {
        let body = body.into();
        let header_value = self.header_value(&body);
        SignedBody { header_name: SIGNATURE_HEADER, header_value, body }
    }

    fn secret(&self) -> Secret {
        let keys = self.endpoint.keys();
        let Some(label) = &self.key else { return keys.read().newest().secret.clone() };
        let secret = keys.read().iter().find(|k| *k.label == **label).map(|k| k.secret.clone());
        secret.unwrap_or_else(|| {
            panic!("the endpoint has no key {label:?}; its keys are {:?}", keys.labels())
        })
    }
}

/// A body and the header it must be sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedBody {
    /// `x-dataflow-signature`.
    pub header_name: &'static str,
    /// `t=…,v1=…`.
    pub header_value: String,
    /// The bytes that were signed.
    pub body: Bytes,
}

impl SignedBody {
    /// Name and value, as test requests take a header.
    #[must_use]
    pub fn header(&self) -> (&'static str, &str) {
        (self.header_name, &self.header_value)
    }
}

/// The signature header's value for a body: by the newest key of the endpoint,
/// as of its clock's present. See [`Signer`] for other keys and times.
#[must_use]
pub fn sign_for(endpoint: &Endpoint, body: &[u8]) -> String {
    Signer::for_endpoint(endpoint).header_value(body)
}

impl Sample {
    /// The [`body`](Self::body), signed by the newest key of an endpoint and as
    /// of its clock's present. See [`Signer`] for other keys and times.
    #[must_use]
    pub fn sign(&self, endpoint: &Endpoint) -> SignedBody {
        Signer::for_endpoint(endpoint).sign(self.body())
    }
}
