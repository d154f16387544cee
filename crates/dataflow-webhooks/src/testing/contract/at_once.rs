//! Owns what the rules mean for calls that are made at once, and for calls that are dropped.

use std::time::Duration;

use super::check::{Ask, Check, both, drop_after_polls, join};
use super::rules::{key, rule};
use crate::dedup::{Claim, ClaimOutcome, DedupKey, DedupStore, Held};

rule! {
one_of_many_claims_at_once_wins(check) {
    for round in 0..20 {
        let key = key(&format!("evt_{round}"));
        let claim = only_winner(check, &key).await;
        check.expect("the winner's epoch", claim.epoch(), 1);
        check.expect_held(Ask::Commit, &claim, "by the winner").await;
    }
}

one_of_many_takeovers_at_once_wins(check) {
    for round in 0..3 {
        let key = key(&format!("evt_{round}"));
        let first = check.new_claim(&key, "of a new key").await;
        check.pass(3).await;
        let second = only_winner(check, &key).await;
        check.expect("the winner's epoch", second.epoch(), first.epoch() + 1);
        check.expect_refused(Ask::Commit, &first, "by the late holder").await;
        check.expect_held(Ask::Commit, &second, "by the winner").await;
    }
}

a_late_commit_and_a_takeover_at_once_agree(check) {
    let keys: Vec<_> = (0..20).map(|round| key(&format!("evt_{round}"))).collect();
    let mut late = Vec::new();
    for key in &keys {
        late.push(check.new_claim(key, "of a new key").await);
    }
    check.pass(3).await;
    for (round, (key, late)) in keys.iter().zip(&late).enumerate() {
        let (commit, claim) = (check.ask(Ask::Commit, late), check.claim(key));
        let (committed, claimed) = both(commit, claim, round % 2 == 0).await;
        match (committed, claimed) {
            (Held::Yes, ClaimOutcome::Done) => {}
            (Held::No, ClaimOutcome::New(taken)) => {
                check.expect("the next epoch", taken.epoch(), late.epoch() + 1);
                check.expect_held(Ask::Commit, &taken, "after the takeover").await;
            }
            other => check.broken(&format!("commit and takeover disagree: {other:?}")),
        }
        check.expect_done(key, "in the end").await;
    }
}

a_dropped_claim_lapses(check) {
    for polls in 0..4 {
        let key = key(&format!("evt_{polls}"));
        drop_after_polls(check.store.claim(&key, check.terms), polls).await;
        // The call may have been made or not, and may still be on its way to a server.
        let early = check.claim(&key).await;
        let claim = match early {
            ClaimOutcome::New(claim) => claim,
            ClaimOutcome::InFlight => {
                check.pass(3).await;
                check.new_claim(&key, "after the dropped claim's lease").await
            }
            ClaimOutcome::Done => check.broken("a dropped claim made the key done"),
        };
        check.expect_held(Ask::Commit, &claim, "after the dropped claim").await;
        check.expect_done(&key, "in the end").await;
    }
}

a_dropped_commit_can_be_repeated(check) {
    for polls in 0..4 {
        let key = key(&format!("evt_{polls}"));
        let claim = check.new_claim(&key, "of a new key").await;
        drop_after_polls(check.store.commit(&claim, check.terms), polls).await;
        check.expect_held(Ask::Commit, &claim, "after a commit was dropped").await;
        check.expect_done(&key, "in the end").await;
    }
}
}

/// Claims a key sixteen times at once, and demands one New and fifteen InFlight.
async fn only_winner<S, A>(check: &Check<'_, S, A>, key: &DedupKey) -> Claim
where
    S: DedupStore,
    A: AsyncFn(Duration),
{
    let calls = (0..16).map(|_| check.store.claim(key, check.terms)).collect();
    let mut winners = Vec::new();
    for answer in join(calls).await {
        match check.answer("claim", key, answer) {
            ClaimOutcome::New(claim) => winners.push(claim),
            ClaimOutcome::InFlight => {}
            ClaimOutcome::Done => check.broken("a claim was Done before any commit"),
        }
    }
    match <[Claim; 1]>::try_from(winners) {
        Ok([claim]) => claim,
        Err(winners) => check.broken(&format!("one claim of 16 must be New, were {winners:?}")),
    }
}
