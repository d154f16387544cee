//! A fleet of receivers that share a PostgreSQL, through everything that can break.

use dataflow_webhooks_sqlx::PostgresStore;
use webhook_fleet_tests::fleet::SCOPE;
use webhook_fleet_tests::postgres::Postgres;
use webhook_fleet_tests::proxy::Proxy;
use webhook_fleet_tests::trial::Trial;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_on_postgres_keeps_its_promises() {
    let server = Postgres::start(&[]);
    let store = PostgresStore::connect(&server.url(), SCOPE).await.unwrap();
    store.migrate().await.unwrap();
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let trial = Trial::new(env!("CARGO_BIN_EXE_fleet-receiver"), &url).through(proxy, server);
    trial.events_per_second(280).run().await.assert_kept();
}
