//! Owns what each rule of the contract means, for calls one after another; those at once and those
//! that are dropped are in `at_once.rs`. The list, with a sentence for each, is in `list.rs`.

use std::time::Duration;

pub(super) use super::at_once::*;
use super::check::{Ask, Check};
use crate::dedup::{Claim, DedupKey, DedupStore};

pub(super) fn key(id: &str) -> DedupKey {
    DedupKey::from_event_id(id)
}

macro_rules! rule {
    ($($name:ident($check:ident) $body:block)*) => {$(
        pub(super) async fn $name<S, A>($check: &Check<'_, S, A>)
        where
            S: DedupStore,
            A: AsyncFn(Duration),
        $body
    )*};
}
pub(super) use rule;

rule! {
a_key_is_claimed_once(check) {
    let key = key("evt_1");
    let _claim = check.new_claim(&key, "of a new key").await;
    check.expect_in_flight(&key, "within the lease").await;
    check.pass(2).await;
    check.expect_in_flight(&key, "near the end of the lease").await;
}

a_committed_key_is_done(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Commit, &claim, "within the lease").await;
    check.expect_done(&key, "after the commit").await;
    check.pass(3).await;
    check.expect_done(&key, "when the lease would have lapsed").await;
}

a_released_key_is_new_again(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Release, &first, "within the lease").await;
    let second = check.new_claim(&key, "after the release").await;
    check.expect("the next epoch", second.epoch(), first.epoch() + 1);
    check.expect_in_flight(&key, "within the second lease").await;
}

a_reclaimed_key_refuses_the_holder_that_released_it(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Release, &first, "within the lease").await;
    let second = check.new_claim(&key, "after the release").await;
    check.expect_all_refused(&first, "by the earlier holder").await;
    check.expect_in_flight(&key, "after the earlier holder's attempts").await;
    check.expect_held(Ask::Commit, &second, "by the present holder").await;
    check.expect_all_refused(&first, "by the earlier holder of a done key").await;
    check.expect_done(&key, "in the end").await;
}

a_lapsed_lease_can_be_taken_over(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.pass(3).await;
    let second = check.new_claim(&key, "after the lease").await;
    check.expect("the next epoch", second.epoch(), first.epoch() + 1);
    check.expect_in_flight(&key, "within the second lease").await;
}

a_holder_that_was_taken_over_is_refused(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.pass(3).await;
    let second = check.new_claim(&key, "after the lease").await;
    check.expect_all_refused(&first, "by the late holder").await;
    check.expect_in_flight(&key, "after the late holder's attempts").await;
    check.expect_held(Ask::Release, &second, "by the present holder").await;
    check.expect_all_refused(&first, "by the late holder of a released key").await;
    let third = check.new_claim(&key, "after the release").await;
    check.expect("the third epoch", third.epoch(), first.epoch() + 2);
    check.expect_all_refused(&first, "by the late holder, two claims later").await;
    check.expect_held(Ask::Commit, &third, "by the third holder").await;
}

a_lapsed_lease_nobody_took_still_renews(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.pass(3).await;
    check.expect_held(Ask::Renew, &claim, "of a lapsed lease").await;
    check.pass(2).await;
    check.expect_in_flight(&key, "within the renewed lease").await;
}

a_lapsed_lease_nobody_took_still_commits(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.pass(3).await;
    check.expect_held(Ask::Commit, &claim, "of a lapsed lease").await;
    check.expect_done(&key, "after the commit").await;
}

a_lapsed_lease_nobody_took_still_releases(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.pass(3).await;
    check.expect_held(Ask::Release, &first, "of a lapsed lease").await;
    let second = check.new_claim(&key, "after the release").await;
    check.expect("the next epoch", second.epoch(), first.epoch() + 1);
}

a_repeated_commit_is_held(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Commit, &claim, "at first").await;
    check.expect_held(Ask::Commit, &claim, "at once again").await;
    check.pass(3).await;
    check.expect_held(Ask::Commit, &claim, "again after the lease").await;
    check.expect_done(&key, "after three commits").await;
}

a_repeated_release_is_held(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Release, &first, "at first").await;
    check.expect_held(Ask::Release, &first, "at once again").await;
    check.pass(3).await;
    check.expect_held(Ask::Release, &first, "again after the lease").await;
    let second = check.new_claim(&key, "after three releases").await;
    check.expect("the next epoch", second.epoch(), first.epoch() + 1);
}

a_release_after_the_commit_leaves_it_done(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Commit, &claim, "within the lease").await;
    check.expect_refused(Ask::Release, &claim, "after the commit").await;
    check.expect_done(&key, "after the refused release").await;
    check.expect_held(Ask::Commit, &claim, "again").await;
}

a_commit_after_the_release_is_refused(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Release, &claim, "within the lease").await;
    check.expect_refused(Ask::Commit, &claim, "after the release").await;
    let _claim = check.new_claim(&key, "after the refused commit").await;
}

a_renewal_extends_the_lease(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    for round in 1..=3 {
        check.pass(2).await;
        check.expect_held(Ask::Renew, &claim, &format!("{round}")).await;
    }
    check.pass(2).await;
    check.expect_in_flight(&key, "within the renewed lease").await;
    check.pass(1).await;
    let second = check.new_claim(&key, "after the renewed lease").await;
    check.expect("the next epoch", second.epoch(), claim.epoch() + 1);
}

a_settled_claim_is_not_renewed(check) {
    let (done, released) = (key("evt_done"), key("evt_released"));
    let claim = check.new_claim(&done, "of a new key").await;
    check.expect_held(Ask::Commit, &claim, "within the lease").await;
    check.expect_refused(Ask::Renew, &claim, "after the commit").await;
    check.expect_done(&done, "after the refused renewal").await;

    let claim = check.new_claim(&released, "of a new key").await;
    check.expect_held(Ask::Release, &claim, "within the lease").await;
    check.expect_refused(Ask::Renew, &claim, "after the release").await;
    let _claim = check.new_claim(&released, "after the refused renewal").await;
}

a_forgotten_key_is_new_again(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Commit, &first, "within the lease").await;
    check.forget(&key).await;
    check.expect_refused(Ask::Commit, &first, "again, of a forgotten key").await;
    let second = check.new_claim(&key, "of a forgotten key").await;
    check.expect("the next epoch", second.epoch(), first.epoch() + 1);
    check.expect_all_refused(&first, "by the holder before the key was forgotten").await;
    check.expect_held(Ask::Commit, &second, "by the present holder").await;
}

a_forgotten_claim_is_refused(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.forget(&key).await;
    check.expect_refused(Ask::Renew, &first, "of a forgotten claim").await;
    check.expect_refused(Ask::Commit, &first, "of a forgotten claim").await;
    let second = check.new_claim(&key, "of a key forgotten in flight").await;
    check.expect("the next epoch", second.epoch(), first.epoch() + 1);
    check.expect_all_refused(&first, "by the forgotten holder").await;
    check.expect_held(Ask::Commit, &second, "by the present holder").await;
}

forgetting_an_absent_key_changes_nothing(check) {
    let key = key("evt_1");
    check.forget(&key).await;
    check.expect_all_refused(&Claim::new(key.clone(), 1), "of an absent key").await;
    let claim = check.new_claim(&key, "of an absent key").await;
    check.expect("the first epoch", claim.epoch(), 1);
}

an_absent_key_is_not_held(check) {
    let key = key("evt_1");
    for epoch in [0, 1, 2] {
        check.expect_all_refused(&Claim::new(key.clone(), epoch), "of an absent key").await;
    }
    let claim = check.new_claim(&key, "of an absent key").await;
    check.expect("the first epoch", claim.epoch(), 1);
}

an_invented_epoch_is_refused(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Release, &first, "within the lease").await;
    let claim = check.new_claim(&key, "after the release").await;
    for epoch in [0, 1, 3, (1 << 32) + 2, u64::MAX] {
        check.expect_all_refused(&Claim::new(key.clone(), epoch), "with another epoch").await;
    }
    check.expect_in_flight(&key, "after the attempts").await;
    check.expect_held(Ask::Commit, &claim, "by the holder").await;
    for epoch in [0, 1, 3, (1 << 32) + 2, u64::MAX] {
        check.expect_all_refused(&Claim::new(key.clone(), epoch), "of a done key").await;
    }
    check.expect_done(&key, "in the end").await;
}

epochs_count_the_runs(check) {
    let key = key("evt_1");
    for run in 1..=100 {
        let claim = check.new_claim(&key, &format!("number {run}")).await;
        check.expect("the epoch", claim.epoch(), run);
        check.expect_held(Ask::Release, &claim, &format!("number {run}")).await;
    }
}

a_done_record_expires(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Commit, &claim, "within the lease").await;
    check.pass(8).await;
    check.expect_done(&key, "near the end of the retention").await;
    check.pass(1).await;
    let _claim = check.new_claim(&key, "after the retention").await;
    check.expect_in_flight(&key, "after the new claim").await;
}

an_expired_claim_is_refused(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.pass(9).await;
    check.expect_all_refused(&claim, "after the retention").await;
    let _claim = check.new_claim(&key, "after the retention").await;
}

a_change_starts_the_retention_anew(check) {
    let key = key("evt_1");
    let first = check.new_claim(&key, "of a new key").await;
    check.pass(6).await;
    check.expect_held(Ask::Renew, &first, "6 ticks after the claim").await;
    check.pass(6).await;
    check.expect_held(Ask::Release, &first, "6 ticks after the renewal").await;
    check.pass(6).await;
    let second = check.new_claim(&key, "6 ticks after the release").await;
    check.expect("the epoch", second.epoch(), first.epoch() + 1);
    check.pass(6).await;
    check.expect_held(Ask::Commit, &second, "6 ticks after the claim").await;
    check.pass(6).await;
    check.expect_done(&key, "6 ticks after the commit").await;
}

a_duplicate_does_not_lengthen_the_retention(check) {
    let key = key("evt_1");
    let claim = check.new_claim(&key, "of a new key").await;
    check.expect_held(Ask::Commit, &claim, "within the lease").await;
    check.pass(6).await;
    check.expect_done(&key, "within the retention").await;
    check.expect_held(Ask::Commit, &claim, "again, within the retention").await;
    check.pass(3).await;
    let _claim = check.new_claim(&key, "a retention after the commit").await;
}

keys_do_not_influence_each_other(check) {
    let (a, b) = (key("evt_a"), key("evt_b"));
    let claim_a = check.new_claim(&a, "of a").await;
    check.expect_all_refused(&Claim::new(b.clone(), claim_a.epoch()), "of b with a's epoch").await;
    let claim_b = check.new_claim(&b, "of b while a is in flight").await;
    check.expect("b's epoch", claim_b.epoch(), 1);
    check.expect_held(Ask::Commit, &claim_a, "of a").await;
    check.expect_in_flight(&b, "of b while a is done").await;
    check.expect_held(Ask::Release, &claim_b, "of b").await;
    check.expect_done(&a, "of a while b is released").await;
    check.forget(&b).await;
    check.expect_done(&a, "of a after b was forgotten").await;
    let _claim = check.new_claim(&b, "of b after it was forgotten").await;
}

similar_keys_are_distinct(check) {
    let ids = [
        "evt_1", "EVT_1", "Evt_1", "evt_2", "evt_10", "evt-1", "evt.1", "evt:1", "evt_1 ", " evt_1",
        "", "\0", "evt_1\0", "é", "e\u{301}", "É", "'", "%", "evt%1", "evt_%", "*", "{evt_1}",
        "sha256:00", "id:evt_1",
    ];
    let mut keys: Vec<_> = ids.into_iter().map(key).collect();
    // The longest that are kept as they are, differing in the last byte only, and the next longer.
    keys.extend(["a", "b", "ab"].map(|end| key(&format!("{}{end}", "x".repeat(63)))));
    let mut in_flight = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let claim = check.new_claim(key, &format!("of the new key {key}")).await;
        if index % 2 == 0 {
            check.expect_held(Ask::Commit, &claim, &format!("of {key}")).await;
        } else {
            in_flight.push(claim);
        }
    }
    for key in keys.iter().step_by(2) {
        check.expect_done(key, &format!("of the done key {key}")).await;
    }
    for claim in &in_flight {
        check.expect_held(Ask::Commit, claim, &format!("of {}", claim.key())).await;
    }
}
}
