//! The store in PostgreSQL, beyond the contract: many clients, scopes, odd pools, expired records.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_sqlx::{PostgresStore, SqlStoreError, SqlStoreErrorKind as Kind};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row as _};
use webhook_fleet_tests::calls::{
    claimed, done, each_event_has_one_winner, failure, key, lapse, new_claim, new_claim_for,
    short_retention, terms,
};
use webhook_fleet_tests::postgres::{Postgres, store as store_of, url};

static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));

async fn sql(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

async fn count(pool: &PgPool, what: &str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
    sqlx::query(sql).fetch_one(pool).await.unwrap().get(0)
}

const RECORDS: &str = "dataflow_webhooks_dedup";

fn batch(of: u32) -> NonZeroU32 {
    NonZeroU32::new(of).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_clients_at_once_each_event_has_one_winner() {
    let first = SERVER.store().await;
    let mut stores = vec![first.clone()];
    for _ in 1..4 {
        stores.push(store_of(&url(&first), "orders").await);
    }
    let next = AtomicUsize::new(0);
    let in_turn = || stores[next.fetch_add(1, Ordering::Relaxed) % 4].clone();
    each_event_has_one_winner((32, 100, 200), in_turn).await;
}

/// Under such a pool, statements that meet fail to serialize.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_isolation_of_the_pool_does_not_matter() {
    for level in ["repeatable read", "serializable"] {
        let store = SERVER.store().await;
        let url = url(&store);
        let name = url.rsplit('/').next().unwrap();
        let set = format!("ALTER DATABASE {name} SET default_transaction_isolation = '{level}'");
        sql(store.pool(), &set).await;
        let pool = PgPoolOptions::new().max_connections(20).connect(&url).await.unwrap();
        let shown = sqlx::query("SHOW transaction_isolation").fetch_one(&pool).await.unwrap();
        assert_eq!(shown.get::<String, _>(0), level);
        let store = || PostgresStore::new(pool.clone(), "orders").unwrap();
        each_event_has_one_winner((16, 50, 50), store).await;
    }
}

#[tokio::test]
async fn two_scopes_never_see_each_other() {
    let orders = SERVER.store().await;
    let url = url(&orders);
    let billing = store_of(&url, "billing").await;
    done(&orders, "evt_1").await;
    let claim = new_claim(&billing, "evt_1").await;
    assert_eq!(claim.epoch(), 1);
    orders.forget(&key("evt_1")).await.unwrap();
    assert_eq!(claimed(&billing, "evt_1").await, ClaimOutcome::InFlight);
    assert_eq!(orders.commit(&claim, terms()).await.unwrap(), Held::No);
    assert_eq!(billing.commit(&claim, terms()).await.unwrap(), Held::Yes);
    assert_eq!(new_claim(&orders, "evt_1").await.epoch(), 2);
}

#[tokio::test]
async fn a_record_survives_the_pool() {
    let store = SERVER.store().await;
    let url = url(&store);
    done(&store, "evt_1").await;
    store.pool().close().await;
    let again = store_of(&url, "orders").await;
    assert_eq!(claimed(&again, "evt_1").await, ClaimOutcome::Done);
}

#[tokio::test]
async fn a_scope_of_other_characters_is_refused() {
    let pool = PgPool::connect(&SERVER.url()).await.unwrap();
    for scope in ["", "a b", "ä", "a:b", "a'b", "x\0", &"x".repeat(65)] {
        let error = PostgresStore::new(pool.clone(), scope).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidScope, "{scope:?}");
    }
    PostgresStore::new(pool, &"x".repeat(64)).unwrap();
}

#[tokio::test]
async fn without_the_table_the_error_says_what_to_run() {
    let store = SERVER.store_without_table().await;
    let error: SqlStoreError = failure(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::NotMigrated);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

#[tokio::test]
async fn a_standby_is_said_to_take_no_writes() {
    let url = url(&SERVER.store().await);
    let url = format!("{url}?options[default_transaction_read_only]=on");
    let store = store_of(&url, "orders").await;
    let error: SqlStoreError = failure(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::ReadOnly);
}

#[tokio::test]
async fn an_exhausted_pool_is_an_error_within_two_seconds() {
    let url = url(&SERVER.store().await);
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let store = PostgresStore::new(pool.clone(), "orders").unwrap();
    let connection = pool.acquire().await.unwrap();
    let began = Instant::now();
    let error: SqlStoreError = failure(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::TimedOut);
    // The pool itself would have waited for 30 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(connection);
    new_claim(&store, "evt_1").await;
}

#[tokio::test]
async fn a_table_that_is_locked_is_an_error_and_passes_when_it_is_free() {
    let store = SERVER.store().await;
    let mut tx = store.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE dataflow_webhooks_dedup").execute(&mut *tx).await.unwrap();
    let error: SqlStoreError = failure(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::TimedOut);
    tx.rollback().await.unwrap();
    // The statement that was given up may have been executed after all.
    let _ = claimed(&store, "evt_1").await;
    new_claim(&store, "evt_2").await;
}

#[tokio::test]
async fn expired_records_are_deleted_in_batches_and_live_ones_never() {
    let store = SERVER.store().await;
    let url = url(&store);
    let billing = store_of(&url, "billing").await;
    for number in 0..25 {
        new_claim_for(&store, &format!("evt_old_{number}"), short_retention()).await;
        new_claim_for(&billing, &format!("evt_old_{number}"), short_retention()).await;
    }
    new_claim(&store, "evt_claimed").await;
    done(&store, "evt_done").await;
    let claim = new_claim(&store, "evt_released").await;
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::Yes);
    lapse().await;

    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 25);
    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 0);
    assert_eq!(count(store.pool(), RECORDS).await, 3 + 25);
    assert_eq!(claimed(&store, "evt_claimed").await, ClaimOutcome::InFlight);
    assert_eq!(claimed(&store, "evt_done").await, ClaimOutcome::Done);
    assert_eq!(new_claim(&store, "evt_released").await.epoch(), 2);
    assert_eq!(billing.delete_expired(batch(5)).await.unwrap(), 25);
}

#[tokio::test]
async fn a_record_that_is_locked_is_not_waited_for_by_the_deletion() {
    let store = SERVER.store().await;
    for id in ["evt_locked", "evt_free"] {
        new_claim_for(&store, id, short_retention()).await;
    }
    let mut tx = store.pool().begin().await.unwrap();
    let lock = "SELECT FROM dataflow_webhooks_dedup WHERE event_id = 'id:evt_locked' FOR UPDATE";
    sqlx::query(lock).execute(&mut *tx).await.unwrap();
    lapse().await;
    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 1);
    tx.rollback().await.unwrap();
    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 1);
}

#[tokio::test]
async fn the_cleanup_deletes_until_it_is_dropped() {
    let store = SERVER.store().await;
    let cleanup = store.spawn_cleanup(Duration::ZERO);
    new_claim_for(&store, "evt_1", short_retention()).await;
    let patience = Instant::now() + Duration::from_secs(20);
    while count(store.pool(), RECORDS).await > 0 {
        assert!(Instant::now() < patience, "the expired record is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(cleanup);
    new_claim_for(&store, "evt_2", short_retention()).await;
    // Longer than the shortest interval.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(count(store.pool(), RECORDS).await, 1);
}

#[tokio::test]
async fn nothing_shows_the_password() {
    let url = "postgres://someone:pass_w0rd@127.0.0.1:1/none";
    let error = PostgresStore::connect(url, "orders").await.unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
    let store = PostgresStore::connect_lazy(url, "orders").unwrap();
    let failed: SqlStoreError = failure(store.claim(&key("evt_1"), terms()).await);
    let wrong = PostgresStore::connect_lazy("postgres://someone:pass_w0rd@[", "orders");
    let wrong = wrong.unwrap_err();
    assert_eq!(wrong.kind(), Kind::InvalidUrl);
    for shown in [
        format!("{error:?} {error}"),
        format!("{failed:?} {failed}"),
        format!("{wrong:?} {wrong}"),
        format!("{store:?}"),
    ] {
        assert!(!shown.contains("pass_w0rd") && !shown.contains("someone"), "{shown}");
    }
}
