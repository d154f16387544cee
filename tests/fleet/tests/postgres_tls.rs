//! The store in PostgreSQL over TLS.

use std::fs;
use std::path::PathBuf;

use dataflow_webhooks_sqlx::{PostgresStore, SqlStoreErrorKind as Kind};
use sqlx::Row as _;
use webhook_fleet_tests::calls::done;
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::postgres::Postgres;

/// A server with a certificate for this name that signs itself, and the certificate's file.
fn server(name: &str) -> (Postgres, Folder, PathBuf) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let server = Postgres::start_tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let folder = Folder::new("fleet-postgres-tls");
    let file = folder.path().join("root.pem");
    fs::write(&file, made.cert.pem()).unwrap();
    (server, folder, file)
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_is_spoken_to() {
    let (server, _folder, root) = server("127.0.0.1");
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), root.display());
    let store = PostgresStore::connect(&url, "orders").await.unwrap();
    store.migrate().await.unwrap();
    done(&store, "evt_1").await;
    let ssl = sqlx::query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    assert!(ssl.fetch_one(store.pool()).await.unwrap().get::<bool, _>(0));
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused() {
    let (server, _folder, _root) = server("127.0.0.1");
    let url = format!("{}?sslmode=verify-full", server.url());
    let error = PostgresStore::connect(&url, "orders").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (server, _folder, root) = server("db.example");
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), root.display());
    let error = PostgresStore::connect(&url, "orders").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
}
