//! The sink in SQLite alone: what is on the disk when, a full or locked file.

use dataflow_webhooks::dead_letters::DeadLetterSink as _;
use dataflow_webhooks_sqlx::{SqlStoreErrorKind as Kind, SqliteDeadLetters, SqliteStore};
use sqlx::sqlite::{SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool};
use webhook_fleet_tests::calls::sql_error;
use webhook_fleet_tests::kept::Folder;

use crate::letters::{ids, letter, letter_of};
use crate::place::{OnSqlite, Place as _};

async fn number(pool: &SqlitePool, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(pool).await.unwrap().get(0)
}

/// A loss of power takes a commit back where `synchronous` is less than FULL.
#[tokio::test]
async fn a_letter_is_on_the_disk_whatever_the_pool_says() {
    let folder = Folder::new("fleet-sqlite");
    let options = SqliteStore::options(folder.path().join("own.db"));
    for (told, then) in [
        (SqliteSynchronous::Off, 3),
        (SqliteSynchronous::Normal, 3),
        (SqliteSynchronous::Full, 3),
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

/// Without the write-ahead log a commit is a journal that is deleted, and FULL does not wait for
/// the folder to be on the disk: EXTRA does.
#[tokio::test]
async fn a_letter_is_on_the_disk_in_any_journal_mode() {
    let folder = Folder::new("fleet-sqlite");
    let options = SqliteStore::options(folder.path().join("own.db"));
    let options = options.journal_mode(SqliteJournalMode::Delete);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let sink = SqliteDeadLetters::new(pool.clone(), "orders").unwrap();
    sink.migrate().await.unwrap();
    sink.store(&letter("evt_1", 1)).await.unwrap();
    assert_eq!(number(&pool, "PRAGMA synchronous").await, 3);
}

#[tokio::test]
async fn a_file_without_room_is_an_error_and_takes_the_letter_when_it_has_some() {
    let place = OnSqlite::new().await;
    let sink = place.sink();
    sink.store(&letter("evt_1", 1)).await.unwrap();
    let options = SqliteStore::options(place.file()).pragma("max_page_count", "1");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let full = SqliteDeadLetters::new(pool, "orders").unwrap();
    // Longer than what is free in the pages that are there.
    let long = letter_of("evt_2", &"x".repeat(40_000), 3, 2, "answered 500");
    let error = sql_error(full.store(&long).await);
    assert_eq!(error.kind(), Kind::Full);
    assert_eq!(ids(&full).await, ["evt_1"]);
    sink.store(&long).await.unwrap();
    assert_eq!(ids(&full).await, ["evt_1", "evt_2"]);
}

#[tokio::test]
async fn while_another_writes_it_is_an_error_in_time() {
    let place = OnSqlite::new().await;
    let sink = place.sink();
    let other = SqliteStore::open(place.file(), "orders").await.unwrap();
    let tx = other.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = sql_error(sink.store(&letter("evt_1", 1)).await);
    // The second on a loaded machine.
    assert!(matches!(error.kind(), Kind::Locked | Kind::TimedOut), "{error:?}");
    assert_eq!(ids(&sink).await, [""; 0]);
    tx.rollback().await.unwrap();
    sink.store(&letter("evt_1", 1)).await.unwrap();
}
