//! What a receiver process does while its PostgreSQL is down.

use dataflow_webhooks_sqlx::PostgresStore;
use webhook_fleet_tests::away::{self, Stage};
use webhook_fleet_tests::fleet::SCOPE;
use webhook_fleet_tests::postgres::Postgres;
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![
    a_store_that_is_down_costs_a_refusal_in_time_and_the_next_delivery_passes,
    a_commit_waits_for_the_store,
    a_late_commit_is_refused,
    events_are_handled_anyway_once_in_a_process,
];

async fn start() -> (Postgres, Stage) {
    let server = Postgres::start(&[]);
    let store = PostgresStore::connect(&server.url(), SCOPE).await.unwrap();
    store.migrate().await.unwrap();
    let stage = Stage::new(env!("CARGO_BIN_EXE_fleet-receiver"), &server.url());
    (server, stage)
}

async fn a_store_that_is_down_costs_a_refusal_in_time_and_the_next_delivery_passes() {
    let (mut server, stage) = start().await;
    away::a_store_that_is_down_costs_a_refusal_in_time(&stage, &mut server).await;
}

async fn a_commit_waits_for_the_store() {
    let (mut server, stage) = start().await;
    away::a_commit_waits_for_the_store(&stage, &mut server).await;
}

async fn a_late_commit_is_refused() {
    let (_server, stage) = start().await;
    away::a_late_commit_is_refused(&stage).await;
}

async fn events_are_handled_anyway_once_in_a_process() {
    let (mut server, stage) = start().await;
    away::events_are_handled_anyway_once_in_a_process(&stage, &mut server).await;
}
