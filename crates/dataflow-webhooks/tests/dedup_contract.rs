//! The contract suite itself: it must see a store that breaks a rule, and say which.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use dataflow_webhooks::dedup::{
    BoxError, Claim, ClaimOutcome, DedupKey, DedupStore, Held, MemoryStore, StoreFuture, Terms,
};
use dataflow_webhooks::testing::{ManualClock, StoreContract};
use pollster::block_on;

/// A sound store, with a fault put on top.
struct Faulty {
    store: MemoryStore,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// "I have seen this" is taken for "it is done".
    DoneWhileInFlight,
    /// The epoch is not looked at.
    StaleCommitIsHeld,
    /// Every call fails.
    Away,
}

impl DedupStore for Faulty {
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(async move {
            if self.fault == Fault::Away {
                return Err(BoxError::from(Away(fmt::Error)));
            }
            Ok(match self.store.claim(key, terms).await? {
                ClaimOutcome::InFlight if self.fault == Fault::DoneWhileInFlight => {
                    ClaimOutcome::Done
                }
                outcome => outcome,
            })
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        self.store.renew(claim, terms)
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let held = self.store.commit(claim, terms).await?;
            Ok(if self.fault == Fault::StaleCommitIsHeld { Held::Yes } else { held })
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        self.store.release(claim, terms)
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        self.store.forget(key)
    }
}

#[derive(Debug)]
struct Away(fmt::Error);

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server is away")
    }
}

impl Error for Away {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// The suite on stores with this fault.
fn contract(fault: Fault) -> StoreContract<impl AsyncFn() -> Faulty, impl AsyncFn(Duration)> {
    let clock = ManualClock::new();
    let read = clock.clone();
    StoreContract::new(
        async move || {
            let clock = read.clone();
            let store = MemoryStore::new().with_clock(move || clock.now());
            Faulty { store, fault }
        },
        async move |time| clock.advance(time),
    )
}

/// What a part of the suite found; `None` when it is content.
fn finding(part: impl Future<Output = ()>) -> Option<String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| block_on(part)));
    outcome.err().map(|panic| *panic.downcast::<String>().unwrap())
}

#[test]
fn a_sound_store_passes() {
    assert_eq!(finding(contract(Fault::None).run()), None);
    assert_eq!(finding(contract(Fault::None).random_ops(1, 5_000)), None);
}

#[test]
fn a_finding_names_the_rule_the_call_and_both_answers() {
    assert_eq!(
        finding(contract(Fault::DoneWhileInFlight).run()).unwrap(),
        "store contract, a_key_is_claimed_once: \
         claim within the lease must be InFlight, was Done"
    );
}

#[test]
fn a_rule_can_be_checked_alone() {
    let contract = contract(Fault::StaleCommitIsHeld);
    assert_eq!(finding(contract.a_committed_key_is_done()), None);
    assert_eq!(
        finding(contract.a_holder_that_was_taken_over_is_refused()).unwrap(),
        "store contract, a_holder_that_was_taken_over_is_refused: \
         Commit by the late holder must be No, was Yes"
    );
}

#[test]
fn random_operations_find_a_fault_and_print_the_seed() {
    let found = finding(contract(Fault::StaleCommitIsHeld).random_ops(42, 5_000)).unwrap();
    assert!(found.starts_with("store contract, random_ops: seed 42: "), "{found}");
    assert!(found.contains("the last answer must be No:"), "{found}");
    assert!(found.lines().last().unwrap().contains("Commit id:"), "{found}");
}

#[test]
fn a_failing_call_is_shown_with_its_causes() {
    let found = finding(contract(Fault::Away).run()).unwrap();
    let call = "claim of DedupKey(\"id:evt_1\") failed: the server is away: ";
    assert!(found.contains(call), "{found}");
    assert!(found.ends_with(&fmt::Error.to_string()), "{found}");
}

#[test]
fn the_rules_are_listed_by_name() {
    let names = StoreContract::<(), ()>::RULES;
    assert!(names.contains(&"a_key_is_claimed_once"));
    assert!(names.contains(&"a_dropped_commit_can_be_repeated"));
}
