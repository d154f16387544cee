//! Owns the words that a store and its caller exchange.

use std::time::Duration;

use super::DedupKey;

/// The right to run one event once, as a store handed it out.
///
/// The epoch tells this run from all others of the event: it rises with each claim. Handlers can
/// use it to fence their own writes ("only if no higher epoch has written").
///
/// A `Claim` is a name, not a guard: dropping it changes nothing, and the lease then lapses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    key: DedupKey,
    epoch: u64,
}

impl Claim {
    /// For authors of stores: the claim of `key` with this epoch.
    ///
    /// Making one up does not help anybody to run an event: stores compare the epoch.
    #[must_use]
    pub const fn new(key: DedupKey, epoch: u64) -> Self {
        Self { key, epoch }
    }

    /// The event's key.
    #[must_use]
    pub const fn key(&self) -> &DedupKey {
        &self.key
    }

    /// The number of this run: 1 for the first claim of a record, then rising by one.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// What a store answers to a claim.
#[allow(clippy::exhaustive_enums)] // Closed: a caller must answer every one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a new claim must be committed or released"]
pub enum ClaimOutcome {
    /// The event is ours to run until the lease lapses.
    New(Claim),
    /// The event was processed before.
    Done,
    /// Another delivery of the event is running, and its lease has not lapsed.
    InFlight,
}

/// Whether a store did what the holder of a claim asked for.
#[allow(clippy::exhaustive_enums)] // Closed: a fencing token holds or it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a claim that is no longer held must not be acted upon"]
pub enum Held {
    /// It is done, or had been done before for this very claim.
    Yes,
    /// The claim no longer holds; nothing was changed.
    No,
}

impl From<bool> for Held {
    /// `true` is [`Held::Yes`]; for stores that count the rows they changed.
    fn from(held: bool) -> Self {
        if held { Self::Yes } else { Self::No }
    }
}

/// For how long a store keeps what.
///
/// The values are not checked here, so that tests can use short ones. An endpoint's builder is
/// where the allowed ranges are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    lease: Duration,
    retention: Duration,
}

impl Terms {
    /// Terms with this lease and this retention. The retention should be much the longer one.
    #[must_use]
    pub const fn new(lease: Duration, retention: Duration) -> Self {
        Self { lease, retention }
    }

    /// How long a claim is held without being renewed. Default: 30 s.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How long a record is kept after its last change. Default: 24 h.
    #[must_use]
    pub const fn retention(&self) -> Duration {
        self.retention
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::new(Duration::from_secs(30), Duration::from_secs(24 * 60 * 60))
    }
}
