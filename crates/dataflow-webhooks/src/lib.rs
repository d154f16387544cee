#![doc = include_str!("docs.md")]
#![doc = include_str!("telemetry/metrics.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod budget;
mod caught;
mod config;
pub mod dead_letters;
pub mod dedup;
mod delivery;
mod endpoint;
mod envelope;
pub mod event;
mod explain;
mod hex;
mod keyring;
mod rejection;
mod secret;
mod signature;
mod source;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod verify;

pub use answer::{Answer, Outcome};
pub use budget::UnverifiedBudget;
pub use config::{ConfigError, ConfigWarning, WebhookConfig};
#[doc(inline)]
pub use dedup::{BoxError, Claim, DedupKey, DedupStore, MemoryStore, Terms};
pub use delivery::Delivery;
pub use endpoint::{Drain, Endpoint, EndpointBuilder, EndpointError, Limits, OnStoreFailure};
#[doc(inline)]
pub use event::{DecodeError, EnvelopeError, Event, EventPayload, EventType, Metadata, RawData};
pub use explain::{BodyChange, Explanation, Finding, SecretForm, TimestampUnit};
/// An IPv4 or IPv6 network, of the crate `ipnet`: for [`SourceAllowList`].
#[doc(no_inline)]
pub use ipnet::IpNet;
pub use keyring::{KeyRing, KeyRingError, SECRET_FILE_VAR, SECRET_VAR};
pub use rejection::{Rejection, RejectionKind};
pub use secret::{Secret, SecretError};
pub use signature::{MAX_CANDIDATES, MAX_HEADER_BYTES, SIGNATURE_HEADER, VerifiedSignature, sign};
pub use source::{ForwardedHeader, SourceAllowList, SourceError, UnknownHeader};
pub use telemetry::{Counts, StoreOperation};
pub use verify::{Tolerance, Verification, Verifier, verify};

/// What this project's other crates use, most of all those that drive a delivery
/// through a framework. Applications need none of it.
pub mod adapter {
    pub use crate::answer::Verdict;
    pub use crate::caught::caught;
    pub use crate::endpoint::{Head, HeldBytes, PendingCommit, RunPermit};
    pub use crate::source::FindPeer;
    pub use crate::telemetry::{DeliverySpan, HandlerEnd, Telemetry, log_missing_layer};
}
