//! The store in SQLite, beyond the contract: many clients, several processes, locked files, expired
//! records.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks::testing::ManualClock;
use dataflow_webhooks_sqlx::{SqlStoreError, SqlStoreErrorKind as Kind, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Row as _, SqlitePool, SqliteTransaction};
use webhook_fleet_tests::calls::{
    claimed, done, each_event_has_one_winner, failure, key, new_claim, new_claim_for,
    short_retention, terms,
};
use webhook_fleet_tests::kept::{Folder, Kept, within};

/// A folder with a file with the table, and a store in it.
async fn store() -> (Folder, SqliteStore) {
    let folder = Folder::new("fleet-sqlite");
    let store = open(&folder, "orders").await;
    store.migrate().await.unwrap();
    (folder, store)
}

async fn open(folder: &Folder, scope: &str) -> SqliteStore {
    SqliteStore::open(folder.path().join("dedup.db"), scope).await.unwrap()
}

async fn number(pool: &SqlitePool, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(pool).await.unwrap().get(0)
}

const RECORDS: &str = "SELECT count(*) FROM dataflow_webhooks_dedup";

fn batch(of: u32) -> NonZeroU32 {
    NonZeroU32::new(of).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_clients_at_once_each_event_has_one_winner() {
    let (folder, store) = store().await;
    each_event_has_one_winner((32, 100, 200), || store.clone()).await;

    // Other pools on the same file, as other processes have them.
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(open(&folder, "billing").await);
    }
    let next = AtomicUsize::new(0);
    let in_turn = || stores[next.fetch_add(1, Ordering::Relaxed) % 4].clone();
    each_event_has_one_winner((8, 100, 200), in_turn).await;
}

#[tokio::test]
async fn two_scopes_never_see_each_other() {
    let (folder, orders) = store().await;
    let billing = open(&folder, "billing").await;
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
async fn each_connection_has_the_log_the_sync_and_the_patience() {
    let (_folder, store) = store().await;
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(store.pool().acquire().await.unwrap());
    }
    for connection in &mut connections {
        let mode = sqlx::query("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
        assert_eq!(mode.get::<String, _>(0), "wal");
        let sync = sqlx::query("PRAGMA synchronous").fetch_one(&mut **connection).await.unwrap();
        assert_eq!(sync.get::<i64, _>(0), 2, "2 is FULL");
        let busy = sqlx::query("PRAGMA busy_timeout").fetch_one(&mut **connection).await.unwrap();
        assert!(busy.get::<i64, _>(0) <= 1_500);
    }
}

/// Set by the test below for a process that is this very program, and that does what the other
/// half of the test says until it is killed.
const FILE: &str = "FLEET_SQLITE_FILE";

#[tokio::test]
async fn another_process() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let store = SqliteStore::open(file, "orders").await.unwrap();
    store.migrate().await.unwrap();
    for number in 0.. {
        done(&store, &format!("evt_{number}")).await;
    }
}

#[tokio::test]
async fn what_another_process_committed_before_it_was_killed_is_done() {
    let folder = Folder::new("fleet-sqlite");
    let file = folder.path().join("dedup.db");
    let this = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let arguments = [format!("{FILE}={}", file.display()), this, "--exact".to_owned()];
    let arguments: Vec<_> = arguments.into_iter().chain(["another_process".to_owned()]).collect();
    let mut other = Kept::start("env", &arguments, &folder.path().join("log"), "coreutils");
    let store = SqliteStore::open(&file, "orders").await.unwrap();
    store.migrate().await.unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    while number(store.pool(), RECORDS).await < 50 {
        assert!(Instant::now() < patience, "the other process does not commit");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    other.kill();
    for number in 0..49 {
        assert_eq!(claimed(&store, &format!("evt_{number}")).await, ClaimOutcome::Done);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_and_migrate_at_once() {
    for _ in 0..3 {
        let folder = Folder::new("fleet-sqlite");
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let path = folder.path().join("dedup.db");
            tasks.spawn(async move {
                let store = SqliteStore::open(path, "orders").await?;
                store.migrate().await?;
                Ok::<_, SqlStoreError>(store)
            });
        }
        for migrated in tasks.join_all().await {
            let store = migrated.unwrap();
            let versions = "SELECT count(*) FROM dataflow_webhooks_migrations";
            assert_eq!(number(store.pool(), versions).await, 2);
        }
    }
}

/// Longer than a busy time-out: as when another process is just making a large change.
#[tokio::test]
async fn opening_and_migrating_wait_for_who_has_the_file() {
    let folder = Folder::new("fleet-sqlite");
    let options = SqliteConnectOptions::new().filename(folder.path().join("dedup.db"));
    let other = SqlitePoolOptions::new().connect_with(options.create_if_missing(true)).await;
    let other = other.unwrap();
    sqlx::query("CREATE TABLE something (id TEXT)").execute(&other).await.unwrap();
    let busy = |tx: SqliteTransaction<'static>| async {
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        tx.rollback().await.unwrap();
    };
    let tx = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let (store, ()) = tokio::join!(open(&folder, "orders"), busy(tx));
    let tx = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let (migrated, ()) = tokio::join!(store.migrate(), busy(tx));
    migrated.unwrap();
    done(&store, "evt_1").await;
}

#[tokio::test]
async fn migrating_again_keeps_the_records() {
    let (folder, store) = store().await;
    done(&store, "evt_1").await;
    store.migrate().await.unwrap();
    store.pool().close().await;
    let again = open(&folder, "orders").await;
    again.migrate().await.unwrap();
    assert_eq!(claimed(&again, "evt_1").await, ClaimOutcome::Done);
}

#[tokio::test]
async fn a_table_made_by_hand_serves() {
    let folder = Folder::new("fleet-sqlite");
    let store = open(&folder, "orders").await;
    let table =
        include_str!("../../../crates/dataflow-webhooks-sqlx/migrations/sqlite/0001_dedup.sql");
    sqlx::raw_sql(table).execute(store.pool()).await.unwrap();
    done(&store, "evt_1").await;
}

#[tokio::test]
async fn without_the_table_the_error_says_what_to_run() {
    let folder = Folder::new("fleet-sqlite");
    let error: SqlStoreError =
        failure(open(&folder, "orders").await.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::NotMigrated);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

#[tokio::test]
async fn while_another_writes_duplicates_are_answered_and_new_events_are_an_error() {
    let (folder, store) = store().await;
    done(&store, "evt_done").await;
    let claim = new_claim(&store, "evt_claimed").await;
    let other = open(&folder, "orders").await;
    let tx = other.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();

    assert_eq!(claimed(&store, "evt_done").await, ClaimOutcome::Done);
    assert_eq!(claimed(&store, "evt_claimed").await, ClaimOutcome::InFlight);
    for error in [
        failure::<SqlStoreError>(store.claim(&key("evt_new"), terms()).await),
        failure(store.renew(&claim, terms()).await),
        failure(store.commit(&claim, terms()).await),
    ] {
        // The second on a loaded machine.
        assert!(matches!(error.kind(), Kind::Locked | Kind::TimedOut), "{error:?}");
    }
    tx.rollback().await.unwrap();
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::Yes);
    new_claim(&store, "evt_new").await;
}

/// As sqlx makes pools unless told: no write-ahead log, a busy time-out of 5 s.
#[tokio::test]
async fn the_patience_of_a_pool_of_ones_own_does_not_matter() {
    let (folder, _store) = store().await;
    let path = folder.path().join("own.db");
    let pool = SqlitePoolOptions::new()
        .connect_with(SqliteConnectOptions::new().filename(path).create_if_missing(true))
        .await
        .unwrap();
    let store = SqliteStore::new(pool.clone(), "orders").unwrap();
    store.migrate().await.unwrap();
    let tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error: SqlStoreError = failure(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::TimedOut);
    tx.rollback().await.unwrap();
    done(&store, "evt_2").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_said_to_be_so() {
    let (folder, store) = store().await;
    done(&store, "evt_1").await;
    let options = SqliteConnectOptions::new().filename(folder.path().join("dedup.db"));
    let pool = SqlitePoolOptions::new().connect_with(options.read_only(true)).await.unwrap();
    let readonly = SqliteStore::new(pool, "orders").unwrap();
    assert_eq!(claimed(&readonly, "evt_1").await, ClaimOutcome::Done);
    let error: SqlStoreError = failure(readonly.claim(&key("evt_2"), terms()).await);
    assert_eq!(error.kind(), Kind::ReadOnly);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_an_error() {
    let folder = Folder::new("fleet-sqlite");
    let missing = folder.path().join("none").join("dedup.db");
    let error = SqliteStore::open(&missing, "orders").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
    // A folder is no file.
    let error = SqliteStore::open(folder.path(), "orders").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
}

#[tokio::test]
async fn what_is_no_database_is_an_error() {
    let folder = Folder::new("fleet-sqlite");
    let path = folder.path().join("dedup.db");
    std::fs::write(&path, "no database at all, but long enough to be taken for one".repeat(40))
        .unwrap();
    SqliteStore::open(&path, "orders").await.unwrap_err();
}

#[tokio::test]
async fn a_store_in_memory_is_refused() {
    for path in ["", ":memory:"] {
        let error = SqliteStore::open(path, "orders").await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidUrl);
    }
}

#[tokio::test]
async fn a_scope_of_other_characters_is_refused() {
    let folder = Folder::new("fleet-sqlite");
    let path = folder.path().join("dedup.db");
    for scope in ["", "a b", "ä", "a:b", "a'b", "x\0", &"x".repeat(65)] {
        let error = SqliteStore::open(&path, scope).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidScope, "{scope:?}");
    }
    assert!(!Path::new(&path).exists());
}

#[tokio::test]
async fn a_path_with_odd_characters_is_a_file_of_that_name() {
    let folder = Folder::new("fleet-sqlite");
    for name in ["a b.db", "50%25?mode=ro#x.db", "file:x.db", "ü.db"] {
        let path = folder.path().join(name);
        let store = SqliteStore::open(&path, "orders").await.unwrap();
        store.migrate().await.unwrap();
        done(&store, "evt_1").await;
        assert!(path.is_file(), "{name}");
    }
}

#[tokio::test]
async fn expired_records_are_deleted_in_batches_and_live_ones_never() {
    let (folder, store) = store().await;
    let clock = ManualClock::new();
    let on_clock = |store: SqliteStore| {
        let clock = clock.clone();
        store.with_clock(move || clock.now())
    };
    let store = on_clock(store);
    let billing = on_clock(open(&folder, "billing").await);
    for number in 0..25 {
        new_claim_for(&store, &format!("evt_old_{number}"), short_retention()).await;
        new_claim_for(&billing, &format!("evt_old_{number}"), short_retention()).await;
    }
    new_claim(&store, "evt_claimed").await;
    done(&store, "evt_done").await;
    let claim = new_claim(&store, "evt_released").await;
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::Yes);
    clock.advance(Duration::from_millis(49));
    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 0);
    clock.advance(Duration::from_millis(1));

    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 25);
    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 0);
    assert_eq!(number(store.pool(), RECORDS).await, 3 + 25);
    assert_eq!(claimed(&store, "evt_claimed").await, ClaimOutcome::InFlight);
    assert_eq!(claimed(&store, "evt_done").await, ClaimOutcome::Done);
    assert_eq!(new_claim(&store, "evt_released").await.epoch(), 2);
    assert_eq!(billing.delete_expired(batch(5)).await.unwrap(), 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cleanup_deletes_until_it_is_dropped() {
    let (_folder, store) = store().await;
    let clock = ManualClock::new();
    let read = clock.clone();
    let store = store.with_clock(move || read.now());
    new_claim_for(&store, "evt_1", short_retention()).await;
    clock.advance(Duration::from_secs(1));
    let cleanup = store.spawn_cleanup(Duration::ZERO);
    let runtime = tokio::runtime::Handle::current();
    let gone = {
        let pool = store.pool().clone();
        tokio::task::spawn_blocking(move || {
            within(Duration::from_secs(20), || runtime.block_on(number(&pool, RECORDS)) == 0)
        })
    };
    assert!(gone.await.unwrap(), "the expired record is still there");
    drop(cleanup);
    new_claim_for(&store, "evt_2", short_retention()).await;
    clock.advance(Duration::from_secs(1));
    // Longer than the shortest interval.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(number(store.pool(), RECORDS).await, 1);
}
