//! The sink of dead letters in PostgreSQL, beyond the contract: scopes, odd texts, faults of the
//! server.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use dataflow_webhooks::dead_letters::{DeadLetterSink as _, DeadLetters as _};
use dataflow_webhooks_sqlx::{
    PostgresDeadLetters, PostgresStore, SqlStoreError, SqlStoreErrorKind as Kind,
};
use sqlx::{PgPool, Row as _};
use webhook_fleet_tests::calls::failure;
use webhook_fleet_tests::letters::{self, ids, letter, text};
use webhook_fleet_tests::postgres::{Postgres, store as store_of, url};

static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));

async fn sink() -> PostgresDeadLetters {
    SERVER.store().await.dead_letters()
}

async fn sql(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

#[tokio::test]
async fn scopes_do_not_see_each_other() {
    let orders = SERVER.store().await;
    let billing = store_of(&url(&orders), "billing").await;
    letters::scopes_do_not_see_each_other(&orders.dead_letters(), &billing.dead_letters()).await;
}

#[tokio::test]
async fn an_earlier_letter_that_comes_late_changes_nothing() {
    letters::an_earlier_letter_that_comes_late_changes_nothing(&sink().await).await;
}

#[tokio::test]
async fn u_0000_in_a_type_or_a_reason_is_kept() {
    letters::u_0000_in_a_type_or_a_reason_is_kept(&sink().await).await;
}

#[tokio::test]
async fn a_letter_run_again_goes_when_the_handler_has_succeeded() {
    letters::a_letter_run_again_goes_when_the_handler_has_succeeded(&sink().await).await;
}

#[tokio::test]
async fn on_a_pool_of_ones_own_there_are_the_letters_of_the_same_scope() {
    let pool = PgPool::connect(&SERVER.url_of("postgres", &SERVER.create_database())).await;
    let pool = pool.unwrap();
    let sink = PostgresDeadLetters::new(pool.clone(), "orders").unwrap();
    sink.migrate().await.unwrap();
    sink.store(&letter("evt_1", 1)).await.unwrap();
    assert_eq!(ids(&PostgresStore::new(pool, "orders").unwrap().dead_letters()).await, ["evt_1"]);
}

/// For queries by hand, and for whoever mends a letter by SQL.
#[tokio::test]
async fn the_columns_say_what_the_letter_says() {
    let store = SERVER.store().await;
    let stored = letter("evt_1", 1_234);
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

#[tokio::test]
async fn a_row_that_holds_no_letter_is_named_and_not_quoted() {
    let store = SERVER.store().await;
    let sink = store.dead_letters();
    sink.store(&letter("evt_1", 1)).await.unwrap();
    sql(store.pool(), "UPDATE dataflow_webhooks_dead_letters SET letter = 'by-hand'").await;
    let error: SqlStoreError = failure(sink.list(None, 10).await);
    let shown = format!("{error} {error:?}");
    assert!(error.to_string().contains("evt_1") && !shown.contains("by-hand"), "{shown}");
}

#[tokio::test]
async fn without_the_table_the_error_says_what_to_run() {
    let sink = SERVER.store_without_table().await.dead_letters();
    let error: SqlStoreError = failure(sink.store(&letter("evt_1", 1)).await);
    assert_eq!(error.kind(), Kind::NotMigrated);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

#[tokio::test]
async fn a_scope_of_other_characters_is_refused() {
    let pool = PgPool::connect(&SERVER.url()).await.unwrap();
    let error = PostgresDeadLetters::new(pool, "a b").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidScope);
}

/// The caller gives it 2 s.
#[tokio::test]
async fn a_table_that_is_locked_is_an_error_in_time() {
    let store = SERVER.store().await;
    let mut tx = store.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE dataflow_webhooks_dead_letters").execute(&mut *tx).await.unwrap();
    let began = Instant::now();
    let error: SqlStoreError = failure(store.dead_letters().store(&letter("evt_1", 1)).await);
    assert_eq!(error.kind(), Kind::TimedOut);
    // Generous for a loaded machine; the sink's own bound is 1.5 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn nothing_shows_the_password() {
    let url = "postgres://someone:pass_w0rd@127.0.0.1:1/none";
    let sink = PostgresStore::connect_lazy(url, "orders").unwrap().dead_letters();
    let error: SqlStoreError = failure(sink.store(&letter("evt_1", 1)).await);
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
    sql(store.pool(), set).await;
    let pool = PgPool::connect(&url(&store)).await.unwrap();
    let shown = sqlx::query("SHOW synchronous_commit").fetch_one(&pool).await.unwrap();
    assert_eq!(shown.get::<String, _>(0), "off");
    let sink = PostgresDeadLetters::new(pool.clone(), "orders").unwrap();
    sink.store(&letter("evt_1", 1)).await.unwrap();
    sink.store(&letter("evt_2", 2)).await.unwrap();
    server.restart();
    assert_eq!(ids(&sink).await, ["evt_1", "evt_2"]);
    // It was only for those transactions.
    let shown = sqlx::query("SHOW synchronous_commit").fetch_one(&pool).await.unwrap();
    assert_eq!(shown.get::<String, _>(0), "off");
}
