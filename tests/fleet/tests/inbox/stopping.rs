//! A worker that is told to stop while its server does not answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;
use webhook_fleet_tests::proxy::{Mode, Proxy};
use webhook_tests::Example;

use crate::on;
use crate::place::{PROGRAM, Place};

on! {
    [postgres, nats]
    a_worker_without_jobs_does_not_wait_for_a_silent_server,
}

async fn a_worker_without_jobs_does_not_wait_for_a_silent_server(place: Place) {
    let _queue = place.queue().await;
    let port = place.port();
    let way = Proxy::start(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
    let url = place.url().replace(&format!(":{port}"), &format!(":{}", way.address().port()));
    if matches!(place, Place::Nats(_)) {
        // From the start: its client would wait 10 s for each answer, unless told.
        way.set(Mode::Hold);
    }
    let mut worker = Example::start(place.program(PROGRAM, &["worker"]).env("QUEUE_URL", url));
    worker.logged("working").await;
    sleep(Duration::from_millis(300)).await;
    // The worker of PostgreSQL would wait for ever. It asks every 100 ms.
    way.set(Mode::Hold);
    sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0), "{}", worker.log());
    // It is 1.7 s where the machine has time.
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
}
