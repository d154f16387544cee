//! Receivers of one machine that share a file of SQLite, killed and stopped at random.

use dataflow_webhooks_sqlx::SqliteStore;
use webhook_fleet_tests::fleet::SCOPE;
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::trial::Trial;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_on_sqlite_keeps_its_promises() {
    let folder = Folder::in_memory("fleet-sqlite");
    let file = folder.path().join("dedup.db");
    SqliteStore::open(&file, SCOPE).await.unwrap().migrate().await.unwrap();
    let url = format!("sqlite://{}", file.display());
    let trial = Trial::new(env!("CARGO_BIN_EXE_fleet-receiver"), &url);
    trial.run().await.assert_kept();
}
