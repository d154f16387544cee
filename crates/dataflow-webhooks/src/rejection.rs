//! Why a delivery was refused: in full for operators, one fixed line for the
//! sender.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A delivery that was refused before any claim was made on its event.
///
/// `Display` is for operators: it says what happened, the figure, and what to
/// do. It never holds a secret or body bytes, and it never goes over the wire:
/// the sender gets [`status`](Self::status) and
/// [`public_message`](Self::public_message). Adapters put a clone into the
/// extensions of their response, for layers outside.
#[derive(Debug, Clone)]
pub struct Rejection {
    kind: RejectionKind,
    detail: Detail,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy)]
enum Detail {
    None,
    Words(&'static str),
    /// How far off, and how far it may be; in the unit of the kind.
    Figures(i64, i64),
    Source(IpAddr),
}

/// What a [`Rejection`] is about. A closed set of labels for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// The method is not POST. 405.
    MethodNotAllowed,
    /// The endpoint is draining: the process is about to stop. 503.
    Draining,
    /// The source is not on the allow-list, or not known. 403.
    SourceNotAllowed,
    /// There is no signature header. 401.
    MissingSignature,
    /// There are two or more signature header lines. 401.
    RepeatedSignature,
    /// The signature header does not keep to its grammar. 401.
    MalformedSignature,
    /// The timestamp lies further in the past than the tolerance allows. 401.
    TooOld,
    /// The timestamp lies further in the future than the tolerance allows. 401.
    TooNew,
    /// No key and no signature match. 401.
    NoMatch,
    /// The body is, or says it will be, longer than the limit. 413.
    BodyTooLarge,
    /// The body was not complete in time. 408.
    BodyTimeout,
    /// The connection was lost inside the body. 400.
    BodyLost,
    /// Too many bytes of unverified deliveries are held already. 503.
    TooManyBytes,
    /// Too many handlers run already. 503.
    TooManyRunning,
    /// Too many settlements wait for the dedup store already. 503.
    TooManyPending,
    /// The delivery is authentic, but its body is no event. 422.
    NotAnEvent,
}

impl RejectionKind {
    /// Every kind, in the order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::MethodNotAllowed,
        Self::Draining,
        Self::SourceNotAllowed,
        Self::MissingSignature,
        Self::RepeatedSignature,
        Self::MalformedSignature,
        Self::TooOld,
        Self::TooNew,
        Self::NoMatch,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::BodyLost,
        Self::TooManyBytes,
        Self::TooManyRunning,
        Self::TooManyPending,
        Self::NotAnEvent,
    ];

    /// The name as it stands in logs and metric labels, in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Draining => "draining",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::MissingSignature => "missing_signature",
            Self::RepeatedSignature => "repeated_signature",
            Self::MalformedSignature => "malformed_signature",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::NoMatch => "no_match",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyLost => "body_lost",
            Self::TooManyBytes => "too_many_bytes",
            Self::TooManyRunning => "too_many_running",
            Self::TooManyPending => "too_many_pending",
            Self::NotAnEvent => "not_an_event",
        }
    }
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Rejection {
    /// A refusal without further detail. For authors of adapters; what core
    /// itself refuses it also describes.
    #[must_use]
    pub const fn new(kind: RejectionKind) -> Self {
        Self { kind, detail: Detail::None, source: None }
    }

    /// The same refusal, with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) const fn in_words(kind: RejectionKind, words: &'static str) -> Self {
        Self { kind, detail: Detail::Words(words), source: None }
    }

    pub(crate) const fn of_source(address: IpAddr) -> Self {
        let detail = Detail::Source(address);
        Self { kind: RejectionKind::SourceNotAllowed, detail, source: None }
    }

    pub(crate) fn with_figures(kind: RejectionKind, figure: u64, limit: u64) -> Self {
        let cap = |n| i64::try_from(n).unwrap_or(i64::MAX);
        Self { kind, detail: Detail::Figures(cap(figure), cap(limit)), source: None }
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// What caused it, where there is such a thing: the body's or the
    /// envelope's error.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        Error::source(self)
    }
}

impl From<RejectionKind> for Rejection {
    fn from(kind: RejectionKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use RejectionKind as K;
        match (self.kind, self.detail) {
            (K::MethodNotAllowed, _) => f.write_str("the method is not POST"),
            (K::Draining, _) => f.write_str("the endpoint is draining before it stops"),
            (K::SourceNotAllowed, Detail::Source(address)) => {
                write!(f, "the source {address} is not on the allow-list")
            }
            (K::SourceNotAllowed, Detail::Words(why)) => {
                write!(f, "the source is not known: {why}")
            }
            (K::SourceNotAllowed, _) => f.write_str("the source is not on the allow-list"),
            (K::MissingSignature, _) => {
                f.write_str("there is no X-DataFlow-Signature header; does a proxy drop it?")
            }
            (K::RepeatedSignature, _) => {
                f.write_str("there is more than one X-DataFlow-Signature header line")
            }
            (K::MalformedSignature, Detail::Words(words)) => {
                write!(f, "the X-DataFlow-Signature header is malformed: {words}")
            }
            (K::MalformedSignature, _) => {
                f.write_str("the X-DataFlow-Signature header is malformed")
            }
            (K::TooOld, Detail::Figures(age, limit)) => write!(
                f,
                "the signature is {age} s old, {limit} s are allowed: a replay, or this \
                 machine's clock is ahead"
            ),
            (K::TooOld, _) => f.write_str("the signature is too old"),
            (K::TooNew, Detail::Figures(ahead, limit)) => write!(
                f,
                "the signature is {ahead} s in the future, {limit} s are allowed: is this \
                 machine's clock behind?"
            ),
            (K::TooNew, _) => f.write_str("the signature is too far in the future"),
            (K::NoMatch, _) => f.write_str(
                "no signature matches under any key: another secret, or a body that was changed \
                 on the way",
            ),
            (K::BodyTooLarge, Detail::Figures(bytes, limit)) => {
                write!(f, "the body is {bytes} bytes or more, {limit} are allowed")
            }
            (K::BodyTooLarge, _) => f.write_str("the body is over the limit"),
            (K::BodyTimeout, _) => f.write_str("the body was not complete in time"),
            (K::BodyLost, _) => f.write_str("the connection was lost inside the body"),
            (K::TooManyBytes, Detail::Figures(held, limit)) => write!(
                f,
                "{held} bytes of unverified deliveries are held, {limit} are allowed: a flood, \
                 or the budget is too small"
            ),
            (K::TooManyBytes, _) => f.write_str("too many bytes of unverified deliveries are held"),
            (K::TooManyRunning, Detail::Figures(running, limit)) => write!(
                f,
                "{running} handlers run, {limit} are allowed: make them faster, or queue the event"
            ),
            (K::TooManyRunning, _) => f.write_str("too many handlers run"),
            (K::TooManyPending, Detail::Figures(pending, limit)) => write!(
                f,
                "{pending} settlements wait for the dedup store, {limit} are allowed: mend the \
                 store, and do not kill this process"
            ),
            (K::TooManyPending, _) => f.write_str("too many settlements wait for the dedup store"),
            (K::NotAnEvent, _) => f.write_str("the delivery is authentic but its body is no event"),
        }?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
