//! The sink in PostgreSQL alone: its columns, faults of the server.

use std::time::Duration;

use dataflow_webhooks::dead_letters::{DeadLetterSink as _, DeadLetters as _};
use dataflow_webhooks_sqlx::{PostgresDeadLetters, PostgresStore, SqlStoreErrorKind as Kind};
use sqlx::{PgPool, Row as _};
use tokio::task::JoinSet;
use tokio::time::timeout;
use webhook_fleet_tests::calls::sql_error;
use webhook_fleet_tests::postgres::{Postgres, url};

use crate::letters::{ids, letter, letter_of, text};
use crate::place::{OnPostgres, Place as _, SERVER};

/// For queries by hand, and for whoever mends a letter by SQL.
#[tokio::test]
async fn the_columns_say_what_the_letter_says() {
    let store = OnPostgres::alone().await.store;
    let stored = letter("evt_1", 123);
    store.dead_letters().store(&stored).await.unwrap();
    let row = sqlx::query(
        "SELECT scope, event_id, event_type, reason, letter, runs, failed_at, \
         (letter::json ->> 'body')::json ->> 'id' AS inside FROM dataflow_webhooks_dead_letters",
    );
    let row = row.fetch_one(store.pool()).await.unwrap();
    let texts = ["scope", "event_id", "event_type", "reason", "letter", "inside"];
    let expected =
        ["orders", "evt_1", "pipeline.run.failed", "answered 500", &text(&stored), "evt_1"];
    assert_eq!(texts.map(|name| row.get::<String, _>(name)), expected);
    assert_eq!(row.get::<i64, _>("runs"), 3);
    assert_eq!(row.get::<i64, _>("failed_at"), stored.failed_at().as_millisecond());
}

/// Elsewhere than in the other tests' databases, `a` comes before `B`.
#[tokio::test]
async fn ids_are_in_the_order_of_their_bytes_whatever_the_locale() {
    let create = "CREATE DATABASE of_people TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'";
    let pool = PgPool::connect(&SERVER.url()).await.unwrap();
    sqlx::raw_sql(create).execute(&pool).await.unwrap();
    let pool = PgPool::connect(&SERVER.url_of("postgres", "of_people")).await.unwrap();
    let sink = PostgresDeadLetters::new(pool, "orders").unwrap();
    sink.migrate().await.unwrap();
    for id in ["a", "B", "_"] {
        sink.store(&letter(id, 1)).await.unwrap();
    }
    assert_eq!(ids(&sink).await, ["B", "_", "a"]);
}

/// Under such a pool, statements that meet fail to serialize.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_isolation_of_the_pool_does_not_matter() {
    let url = url(&OnPostgres::alone().await.store);
    let url = format!("{url}?options[default_transaction_isolation]=serializable");
    let sink = PostgresDeadLetters::new(PgPool::connect(&url).await.unwrap(), "orders").unwrap();
    let mut tasks = JoinSet::new();
    for run in 1..=8 {
        let sink = sink.clone();
        tasks.spawn(async move {
            for number in 0..20 {
                let id = format!("evt_{}", number % 3);
                let letter = letter_of(&id, "pipeline.created", run.into(), run, "failed");
                sink.store(&letter).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(sink.get("evt_0").await.unwrap().expect("a letter").runs(), 8);
    let mut ids = ids(&sink).await;
    ids.sort();
    assert_eq!(ids, ["evt_0", "evt_1", "evt_2"]);
}

/// The caller gives it 2 s.
#[tokio::test]
async fn a_table_that_is_locked_is_an_error_in_time() {
    let store = OnPostgres::alone().await.store;
    let mut tx = store.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE dataflow_webhooks_dead_letters").execute(&mut *tx).await.unwrap();
    let (sink, letter) = (store.dead_letters(), letter("evt_1", 1));
    // Generous for a loaded machine; the sink's own bound is 1.5 s.
    let stored = timeout(Duration::from_secs(10), sink.store(&letter)).await;
    assert_eq!(sql_error(stored.expect("an answer in time")).kind(), Kind::TimedOut);
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn nothing_shows_the_password() {
    let url = "postgres://someone:pass_w0rd@127.0.0.1:1/none";
    let sink = PostgresStore::connect_lazy(url, "orders").unwrap().dead_letters();
    let error = sql_error(sink.store(&letter("evt_1", 1)).await);
    let shown = format!("{error:?} {error} {sink:?}");
    assert!(!shown.contains("pass_w0rd") && !shown.contains("someone"), "{shown}");
}

/// Connections may be told not to wait for the disk, and then a commit is lost with the server's
/// memory.
#[tokio::test]
async fn a_stored_letter_survives_a_kill_even_without_synchronous_commit() {
    let mut server = Postgres::start(&["wal_writer_delay=10s", "wal_writer_flush_after=0"]);
    let store = server.store().await;
    let set = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', \
               current_database()); END $$";
    sqlx::raw_sql(set).execute(store.pool()).await.unwrap();
    let pool = PgPool::connect(&url(&store)).await.unwrap();
    let setting = async || {
        let shown = sqlx::query("SHOW synchronous_commit").fetch_one(&pool).await.unwrap();
        shown.get::<String, _>(0)
    };
    assert_eq!(setting().await, "off");
    let sink = PostgresDeadLetters::new(pool.clone(), "orders").unwrap();
    sink.store(&letter("evt_1", 1)).await.unwrap();
    sink.store(&letter("evt_2", 2)).await.unwrap();
    sink.store(&letter("evt_3", 3)).await.unwrap();
    assert!(sink.remove(&letter("evt_2", 2)).await.unwrap());
    server.restart();
    assert_eq!(ids(&sink).await, ["evt_1", "evt_3"]);
    // It was only for those transactions.
    assert_eq!(setting().await, "off");
}
