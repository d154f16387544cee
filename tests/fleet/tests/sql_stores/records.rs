//! Many clients, scopes, expired records.

use std::num::NonZeroU32;
use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_sqlx::SqlStoreErrorKind as Kind;
use webhook_fleet_tests::calls::{
    at_last, claimed, done, each_event_has_one_winner, key, new_claim, new_claim_for,
    short_retention, sql_error, terms,
};

use crate::place::Place;
use webhook_fleet_tests::on_each_database;

const RECORDS: &str = "dataflow_webhooks_dedup";

on_each_database![
    of_many_clients_at_once_each_event_has_one_winner,
    two_scopes_never_see_each_other,
    a_scope_of_other_characters_is_refused,
    without_the_table_the_error_says_what_to_run,
    expired_records_are_deleted_in_batches_and_live_ones_never,
    the_cleanup_deletes_until_it_is_dropped,
];

fn batch(of: u32) -> NonZeroU32 {
    NonZeroU32::new(of).unwrap()
}

async fn of_many_clients_at_once_each_event_has_one_winner<P: Place>(place: P) {
    each_event_has_one_winner((32, 100, 200), &[place.store().clone()]).await;

    // Other pools on the same database, as other processes have them.
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(place.other_store("billing").await);
    }
    each_event_has_one_winner((8, 100, 200), &stores).await;
}

async fn two_scopes_never_see_each_other(place: impl Place) {
    let orders = place.store();
    let billing = place.other_store("billing").await;
    done(orders, "evt_1").await;
    let claim = new_claim(&billing, "evt_1").await;
    assert_eq!(claim.epoch(), 1);
    orders.forget(&key("evt_1")).await.unwrap();
    assert_eq!(claimed(&billing, "evt_1").await, ClaimOutcome::InFlight);
    assert_eq!(orders.commit(&claim, terms()).await.unwrap(), Held::No);
    assert_eq!(billing.commit(&claim, terms()).await.unwrap(), Held::Yes);
    assert_eq!(new_claim(orders, "evt_1").await.epoch(), 2);
}

async fn a_scope_of_other_characters_is_refused(place: impl Place) {
    for scope in ["", "a b", "ä", "a:b", "a'b", "x\0", &"x".repeat(65)] {
        let error = place.with_scope(scope).map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidScope, "{scope:?}");
    }
    place.with_scope(&"x".repeat(64)).map(drop).unwrap();
}

async fn without_the_table_the_error_says_what_to_run(place: impl Place) {
    let store = place.store_without_table().await;
    let error = sql_error(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::NotMigrated);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

async fn expired_records_are_deleted_in_batches_and_live_ones_never<P: Place>(place: P) {
    let store = place.store();
    let billing = place.other_store("billing").await;
    for number in 0..25 {
        new_claim_for(store, &format!("evt_old_{number}"), short_retention()).await;
        new_claim_for(&billing, &format!("evt_old_{number}"), short_retention()).await;
    }
    new_claim(store, "evt_claimed").await;
    done(store, "evt_done").await;
    let claim = new_claim(store, "evt_released").await;
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::Yes);
    place.lapse().await;

    assert_eq!(P::delete_expired(store, batch(10)).await, 25);
    assert_eq!(P::delete_expired(store, batch(10)).await, 0);
    assert_eq!(place.count(RECORDS).await, 3 + 25);
    assert_eq!(claimed(store, "evt_claimed").await, ClaimOutcome::InFlight);
    assert_eq!(claimed(store, "evt_done").await, ClaimOutcome::Done);
    assert_eq!(new_claim(store, "evt_released").await.epoch(), 2);
    assert_eq!(P::delete_expired(&billing, batch(5)).await, 25);
}

async fn the_cleanup_deletes_until_it_is_dropped(place: impl Place) {
    let cleanup = place.spawn_cleanup(Duration::ZERO);
    new_claim_for(place.store(), "evt_1", short_retention()).await;
    place.lapse().await;
    at_last(async || match place.count(RECORDS).await {
        0 => Ok(()),
        left => Err(left),
    })
    .await;
    drop(cleanup);
    new_claim_for(place.store(), "evt_2", short_retention()).await;
    place.lapse().await;
    // Longer than the shortest interval.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(place.count(RECORDS).await, 1);
}
