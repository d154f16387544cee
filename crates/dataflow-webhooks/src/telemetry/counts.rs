//! What an endpoint has counted, as a snapshot; by what it is told apart.

use std::fmt;

use jiff::Timestamp;

use crate::answer::{Outcome, Verdict};
use crate::rejection::RejectionKind;

/// What an endpoint has counted since it was made. See
/// [`Endpoint::counts`](crate::Endpoint::counts).
///
/// How long things took (handlers, calls of the store, the way from the event to
/// its signing, the skew) is not here: the feature `metrics` has it, as histograms;
/// see "Metrics" in the [crate's documentation](crate).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Counts {
    pub(super) outcomes: [u64; Outcome::ALL.len()],
    pub(super) rejections: [u64; RejectionKind::ALL.len()],
    pub(super) store_errors: [u64; StoreOperation::ALL.len()],
    /// Authentic deliveries of events, each attempt by itself. The platform sends
    /// at most 100 a second and 10 000 an hour, and drops the oldest beyond that
    /// ("Rate Limits").
    pub authentic: u64,
    /// Those of them that another key than the newest one of the ring matched.
    /// Worth an alert when it still rises 8 hours after a rotation.
    pub authentic_by_older_key: u64,
    /// Those of them that came from a source that is not on the allow-list, or
    /// not known, and were let through: only with
    /// [`SourceAllowList::report_only`](crate::SourceAllowList::report_only).
    pub authentic_from_unlisted: u64,
    /// Authentic deliveries that were not answered 200.
    pub authentic_refused: u64,
    /// The same, since the last one that was: five may disable the webhook
    /// ("Error Handling").
    pub authentic_refused_in_a_row: u64,
    /// When the last authentic delivery was received. A long silence may mean
    /// that the platform has disabled the webhook.
    pub last_authentic: Option<Timestamp>,
    /// Handlers that ended with a success: the sender may have waited or not.
    pub handlers_succeeded: u64,
    /// Handlers that answered anything but 2xx, or failed.
    pub handlers_failed: u64,
    /// Handlers that panicked.
    pub handlers_panicked: u64,
    /// Handlers dropped at the longest run.
    pub handlers_cut_off: u64,
    /// Claims that a later epoch had taken over, or whose record was gone, when
    /// their holder came to renew, commit or release them.
    pub lease_lost: u64,
    /// Deliveries that a sink has stored as [dead letters](crate::dead_letters),
    /// whether their senders still waited or not. Each is worth a look.
    pub dead_letters: u64,
    /// Dead letters that the sink did not store: it failed, panicked, or took too long.
    pub dead_letter_errors: u64,
    /// Deliveries handled under the in-process store while the store was away.
    pub processed_anyway: u64,
    /// Events of a documented type whose `data` did not fit.
    pub mismatched: u64,
    /// Records that a full in-memory store has dropped before their time, in
    /// the endpoint's own store; one handed to the builder counts for itself.
    pub evictions: u64,
    /// Handlers that run now.
    pub running: usize,
    /// Settlements that the store has not accepted yet. At the
    /// [limit](crate::EndpointBuilder::max_pending_commits) no handler begins.
    pub pending_commits: usize,
    /// Bytes of unverified deliveries, and of duplicates in waiting, held now, over all
    /// endpoints that share the budget.
    pub unverified_bytes: usize,
}

impl Counts {
    /// How many requests came to this. All [`Outcome::Rejected`] count as one.
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        match Outcome::ALL.iter().position(|o| *o == outcome) {
            Some(index) => self.outcomes[index],
            None => self.rejections.iter().sum(),
        }
    }

    /// How many requests were refused for this.
    #[must_use]
    pub fn rejected(&self, kind: RejectionKind) -> u64 {
        position(RejectionKind::ALL, &kind).map_or(0, |index| self.rejections[index])
    }

    /// How many calls of the store failed or took too long.
    #[must_use]
    pub fn store_errors(&self, operation: StoreOperation) -> u64 {
        position(StoreOperation::ALL, &operation).map_or(0, |index| self.store_errors[index])
    }
}

/// A call of the dedup store. A closed set of labels for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreOperation {
    /// The claim on an event.
    Claim,
    /// The renewal of a lease.
    Renew,
    /// The completion of an event.
    Commit,
    /// The return of a claim.
    Release,
}

impl StoreOperation {
    /// Every operation, in the order of declaration.
    pub const ALL: &'static [Self] = &[Self::Claim, Self::Renew, Self::Commit, Self::Release];

    /// The name as it stands in logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Renew => "renew",
            Self::Commit => "commit",
            Self::Release => "release",
        }
    }
}

/// How a handler ended, whether anybody still waited for its answer or not. A closed set of
/// labels for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandlerEnd {
    /// It answered 2xx.
    Succeeded,
    /// It answered anything else, or failed.
    Failed,
    /// It panicked.
    Panicked,
    /// It was dropped at the longest run.
    CutOff,
}

impl HandlerEnd {
    /// Every end, in the order of declaration.
    pub const ALL: &'static [Self] = &[Self::Succeeded, Self::Failed, Self::Panicked, Self::CutOff];

    /// The name as it stands in metric labels, in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::CutOff => "cut_off",
        }
    }
}

impl fmt::Display for HandlerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Verdict> for StoreOperation {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Commit => Self::Commit,
            Verdict::Release => Self::Release,
        }
    }
}

impl fmt::Display for StoreOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where one of a closed set stands in it.
pub(super) fn position<T: PartialEq>(all: &[T], one: &T) -> Option<usize> {
    all.iter().position(|other| other == one)
}
