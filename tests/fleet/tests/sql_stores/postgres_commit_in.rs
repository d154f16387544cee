//! A handler's transaction in PostgreSQL, and who meets it from other connections.

use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_sqlx::SqlStoreErrorKind as Kind;
use sqlx::Row as _;
use webhook_fleet_tests::calls::{
    claimed, key, new_claim, new_claim_for, short_lease, sql_error, terms,
};

use crate::place::{OnPostgres, Place as _};
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![
    a_settlement_meanwhile_is_an_error_and_not_a_hang,
    a_lease_that_lapses_meanwhile_is_not_taken_over,
    a_claim_waits_a_little_for_the_end_of_the_transaction,
];

/// As when the process dies: the server ends the transaction with the connection.
#[tokio::test]
async fn a_connection_lost_before_the_commit_leaves_neither() {
    let place = OnPostgres::new().await;
    let store = place.store();
    let claim = new_claim_for(store, "evt_1", short_lease()).await;
    let mut tx = place.complete(&claim).await;
    let id: i32 = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut *tx).await.unwrap().get(0);
    sqlx::query("SELECT pg_terminate_backend($1, 10000)")
        .bind(id)
        .execute(store.pool())
        .await
        .unwrap();
    tx.commit().await.unwrap_err();
    place.lapse().await;
    assert_eq!(place.orders().await, 0);
    assert_eq!(new_claim(store, "evt_1").await.epoch(), 2);
}

/// The road renews on another connection, which must not wait for the handler's transaction.
#[tokio::test]
async fn a_renewal_meanwhile_is_held() {
    let place = OnPostgres::new().await;
    let store = place.store();
    let claim = new_claim(store, "evt_1").await;
    let tx = place.complete(&claim).await;
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::Yes);
    tx.commit().await.unwrap();
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::No);
}

async fn a_settlement_meanwhile_is_an_error_and_not_a_hang() {
    let place = OnPostgres::new().await;
    let store = place.store();
    let claim = new_claim(store, "evt_1").await;
    let tx = place.complete(&claim).await;
    for settled in [store.release(&claim, terms()).await, store.commit(&claim, terms()).await] {
        let error = sql_error(settled);
        // Before the time of a call is over.
        assert_eq!(error.kind(), Kind::Locked);
    }
    tx.commit().await.unwrap();
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::No);
}

async fn a_lease_that_lapses_meanwhile_is_not_taken_over() {
    let place = OnPostgres::new().await;
    let store = place.store();
    let claim = new_claim_for(store, "evt_1", short_lease()).await;
    let tx = place.complete(&claim).await;
    place.lapse().await;
    assert_eq!(claimed(store, "evt_1").await, ClaimOutcome::InFlight);
    let error = sql_error(store.renew(&claim, terms()).await);
    assert_eq!(error.kind(), Kind::Locked);
    tx.commit().await.unwrap();
    assert_eq!(claimed(store, "evt_1").await, ClaimOutcome::Done);
}

async fn a_claim_waits_a_little_for_the_end_of_the_transaction() {
    let place = OnPostgres::new().await;
    let store = place.store();
    let claim = new_claim_for(store, "evt_1", short_lease()).await;
    let tx = place.complete(&claim).await;
    place.lapse().await;
    let rolled_back = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tx.rollback().await.unwrap();
    };
    let (taken, ()) = tokio::join!(claimed(store, "evt_1"), rolled_back);
    assert_eq!(taken, ClaimOutcome::New(Claim::new(key("evt_1"), 2)));
}

#[tokio::test]
async fn a_failing_database_is_not_taken_for_a_lost_lease() {
    let place = OnPostgres::new().await;
    let store = place.store();
    let claim = new_claim(store, "evt_1").await;
    let mut tx = place.handle().await;
    sqlx::query("SELECT nonsense").execute(&mut *tx).await.unwrap_err();
    let error = store.commit_in(&mut tx, &claim, terms()).await.unwrap_err();
    assert!(!error.is_lease_lost());
    assert!(std::error::Error::source(&error).is_some());
}
