#![doc = include_str!("docs.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod budget;
mod config;
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
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod verify;

pub use answer::{Answer, Outcome, Verdict};
pub use budget::{HeldBytes, UnverifiedBudget};
pub use config::{ConfigError, ConfigWarning, WebhookConfig};
#[doc(inline)]
pub use dedup::{BoxError, Claim, DedupKey, DedupStore, MemoryStore, Terms};
pub use delivery::Delivery;
pub use endpoint::{
    Drain, Endpoint, EndpointBuilder, EndpointError, Limits, OnStoreFailure, PendingCommit,
    RunPermit,
};
#[doc(inline)]
pub use event::{DecodeError, EnvelopeError, Event, EventPayload, EventType, Metadata, RawData};
pub use explain::{BodyChange, Explanation, Finding, SecretForm, TimestampUnit};
pub use keyring::{KeyRing, KeyRingError, SECRET_FILE_VAR, SECRET_VAR};
pub use rejection::{Rejection, RejectionKind};
pub use secret::{Secret, SecretError};
pub use signature::{MAX_CANDIDATES, MAX_HEADER_BYTES, SIGNATURE_HEADER, VerifiedSignature, sign};
pub use telemetry::{
    Counts, DeliverySpan, HandlerEnd, StoreOperation, Telemetry, log_missing_layer,
};
pub use verify::{Tolerance, Verification, Verifier, verify};
