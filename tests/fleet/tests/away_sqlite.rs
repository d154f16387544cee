//! What a receiver process does while another one keeps writing to their file of SQLite.

use dataflow_webhooks_sqlx::SqliteStore;
use sqlx::SqliteTransaction;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use webhook_fleet_tests::away::{self, Stage};
use webhook_fleet_tests::faults::Server;
use webhook_fleet_tests::fleet::SCOPE;
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![
    a_file_that_is_locked_costs_a_refusal_in_time_and_the_next_delivery_passes,
    a_commit_waits_for_the_file,
    a_late_commit_is_refused,
    events_are_handled_anyway_once_in_a_process,
];

/// The file, which has no server: it is away while somebody else is its one writer.
struct File {
    store: SqliteStore,
    writing: Option<SqliteTransaction<'static>>,
    _folder: Folder,
}

impl Server for File {
    fn kill(&mut self) {
        let begin = self.store.pool().begin_with("BEGIN IMMEDIATE");
        self.writing = Some(block_in_place(|| Handle::current().block_on(begin)).unwrap());
    }

    fn restart(&mut self) {
        let writing = self.writing.take().expect("it is locked");
        block_in_place(|| Handle::current().block_on(writing.rollback())).unwrap();
    }
}

async fn start() -> (File, Stage) {
    let folder = Folder::new("fleet-away-sqlite");
    let path = folder.path().join("dedup.db");
    let store = SqliteStore::open(&path, SCOPE).await.unwrap();
    store.migrate().await.unwrap();
    let url = format!("sqlite://{}", path.display());
    let stage = Stage::new(env!("CARGO_BIN_EXE_fleet-receiver"), &url);
    (File { store, writing: None, _folder: folder }, stage)
}

async fn a_file_that_is_locked_costs_a_refusal_in_time_and_the_next_delivery_passes() {
    let (mut file, stage) = start().await;
    away::a_store_that_is_down_costs_a_refusal_in_time(&stage, &mut file).await;
}

async fn a_commit_waits_for_the_file() {
    let (mut file, stage) = start().await;
    away::a_commit_waits_for_the_store(&stage, &mut file).await;
}

async fn a_late_commit_is_refused() {
    let (_file, stage) = start().await;
    away::a_late_commit_is_refused(&stage).await;
}

async fn events_are_handled_anyway_once_in_a_process() {
    let (mut file, stage) = start().await;
    away::events_are_handled_anyway_once_in_a_process(&stage, &mut file).await;
}
