//! The store in SQLite, beyond what both stores in SQL promise: several processes, locked files, odd
//! paths.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks::testing::ManualClock;
use dataflow_webhooks_sqlx::{SqlStoreError, SqlStoreErrorKind as Kind, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection as _, Row as _, SqlitePool, SqliteTransaction};
use webhook_fleet_tests::calls::{
    claimed, done, key, new_claim, new_claim_for, short_retention, sql_error, terms,
};
use webhook_fleet_tests::kept::{Folder, Kept};
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![
    opening_and_migrating_wait_for_who_has_the_file,
    while_another_writes_duplicates_are_answered_and_new_events_are_an_error,
];

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

#[tokio::test]
async fn after_a_full_disk_a_handler_begins_its_transactions_as_before() {
    let (_folder, store) = store().await;
    let mut others = Vec::new();
    let mut connection = store.pool().acquire().await.unwrap();
    for _ in 1..4 {
        others.push(store.pool().acquire().await.unwrap());
    }
    sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&mut *connection).await.unwrap();
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let write = sqlx::query(
        "INSERT INTO dataflow_webhooks_dead_letters
         VALUES ('orders', 'evt_1', 0, 3, '', '', hex(zeroblob(100000)))",
    );
    let full = write.execute(&mut *tx).await.unwrap_err();
    assert!(full.to_string().contains("full"), "{full}");
    drop(tx);
    drop(connection);
    // All others are taken: this is the same one, or one in its place.
    let mut connection = store.pool().acquire().await.unwrap();
    connection.begin_with("BEGIN IMMEDIATE").await.unwrap().rollback().await.unwrap();
}

/// Dead letters hold bodies, and may be in it.
#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_for_its_owner_alone_and_another_one_keeps_its_permissions() {
    use std::fs::{File, Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new("fleet-sqlite");
    let mode =
        |name: &str| metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    let store = open(&folder, "orders").await;
    store.migrate().await.unwrap();
    new_claim(&store, "evt_1").await;
    for name in ["dedup.db", "dedup.db-wal", "dedup.db-shm"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }

    let shared = folder.path().join("shared.db");
    File::create(&shared).unwrap();
    set_permissions(&shared, Permissions::from_mode(0o660)).unwrap();
    SqliteStore::open(&shared, "orders").await.unwrap().migrate().await.unwrap();
    assert_eq!(mode("shared.db"), 0o660);
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

async fn while_another_writes_duplicates_are_answered_and_new_events_are_an_error() {
    let (folder, store) = store().await;
    done(&store, "evt_done").await;
    let claim = new_claim(&store, "evt_claimed").await;
    let other = open(&folder, "orders").await;
    let tx = other.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();

    assert_eq!(claimed(&store, "evt_done").await, ClaimOutcome::Done);
    assert_eq!(claimed(&store, "evt_claimed").await, ClaimOutcome::InFlight);
    for error in [
        sql_error(store.claim(&key("evt_new"), terms()).await),
        sql_error(store.renew(&claim, terms()).await),
        sql_error(store.commit(&claim, terms()).await),
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
    let error = sql_error(store.claim(&key("evt_1"), terms()).await);
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
    let error = sql_error(readonly.claim(&key("evt_2"), terms()).await);
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
async fn a_record_goes_when_its_retention_is_over_and_not_before() {
    let (_folder, store) = store().await;
    let clock = ManualClock::new();
    let read = clock.clone();
    let store = store.with_clock(move || read.now());
    new_claim_for(&store, "evt_1", short_retention()).await;
    clock.advance(Duration::from_millis(49));
    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.delete_expired(batch(10)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_transaction_that_has_read_before_another_wrote_is_not_taken_for_a_lost_lease() {
    let (_folder, store) = store().await;
    let claim = new_claim(&store, "evt_1").await;
    let mut tx = store.pool().begin().await.unwrap();
    sqlx::query(RECORDS).fetch_one(&mut *tx).await.unwrap();
    new_claim(&store, "evt_2").await;
    let error = store.commit_in(&mut tx, &claim, terms()).await.unwrap_err();
    assert!(!error.is_lease_lost());
    assert!(std::error::Error::source(&error).is_some());
}
