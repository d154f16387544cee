//! A handler's writes and the completion of its event in one transaction.

use dataflow_webhooks::dedup::{Claim, ClaimOutcome, DedupStore as _, Held, Terms};
use webhook_fleet_tests::calls::{
    claimed, key, new_claim, new_claim_for, short_lease, short_retention, terms,
};

use crate::place::Place;
use webhook_fleet_tests::on_each_database;

on_each_database![
    the_writes_and_the_completion_are_one_step,
    the_commit_after_the_handler_finds_it_done,
    a_second_transaction_under_the_same_claim_is_refused,
    a_run_whose_claim_was_made_again_after_a_loss_is_refused_when_the_other_was_faster,
    a_transaction_that_is_dropped_leaves_neither,
    a_claim_that_was_taken_over_is_refused,
    a_claim_that_was_given_back_is_refused,
    a_lapsed_lease_that_nobody_took_still_commits,
    the_retention_of_the_completion_is_that_of_the_terms,
];

async fn the_writes_and_the_completion_are_one_step(place: impl Place) {
    let claim = new_claim(place.store(), "evt_1").await;
    let tx = place.complete(&claim).await;
    assert_eq!(place.orders().await, 0);
    assert_eq!(claimed(place.store(), "evt_1").await, ClaimOutcome::InFlight);
    tx.commit().await.unwrap();
    assert_eq!(place.orders().await, 1);
    assert_eq!(claimed(place.store(), "evt_1").await, ClaimOutcome::Done);
}

async fn the_commit_after_the_handler_finds_it_done(place: impl Place) {
    let claim = new_claim(place.store(), "evt_1").await;
    place.complete(&claim).await.commit().await.unwrap();
    assert_eq!(place.store().commit(&claim, terms()).await.unwrap(), Held::Yes);
}

/// A handler that does not know whether its `tx.commit()` happened, and tries again: its writes would
/// be there twice.
async fn a_second_transaction_under_the_same_claim_is_refused(place: impl Place) {
    let claim = new_claim(place.store(), "evt_1").await;
    place.complete(&claim).await.commit().await.unwrap();
    place.expect_lease_lost(&claim).await;
    assert_eq!(place.orders().await, 1);
    assert_eq!(claimed(place.store(), "evt_1").await, ClaimOutcome::Done);
}

/// As after a failover to a standby that had not got the first claim yet: both have the same epoch.
async fn a_run_whose_claim_was_made_again_after_a_loss_is_refused_when_the_other_was_faster(
    place: impl Place,
) {
    let lost = new_claim(place.store(), "evt_1").await;
    place.lose_records().await;
    let claim = new_claim(place.store(), "evt_1").await;
    assert_eq!(claim.epoch(), lost.epoch());
    place.complete(&lost).await.commit().await.unwrap();
    place.expect_lease_lost(&claim).await;
    assert_eq!(place.orders().await, 1);
}

async fn a_transaction_that_is_dropped_leaves_neither(place: impl Place) {
    let claim = new_claim(place.store(), "evt_1").await;
    drop(place.complete(&claim).await);
    assert_eq!(place.store().release(&claim, terms()).await.unwrap(), Held::Yes);
    assert_eq!(place.orders().await, 0);
    let claim = new_claim(place.store(), "evt_1").await;
    place.complete(&claim).await.commit().await.unwrap();
    assert_eq!(place.orders().await, 1);
}

async fn a_claim_that_was_taken_over_is_refused(place: impl Place) {
    let late = new_claim_for(place.store(), "evt_1", short_lease()).await;
    place.lapse().await;
    let next = new_claim(place.store(), "evt_1").await;
    place.expect_lease_lost(&late).await;
    place.complete(&next).await.commit().await.unwrap();
    place.expect_lease_lost(&late).await;
}

async fn a_claim_that_was_given_back_is_refused(place: impl Place) {
    let store = place.store();
    let released = new_claim(store, "evt_released").await;
    assert_eq!(store.release(&released, terms()).await.unwrap(), Held::Yes);
    let forgotten = new_claim(store, "evt_forgotten").await;
    store.forget(&key("evt_forgotten")).await.unwrap();
    let expired = new_claim_for(store, "evt_expired", short_retention()).await;
    place.lapse().await;
    let never = Claim::new(key("evt_never"), 1);
    let beyond = Claim::new(key("evt_released"), u64::MAX);
    for claim in [released, forgotten, expired, never, beyond] {
        place.expect_lease_lost(&claim).await;
    }
}

async fn a_lapsed_lease_that_nobody_took_still_commits(place: impl Place) {
    let claim = new_claim_for(place.store(), "evt_1", short_lease()).await;
    place.lapse().await;
    place.complete(&claim).await.commit().await.unwrap();
    assert_eq!(claimed(place.store(), "evt_1").await, ClaimOutcome::Done);
}

async fn the_retention_of_the_completion_is_that_of_the_terms(place: impl Place) {
    let claim = new_claim(place.store(), "evt_1").await;
    let mut tx = place.handle().await;
    let short = Terms::new(terms().lease(), short_retention().retention());
    place.commit_in(&mut tx, &claim, short).await.unwrap();
    tx.commit().await.unwrap();
    place.lapse().await;
    new_claim(place.store(), "evt_1").await;
}
