//! A handler's writes and the completion of its event in one transaction of PostgreSQL.

use std::sync::LazyLock;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, ClaimOutcome, DedupStore as _, Held, Terms};
use dataflow_webhooks_sqlx::{PostgresStore, SqlStoreError, SqlStoreErrorKind as Kind};
use sqlx::{PgTransaction, Row as _};
use webhook_fleet_tests::calls::{
    claimed, failure, key, lapse, new_claim, new_claim_for, short_lease, short_retention, terms,
};
use webhook_fleet_tests::postgres::Postgres;

static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));

/// A store on a database of its own, with a table for the handlers.
async fn store() -> PostgresStore {
    let store = SERVER.store().await;
    sqlx::query("CREATE TABLE orders (id text NOT NULL)").execute(store.pool()).await.unwrap();
    store
}

/// What a handler does up to the end of its transaction.
async fn handle(store: &PostgresStore, id: &str) -> PgTransaction<'static> {
    let mut tx = store.pool().begin().await.unwrap();
    sqlx::query("INSERT INTO orders VALUES ($1)").bind(id).execute(&mut *tx).await.unwrap();
    tx
}

/// The same with the completion.
async fn complete(store: &PostgresStore, claim: &Claim) -> PgTransaction<'static> {
    let mut tx = handle(store, "order").await;
    store.commit_in(&mut tx, claim, terms()).await.unwrap();
    tx
}

/// The completion is refused because the claim was lost.
async fn expect_lease_lost(store: &PostgresStore, claim: &Claim) {
    let mut tx = handle(store, "order").await;
    let error = store.commit_in(&mut tx, claim, terms()).await.unwrap_err();
    assert!(error.is_lease_lost(), "{error:?}");
    tx.rollback().await.unwrap();
}

async fn orders(store: &PostgresStore) -> i64 {
    sqlx::query("SELECT count(*) FROM orders").fetch_one(store.pool()).await.unwrap().get(0)
}

#[tokio::test]
async fn the_writes_and_the_completion_are_one_step() {
    let store = store().await;
    let claim = new_claim(&store, "evt_1").await;
    let tx = complete(&store, &claim).await;
    assert_eq!(orders(&store).await, 0);
    assert_eq!(claimed(&store, "evt_1").await, ClaimOutcome::InFlight);
    tx.commit().await.unwrap();
    assert_eq!(orders(&store).await, 1);
    assert_eq!(claimed(&store, "evt_1").await, ClaimOutcome::Done);
}

#[tokio::test]
async fn the_commit_after_the_handler_finds_it_done() {
    let store = store().await;
    let claim = new_claim(&store, "evt_1").await;
    complete(&store, &claim).await.commit().await.unwrap();
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
}

/// A handler that does not know whether its `tx.commit()` happened, and tries again: its writes would
/// be there twice.
#[tokio::test]
async fn a_second_transaction_under_the_same_claim_is_refused() {
    let store = store().await;
    let claim = new_claim(&store, "evt_1").await;
    complete(&store, &claim).await.commit().await.unwrap();
    expect_lease_lost(&store, &claim).await;
    assert_eq!(orders(&store).await, 1);
    assert_eq!(claimed(&store, "evt_1").await, ClaimOutcome::Done);
}

/// As after a failover to a standby that had not got the first claim yet: both have the same epoch.
#[tokio::test]
async fn a_run_whose_claim_was_made_again_after_a_loss_is_refused_when_the_other_was_faster() {
    let store = store().await;
    let lost = new_claim(&store, "evt_1").await;
    let delete = "DELETE FROM dataflow_webhooks_dedup";
    sqlx::query(delete).execute(store.pool()).await.unwrap();
    let claim = new_claim(&store, "evt_1").await;
    assert_eq!(claim.epoch(), lost.epoch());
    complete(&store, &lost).await.commit().await.unwrap();
    expect_lease_lost(&store, &claim).await;
    assert_eq!(orders(&store).await, 1);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_neither() {
    let store = store().await;
    let claim = new_claim(&store, "evt_1").await;
    drop(complete(&store, &claim).await);
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::Yes);
    assert_eq!(orders(&store).await, 0);
    let claim = new_claim(&store, "evt_1").await;
    complete(&store, &claim).await.commit().await.unwrap();
    assert_eq!(orders(&store).await, 1);
}

/// As when the process dies: the server ends the transaction with the connection.
#[tokio::test]
async fn a_connection_lost_before_the_commit_leaves_neither() {
    let store = store().await;
    let claim = new_claim_for(&store, "evt_1", short_lease()).await;
    let mut tx = complete(&store, &claim).await;
    let id: i32 = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut *tx).await.unwrap().get(0);
    sqlx::query("SELECT pg_terminate_backend($1, 10000)")
        .bind(id)
        .execute(store.pool())
        .await
        .unwrap();
    tx.commit().await.unwrap_err();
    lapse().await;
    assert_eq!(orders(&store).await, 0);
    assert_eq!(new_claim(&store, "evt_1").await.epoch(), 2);
}

#[tokio::test]
async fn a_claim_that_was_taken_over_is_refused() {
    let store = store().await;
    let late = new_claim_for(&store, "evt_1", short_lease()).await;
    lapse().await;
    let next = new_claim(&store, "evt_1").await;
    expect_lease_lost(&store, &late).await;
    complete(&store, &next).await.commit().await.unwrap();
    expect_lease_lost(&store, &late).await;
}

#[tokio::test]
async fn a_claim_that_was_given_back_is_refused() {
    let store = store().await;
    let released = new_claim(&store, "evt_released").await;
    assert_eq!(store.release(&released, terms()).await.unwrap(), Held::Yes);
    let forgotten = new_claim(&store, "evt_forgotten").await;
    store.forget(&key("evt_forgotten")).await.unwrap();
    let expired = new_claim_for(&store, "evt_expired", short_retention()).await;
    lapse().await;
    let never = Claim::new(key("evt_never"), 1);
    let beyond = Claim::new(key("evt_released"), u64::MAX);
    for claim in [released, forgotten, expired, never, beyond] {
        expect_lease_lost(&store, &claim).await;
    }
}

#[tokio::test]
async fn a_lapsed_lease_that_nobody_took_still_commits() {
    let store = store().await;
    let claim = new_claim_for(&store, "evt_1", short_lease()).await;
    lapse().await;
    complete(&store, &claim).await.commit().await.unwrap();
    assert_eq!(claimed(&store, "evt_1").await, ClaimOutcome::Done);
}

/// The road renews on another connection, which must not wait for the handler's transaction.
#[tokio::test]
async fn a_renewal_meanwhile_is_held() {
    let store = store().await;
    let claim = new_claim(&store, "evt_1").await;
    let tx = complete(&store, &claim).await;
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::Yes);
    tx.commit().await.unwrap();
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::No);
}

#[tokio::test]
async fn a_settlement_meanwhile_is_an_error_and_not_a_hang() {
    let store = store().await;
    let claim = new_claim(&store, "evt_1").await;
    let tx = complete(&store, &claim).await;
    for settled in [store.release(&claim, terms()).await, store.commit(&claim, terms()).await] {
        let error: SqlStoreError = failure(settled);
        // Before the time of a call is over.
        assert_eq!(error.kind(), Kind::Locked);
    }
    tx.commit().await.unwrap();
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::No);
}

#[tokio::test]
async fn a_lease_that_lapses_meanwhile_is_not_taken_over() {
    let store = store().await;
    let claim = new_claim_for(&store, "evt_1", short_lease()).await;
    let tx = complete(&store, &claim).await;
    lapse().await;
    assert_eq!(claimed(&store, "evt_1").await, ClaimOutcome::InFlight);
    let error: SqlStoreError = failure(store.renew(&claim, terms()).await);
    assert_eq!(error.kind(), Kind::Locked);
    tx.commit().await.unwrap();
    assert_eq!(claimed(&store, "evt_1").await, ClaimOutcome::Done);
}

#[tokio::test]
async fn a_claim_waits_a_little_for_the_end_of_the_transaction() {
    let store = store().await;
    let claim = new_claim_for(&store, "evt_1", short_lease()).await;
    let tx = complete(&store, &claim).await;
    lapse().await;
    let rolled_back = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tx.rollback().await.unwrap();
    };
    let (taken, ()) = tokio::join!(claimed(&store, "evt_1"), rolled_back);
    assert_eq!(taken, ClaimOutcome::New(Claim::new(key("evt_1"), 2)));
}

#[tokio::test]
async fn the_retention_of_the_completion_is_that_of_the_terms() {
    let store = store().await;
    let claim = new_claim(&store, "evt_1").await;
    let mut tx = handle(&store, "order").await;
    let short = Terms::new(terms().lease(), short_retention().retention());
    store.commit_in(&mut tx, &claim, short).await.unwrap();
    tx.commit().await.unwrap();
    lapse().await;
    new_claim(&store, "evt_1").await;
}

#[tokio::test]
async fn a_failing_database_is_not_taken_for_a_lost_lease() {
    let store = store().await;
    let claim = new_claim(&store, "evt_1").await;
    let mut tx = handle(&store, "order").await;
    sqlx::query("SELECT nonsense").execute(&mut *tx).await.unwrap_err();
    let error = store.commit_in(&mut tx, &claim, terms()).await.unwrap_err();
    assert!(!error.is_lease_lost());
    assert!(std::error::Error::source(&error).is_some());
}
