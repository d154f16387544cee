//! Owns what a record says: the numbers it is stored as, and what they mean for a caller.

use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, Held};

use crate::error::{SqlStoreError, SqlStoreErrorKind};

const RELEASED: i64 = 0;
const CLAIMED: i64 = 1;
const DONE: i64 = 2;

/// About 3 000 years: longer terms count as this, so that no sum of times overflows.
const LONGEST_MS: i64 = 100_000_000_000_000;

/// A record as a statement found it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) state: i64,
    /// Its lease has not lapsed.
    pub(crate) leased: bool,
    /// Its retention is not over.
    pub(crate) live: bool,
}

/// What the holder of a claim asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Renew,
    Commit,
    Release,
}

impl Ask {
    /// The state that the record has afterwards.
    pub(crate) const fn state(self) -> i64 {
        match self {
            Self::Renew => CLAIMED,
            Self::Commit => DONE,
            Self::Release => RELEASED,
        }
    }
}

impl Found {
    /// Why the record cannot be claimed. `None` when it could: then somebody else was faster.
    pub(crate) fn refuses(self) -> Option<ClaimOutcome> {
        match self.state {
            _ if !self.live => None,
            DONE => Some(ClaimOutcome::Done),
            CLAIMED if self.leased => Some(ClaimOutcome::InFlight),
            _ => None,
        }
    }

    /// What the holder of this record's epoch is told, when its step has changed nothing. `None`
    /// when it should have: then the record is locked, or was changed meanwhile.
    pub(crate) fn answers(self, ask: Ask) -> Option<Held> {
        match self.state {
            _ if !self.live => Some(Held::No),
            CLAIMED => None,
            state => Some(Held::from(state == ask.state())),
        }
    }
}

/// An epoch as the databases have it; they give out none that is higher.
pub(crate) fn stored_epoch(epoch: u64) -> Option<i64> {
    i64::try_from(epoch).ok()
}

/// An epoch as a database has given it out.
pub(crate) fn given_epoch(stored: i64) -> Result<u64, SqlStoreError> {
    u64::try_from(stored).map_err(|_| {
        let what = format!("a record has the epoch {stored}, which this store never writes");
        SqlStoreError::new(SqlStoreErrorKind::Other, what)
    })
}

pub(crate) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(LONGEST_MS).min(LONGEST_MS)
}
