//! How the store in PostgreSQL gets its connections when that takes long.

use std::time::Duration;

use dataflow_webhooks::DedupStore as _;
use dataflow_webhooks_sqlx::PostgresStore;
use tokio::time::timeout;
use webhook_fleet_tests::calls::{key, terms};
use webhook_fleet_tests::postgres::Postgres;
use webhook_fleet_tests::proxy::{Mode, Proxy};
use webhook_tests::eventually;

/// Else, where opening one takes longer than those who wait have time left, none would ever
/// be open.
#[tokio::test]
async fn a_connection_is_opened_to_the_end_when_the_call_that_needed_it_gives_up() {
    let server = Postgres::start(&[]);
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let store = PostgresStore::connect_lazy(&url, "slow").unwrap();
    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let id = key("evt_1");
    let call = timeout(Duration::from_millis(50), store.claim(&id, terms()));
    assert!(call.await.is_err(), "opening a connection takes longer");
    eventually("a connection is open", || store.pool().num_idle() == 1).await;
}
