//! The store in PostgreSQL, beyond what both stores in SQL promise: odd pools, locks, passwords.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _};
use dataflow_webhooks_sqlx::{PostgresStore, SqlStoreErrorKind as Kind};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row as _};
use webhook_fleet_tests::calls::{
    claimed, done, each_event_has_one_winner, key, lapse, new_claim, new_claim_for,
    short_retention, sql_error, terms,
};
use webhook_fleet_tests::postgres::{Postgres, store as store_of, url};

static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));

async fn sql(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

fn batch(of: u32) -> NonZeroU32 {
    NonZeroU32::new(of).unwrap()
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
        let store = PostgresStore::new(pool.clone(), "orders").unwrap();
        each_event_has_one_winner((16, 50, 50), &[store]).await;
    }
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
async fn a_standby_is_said_to_take_no_writes() {
    let url = url(&SERVER.store().await);
    let url = format!("{url}?options[default_transaction_read_only]=on");
    let store = store_of(&url, "orders").await;
    let error = sql_error(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::ReadOnly);
}

#[tokio::test]
async fn an_exhausted_pool_is_an_error_within_two_seconds() {
    let url = url(&SERVER.store().await);
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let store = PostgresStore::new(pool.clone(), "orders").unwrap();
    let connection = pool.acquire().await.unwrap();
    let began = Instant::now();
    let error = sql_error(store.claim(&key("evt_1"), terms()).await);
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
    let error = sql_error(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::TimedOut);
    tx.rollback().await.unwrap();
    // The statement that was given up may have been executed after all.
    let _ = claimed(&store, "evt_1").await;
    new_claim(&store, "evt_2").await;
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
async fn nothing_shows_the_password() {
    let url = "postgres://someone:pass_w0rd@127.0.0.1:1/none";
    let error = PostgresStore::connect(url, "orders").await.unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
    let store = PostgresStore::connect_lazy(url, "orders").unwrap();
    let failed = sql_error(store.claim(&key("evt_1"), terms()).await);
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
