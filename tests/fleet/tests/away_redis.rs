//! What a receiver process does while its Redis is down, full, or slow to come back.

use std::time::Duration;

use webhook_fleet_tests::away::{self, Stage, counted, deliver, is_refused_in_time, until_counted};
use webhook_fleet_tests::redis::Redis;
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![
    a_store_that_is_down_costs_a_refusal_in_time_and_the_next_delivery_passes,
    a_store_that_is_silent_costs_a_refusal_in_time_and_the_next_delivery_passes,
    a_commit_waits_for_the_store,
    a_late_commit_is_refused,
    events_are_handled_anyway_once_in_a_process,
    a_full_redis_refuses_and_loses_nothing,
];

fn stage(server: &Redis) -> Stage {
    Stage::new(env!("CARGO_BIN_EXE_fleet-receiver"), &server.url())
}

async fn a_store_that_is_down_costs_a_refusal_in_time_and_the_next_delivery_passes() {
    let mut server = Redis::start(&[]);
    away::a_store_that_is_down_costs_a_refusal_in_time(&stage(&server), &mut server).await;
}

async fn a_store_that_is_silent_costs_a_refusal_in_time_and_the_next_delivery_passes() {
    let server = Redis::start(&[]);
    let receiver = stage(&server).receiver();
    assert_eq!(deliver(&receiver, "evt_1", 0).await.0.status, 200);
    server.pause();
    is_refused_in_time(&receiver, "evt_2").await;
    server.resume();
    let first = deliver(&receiver, "evt_3", 0).await.0;
    assert_eq!(first.status, 200, "{}", receiver.log());
}

async fn a_commit_waits_for_the_store() {
    let mut server = Redis::start(&[]);
    away::a_commit_waits_for_the_store(&stage(&server), &mut server).await;
}

async fn a_late_commit_is_refused() {
    away::a_late_commit_is_refused(&stage(&Redis::start(&[]))).await;
}

async fn events_are_handled_anyway_once_in_a_process() {
    let mut server = Redis::start(&[]);
    away::events_are_handled_anyway_once_in_a_process(&stage(&server), &mut server).await;
}

async fn a_full_redis_refuses_and_loses_nothing() {
    let server = Redis::start(&["--maxmemory-policy", "noeviction"]);
    let receiver = stage(&server).receiver();
    assert_eq!(deliver(&receiver, "evt_done", 0).await.0.status, 200);
    let fills = async {
        until_counted(&receiver, "begun", 2).await;
        assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    };
    // In flight when it gets full: the handler's answer stands, the completion has to wait.
    let ((running, _), ()) = tokio::join!(deliver(&receiver, "evt_running", 800), fills);
    assert_eq!(running.status, 200);
    until_counted(&receiver, "pending_commits", 1).await;
    let (refused, time) = deliver(&receiver, "evt_new", 0).await;
    assert!(refused.is_try_again(), "{refused:?}");
    assert!(time < Duration::from_millis(2_500), "{time:?}");
    // What is done needs no room.
    assert_eq!(deliver(&receiver, "evt_done", 0).await.0.status, 200);
    assert_eq!(counted(&receiver, "succeeded").await, 2);

    assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    until_counted(&receiver, "pending_commits", 0).await;
    for id in ["evt_done", "evt_new"] {
        assert_eq!(deliver(&receiver, id, 0).await.0.status, 200);
    }
    assert_eq!(deliver(&receiver, "evt_running", 800).await.0.status, 200);
    assert_eq!(counted(&receiver, "succeeded").await, 3, "each event ran once");
    assert_eq!(counted(&receiver, "lease_lost").await, 0);
}
