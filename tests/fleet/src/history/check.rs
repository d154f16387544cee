//! Holds a history against what was promised.
//!
//! Times are those at which a party asked or was told, never those inside of the
//! store. So every comparison leaves the store the benefit of the doubt, and a
//! violation that is found is one.

use std::collections::BTreeMap;
use std::fmt;

use super::{Record, What};

/// How long, in nanoseconds, a handler's success takes to be recorded where nothing is
/// broken: a call of the store has 2 s.
const SETTLED_WITHIN: u64 = 2_000_000_000;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "tests match it")]
pub enum Violation {
    /// The sender was told 200 before any handler of the event had succeeded.
    AnsweredBeforeDone {
        /// The event.
        id: String,
        /// The attempt that was answered.
        attempt: u32,
    },
    /// The store accepted a completion although the claim's own handler had not
    /// succeeded.
    CommittedBeforeDone {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
    },
    /// The store accepted the completions of two claims of one event.
    CommittedTwice {
        /// The event.
        id: String,
        /// The claims' epochs.
        epochs: Vec<u64>,
    },
    /// The store granted a claim although it has accepted the completion of an earlier
    /// one, or it accepted that although the later one was granted. Which of the two does
    /// not matter: the completion has to be the last thing that happens to an event.
    ClaimedBesideCommit {
        /// The event.
        id: String,
        /// The epoch of the claim that was completed.
        committed: u64,
        /// The epoch of the later claim.
        granted: u64,
    },
    /// A claim was granted while the lease of another one was running, or a lease was
    /// extended after its claim had been taken over.
    TwoLiveLeases {
        /// The event.
        id: String,
        /// The epoch of the claim that was running.
        running: u64,
        /// The epoch of the claim that was granted.
        granted: u64,
    },
    /// A later claim has no higher epoch than an earlier one.
    EpochNotRising {
        /// The event.
        id: String,
        /// The earlier claim's epoch.
        earlier: u64,
        /// The later claim's epoch.
        later: u64,
    },
    /// A handler ran a second time, and nothing that happened explains it.
    UnexplainedRun {
        /// The event.
        id: String,
        /// The epoch of the run.
        epoch: u64,
    },
    /// A handler ran twice under one claim.
    RanTwice {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
    },
    /// A handler ran without a claim, or under that of another process.
    RunWithoutClaim {
        /// The event.
        id: String,
        /// The epoch of the run.
        epoch: u64,
    },
    /// The sender was told 200, nothing was broken, and yet the store has accepted no
    /// completion: a retry would run the event again.
    NeverCommitted {
        /// The event.
        id: String,
        /// The claim whose handler had succeeded.
        epoch: u64,
    },
    /// The sender has given an event up, or its history ends before a 200.
    NeverAnswered200 {
        /// The event.
        id: String,
    },
}

impl Violation {
    /// The event whose promise was broken.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::AnsweredBeforeDone { id, .. }
            | Self::CommittedBeforeDone { id, .. }
            | Self::CommittedTwice { id, .. }
            | Self::NeverCommitted { id, .. }
            | Self::ClaimedBesideCommit { id, .. }
            | Self::TwoLiveLeases { id, .. }
            | Self::EpochNotRising { id, .. }
            | Self::UnexplainedRun { id, .. }
            | Self::RanTwice { id, .. }
            | Self::RunWithoutClaim { id, .. }
            | Self::NeverAnswered200 { id } => id,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Every promise that this history breaks. The records may be in any order.
#[must_use]
pub fn check(records: &[Record]) -> Vec<Violation> {
    let mut faults = Vec::new();
    let mut events: BTreeMap<&str, Event> = BTreeMap::new();
    let mut ordered: Vec<_> = records.iter().collect();
    ordered.sort_by_key(|record| record.at);
    for record in ordered {
        match &record.what {
            What::Fault { of, since, .. } => {
                faults.push(Fault { of: *of, since: *since, until: record.at });
            }
            what => {
                if let Some(id) = what.id() {
                    events.entry(id).or_default().add(record);
                }
            }
        }
    }
    let mut found = Vec::new();
    for (id, event) in &events {
        event.check(id, &faults, &mut found);
    }
    found
}

struct Fault {
    of: Option<u32>,
    since: u64,
    until: u64,
}

/// One claim of an event, and all that is known of it.
struct Held {
    epoch: u64,
    process: u32,
    called: u64,
    granted: u64,
    /// No store can think that the lease has lapsed before this.
    lives_until: u64,
    /// When the last renewal that was held was asked for.
    renewed: Option<u64>,
    released: Option<u64>,
    runs: u32,
    succeeded: Option<u64>,
    failed: bool,
    committed: bool,
    commit_failed: bool,
}

/// All records of one event.
#[derive(Default)]
struct Event {
    is_sent: bool,
    /// The attempts answered 200, and when.
    acknowledged: Vec<(u32, u64)>,
    claims: Vec<Held>,
    strays: Vec<u64>,
}

impl Event {
    fn add(&mut self, record: &Record) {
        let at = record.at;
        match &record.what {
            What::Sent { .. } => self.is_sent = true,
            What::Answered { attempt, status, .. } => {
                if *status == Some(200) {
                    self.acknowledged.push((*attempt, at));
                }
            }
            What::Claimed { epoch, called, lease, .. } => self.claims.push(Held {
                epoch: *epoch,
                process: record.process,
                called: *called,
                granted: at,
                lives_until: called.saturating_add(*lease),
                renewed: None,
                released: None,
                runs: 0,
                succeeded: None,
                failed: false,
                committed: false,
                commit_failed: false,
            }),
            What::Renewed { epoch, called, lease, .. } => self.of(*epoch, |claim| {
                claim.lives_until = claim.lives_until.max(called.saturating_add(*lease));
                claim.renewed = claim.renewed.max(Some(*called));
            }),
            What::RunBegan { epoch, .. } => {
                let mut is_own = true;
                self.of(*epoch, |claim| {
                    claim.runs += 1;
                    is_own = claim.process == record.process;
                });
                if !is_own {
                    self.strays.push(*epoch);
                }
            }
            What::RunEnded { epoch, ok: true, .. } => {
                self.of(*epoch, |claim| claim.succeeded = Some(at));
            }
            What::RunEnded { epoch, ok: false, .. } => self.of(*epoch, |claim| claim.failed = true),
            What::Releasing { epoch, .. } => {
                self.of(*epoch, |claim| claim.released = claim.released.or(Some(at)));
            }
            What::Committed { epoch, .. } => self.of(*epoch, |claim| claim.committed = true),
            What::CommitFailed { epoch, .. } => {
                self.of(*epoch, |claim| claim.commit_failed = true);
            }
            What::Fault { .. } => {}
        }
    }

    /// The last claim with this epoch, if the history has one.
    fn of(&mut self, epoch: u64, change: impl FnOnce(&mut Held)) {
        match self.claims.iter_mut().rev().find(|claim| claim.epoch == epoch) {
            Some(claim) => change(claim),
            None => self.strays.push(epoch),
        }
    }

    fn check(&self, id: &str, faults: &[Fault], found: &mut Vec<Violation>) {
        let id = id.to_owned();
        let done = self.claims.iter().filter_map(|claim| claim.succeeded).min();
        for &(attempt, at) in &self.acknowledged {
            if done.is_none_or(|done| done > at) {
                found.push(Violation::AnsweredBeforeDone { id: id.clone(), attempt });
            }
        }
        if self.is_sent && self.acknowledged.is_empty() {
            found.push(Violation::NeverAnswered200 { id: id.clone() });
        }
        for &epoch in &self.strays {
            found.push(Violation::RunWithoutClaim { id: id.clone(), epoch });
        }
        let committed = self.claims.iter().filter(|claim| claim.committed);
        let epochs: Vec<_> = committed.clone().map(|claim| claim.epoch).collect();
        if epochs.len() > 1 {
            found.push(Violation::CommittedTwice { id: id.clone(), epochs });
        }
        if committed.clone().next().is_none() && !self.acknowledged.is_empty() {
            let untouched = self.claims.iter().filter(|claim| {
                claim.succeeded.is_some_and(|succeeded| {
                    // After a failure it is tried for as long as its process is there.
                    let tried = if claim.commit_failed { u64::MAX } else { SETTLED_WITHIN };
                    !claim.was_hit_until(succeeded.saturating_add(tried), faults)
                })
            });
            for claim in untouched {
                found.push(Violation::NeverCommitted { id: id.clone(), epoch: claim.epoch });
            }
        }
        for claim in committed.filter(|claim| claim.succeeded.is_none()) {
            found.push(Violation::CommittedBeforeDone { id: id.clone(), epoch: claim.epoch });
        }
        for claim in self.claims.iter().filter(|claim| claim.runs > 1) {
            found.push(Violation::RanTwice { id: id.clone(), epoch: claim.epoch });
        }
        for (index, later) in self.claims.iter().enumerate() {
            for earlier in &self.claims[..index] {
                // Were they granted at the same time, their order is not known.
                if earlier.granted < later.called && earlier.epoch >= later.epoch
                    || earlier.epoch == later.epoch
                {
                    let (earlier, later) = (earlier.epoch, later.epoch);
                    found.push(Violation::EpochNotRising { id: id.clone(), earlier, later });
                }
            }
        }
        let mut by_epoch: Vec<_> = self.claims.iter().collect();
        by_epoch.sort_by_key(|claim| claim.epoch);
        for pair in by_epoch.windows(2) {
            let (running, next) = (pair[0], pair[1]);
            if running.committed {
                let (committed, granted) = (running.epoch, next.epoch);
                found.push(Violation::ClaimedBesideCommit { id: id.clone(), committed, granted });
            }
            // A renewal that was asked for before may be heard of late.
            let is_released = running.released.is_some_and(|at| at < next.granted)
                && running.renewed.is_none_or(|called| called < next.granted);
            if running.lives_until > next.granted && !is_released {
                let (running, granted) = (running.epoch, next.epoch);
                found.push(Violation::TwoLiveLeases { id: id.clone(), running, granted });
            }
            if next.runs > 0 && !running.explains(next, faults) {
                found.push(Violation::UnexplainedRun { id: id.clone(), epoch: next.epoch });
            }
        }
    }
}

impl Held {
    /// Whether a next run is no wonder: this one failed, never began, or was hit by
    /// something between its claim and the next one.
    fn explains(&self, next: &Self, faults: &[Fault]) -> bool {
        self.failed
            || (self.runs == 0 && self.released.is_some())
            || self.was_hit_until(next.granted, faults)
    }

    /// Whether something was done to its process or to the store between the claim and
    /// this time.
    fn was_hit_until(&self, end: u64, faults: &[Fault]) -> bool {
        let is_hit = |fault: &Fault| {
            fault.of.is_none_or(|process| process == self.process)
                && fault.since <= end
                && fault.until >= self.called
        };
        faults.iter().any(is_hit)
    }
}
