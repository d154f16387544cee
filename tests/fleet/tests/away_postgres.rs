//! What a receiver process does while its PostgreSQL is down, or does not answer.

use dataflow_webhooks_sqlx::PostgresStore;
use webhook_fleet_tests::away::{self, Stage, deliver, is_refused_in_time};
use webhook_fleet_tests::fleet::SCOPE;
use webhook_fleet_tests::postgres::Postgres;
use webhook_fleet_tests::proxy::{Mode, Proxy};
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![
    a_store_that_is_down_costs_a_refusal_in_time_and_the_next_delivery_passes,
    a_store_that_is_silent_costs_a_refusal_in_time_and_the_next_delivery_passes,
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

async fn a_store_that_is_silent_costs_a_refusal_in_time_and_the_next_delivery_passes() {
    let (server, _) = start().await;
    let way = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", way.address());
    let receiver = Stage::new(env!("CARGO_BIN_EXE_fleet-receiver"), &url).receiver();
    assert_eq!(deliver(&receiver, "evt_1", 0).await.0.status, 200);
    way.set(Mode::Hold);
    is_refused_in_time(&receiver, "evt_2").await;
    way.set(Mode::Pass);
    // Not the same event: its claim may arrive now.
    let first = deliver(&receiver, "evt_3", 0).await.0;
    assert_eq!(first.status, 200, "{}", receiver.log());
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
