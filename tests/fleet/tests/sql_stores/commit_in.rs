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
    it_can_be_repeated_under_the_same_claim,
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

async fn it_can_be_repeated_under_the_same_claim(place: impl Place) {
    let claim = new_claim(place.store(), "evt_1").await;
    let mut tx = place.complete(&claim).await;
    place.commit_in(&mut tx, &claim, terms()).await.unwrap();
    tx.commit().await.unwrap();
    place.complete(&claim).await.rollback().await.unwrap();
    assert_eq!(claimed(place.store(), "evt_1").await, ClaimOutcome::Done);
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
