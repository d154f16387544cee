//! The sink of dead letters in SQLite, beyond the contract: scopes, odd texts, a full or locked file.

use dataflow_webhooks::dead_letters::{DeadLetterSink as _, DeadLetters as _};
use dataflow_webhooks::dedup::ClaimOutcome;
use dataflow_webhooks_sqlx::{
    SqlStoreError, SqlStoreErrorKind as Kind, SqliteDeadLetters, SqliteStore,
};
use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool};
use webhook_fleet_tests::calls::{claimed, done, failure, new_claim};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::letters::{self, ids, letter};

/// A folder with a file with the tables, and a sink in it.
async fn sink() -> (Folder, SqliteDeadLetters) {
    let folder = Folder::new("fleet-sqlite");
    let store = open(&folder, "orders").await;
    store.migrate().await.unwrap();
    (folder, store.dead_letters())
}

async fn open(folder: &Folder, scope: &str) -> SqliteStore {
    SqliteStore::open(folder.path().join("dedup.db"), scope).await.unwrap()
}

async fn number(pool: &SqlitePool, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(pool).await.unwrap().get(0)
}

#[tokio::test]
async fn scopes_do_not_see_each_other() {
    let (folder, orders) = sink().await;
    let billing = open(&folder, "billing").await.dead_letters();
    letters::scopes_do_not_see_each_other(&orders, &billing).await;
}

#[tokio::test]
async fn an_earlier_letter_that_comes_late_changes_nothing() {
    letters::an_earlier_letter_that_comes_late_changes_nothing(&sink().await.1).await;
}

#[tokio::test]
async fn u_0000_in_a_type_or_a_reason_is_kept() {
    letters::u_0000_in_a_type_or_a_reason_is_kept(&sink().await.1).await;
}

#[tokio::test]
async fn a_letter_run_again_goes_when_the_handler_has_succeeded() {
    letters::a_letter_run_again_goes_when_the_handler_has_succeeded(&sink().await.1).await;
}

/// A loss of power takes a commit back where `synchronous` is less than FULL.
#[tokio::test]
async fn a_letter_is_on_the_disk_whatever_the_pool_says() {
    let folder = Folder::new("fleet-sqlite");
    let options = SqliteStore::options(folder.path().join("own.db"));
    for (told, then) in [
        (SqliteSynchronous::Off, 2),
        (SqliteSynchronous::Normal, 2),
        (SqliteSynchronous::Full, 2),
        (SqliteSynchronous::Extra, 3),
    ] {
        // One connection: the one that has stored the letter is the one that is asked.
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options.clone().synchronous(told)).await.unwrap();
        let sink = SqliteDeadLetters::new(pool.clone(), "orders").unwrap();
        sink.migrate().await.unwrap();
        sink.store(&letter("evt_1", 1)).await.unwrap();
        assert_eq!(number(&pool, "PRAGMA synchronous").await, then);
        assert_eq!(ids(&sink).await, ["evt_1"]);
        pool.close().await;
    }
}

#[tokio::test]
async fn a_file_without_room_is_an_error_and_takes_the_letter_when_it_has_some() {
    let (folder, sink) = sink().await;
    sink.store(&letter("evt_1", 1)).await.unwrap();
    let options =
        SqliteStore::options(folder.path().join("dedup.db")).pragma("max_page_count", "1");
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let full = SqliteDeadLetters::new(pool, "orders").unwrap();
    // Longer than what is free in the pages that are there.
    let long = letters::letter_of("evt_2", &"x".repeat(40_000), 3, 2, "answered 500");
    let error: SqlStoreError = failure(full.store(&long).await);
    assert_eq!(error.kind(), Kind::Full);
    assert_eq!(ids(&full).await, ["evt_1"]);
    sink.store(&long).await.unwrap();
    assert_eq!(ids(&full).await, ["evt_1", "evt_2"]);
}

#[tokio::test]
async fn while_another_writes_it_is_an_error_in_time() {
    let (folder, sink) = sink().await;
    let other = open(&folder, "orders").await;
    let tx = other.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error: SqlStoreError = failure(sink.store(&letter("evt_1", 1)).await);
    // The second on a loaded machine.
    assert!(matches!(error.kind(), Kind::Locked | Kind::TimedOut), "{error:?}");
    assert_eq!(ids(&sink).await, [""; 0]);
    tx.rollback().await.unwrap();
    sink.store(&letter("evt_1", 1)).await.unwrap();
}

#[tokio::test]
async fn without_the_table_the_error_says_what_to_run() {
    let folder = Folder::new("fleet-sqlite");
    let sink = open(&folder, "orders").await.dead_letters();
    let error: SqlStoreError = failure(sink.list(None, 1).await);
    assert_eq!(error.kind(), Kind::NotMigrated);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

/// As while one process after another is updated: the older build goes on beside the newer one.
#[tokio::test]
async fn a_file_of_version_1_gets_the_letters_and_keeps_its_records() {
    let folder = Folder::new("fleet-sqlite");
    let store = open(&folder, "orders").await;
    let version_1 = concat!(
        include_str!("../../../crates/dataflow-webhooks-sqlx/migrations/sqlite/0001_dedup.sql"),
        "CREATE TABLE dataflow_webhooks_migrations
            (version INTEGER NOT NULL PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT;
        INSERT INTO dataflow_webhooks_migrations VALUES (1, 0);"
    );
    sqlx::raw_sql(version_1).execute(store.pool()).await.unwrap();
    done(&store, "evt_1").await;
    failure::<SqlStoreError>(store.dead_letters().store(&letter("evt_1", 1)).await);
    store.migrate().await.unwrap();
    assert_eq!(
        number(store.pool(), "SELECT max(version) FROM dataflow_webhooks_migrations").await,
        2
    );
    assert_eq!(claimed(&store, "evt_1").await, ClaimOutcome::Done);
    store.dead_letters().store(&letter("evt_1", 1)).await.unwrap();
    assert_eq!(ids(&store.dead_letters()).await, ["evt_1"]);
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let (folder, sink) = sink().await;
    let store = open(&folder, "orders").await;
    let later = "INSERT INTO dataflow_webhooks_migrations VALUES (1000, 0)";
    sqlx::query(later).execute(store.pool()).await.unwrap();
    store.migrate().await.unwrap();
    new_claim(&store, "evt_1").await;
    sink.store(&letter("evt_1", 1)).await.unwrap();
}
