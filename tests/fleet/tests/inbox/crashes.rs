//! A receiver and two workers, killed at random points under a sender that keeps the
//! platform's rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflow_webhooks::testing::Sample;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use webhook_fleet_tests::history::{Recorder, answered_200};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::killed::Killed;
use webhook_fleet_tests::platform::{LastRetry, Platform, deliver_at_last};
use webhook_tests::{Chance, Request};

use crate::on;
use crate::place::{PROGRAM, Place};

on! {
    [sqlite, postgres, nats]
    every_event_is_processed_and_none_is_in_the_queue_twice,
}

const EVENTS: usize = 2_000;
const EVENTS_PER_SECOND: u32 = 150;
const WORKERS: usize = 2;
const JOBS_AT_ONCE: usize = 4;

/// Each of the documented types in turn. A job that fails does so in its first attempt.
fn any_event(number: usize) -> Sample {
    let job = if number.is_multiple_of(20) { "fails first" } else { "" };
    Platform::any_type(number).data("job", job)
}

/// Which attempts of each event have succeeded, as the workers' lines say.
fn lines(workers: &[Killed]) -> BTreeMap<String, Vec<u64>> {
    let mut runs = BTreeMap::<_, Vec<_>>::new();
    for output in workers.iter().map(Killed::output) {
        for line in output.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let Some(id) = line["event_id"].as_str() else { continue };
            runs.entry(id.to_owned()).or_default().push(line["attempt"].as_u64().unwrap());
        }
    }
    runs
}

async fn every_event_is_processed_and_none_is_in_the_queue_twice(place: Place) {
    let _queue = place.queue().await;
    let seed = Chance::seed_of_this_run();
    let folder = Folder::new("fleet-inbox");
    let (url, jobs) = (place.url(), JOBS_AT_ONCE.to_string());
    let variables = [
        ("QUEUE_URL", &*url),
        ("WORKERS", &*jobs),
        ("LEASE", "4"),
        ("RETRY_AFTER", "1"),
        ("RUST_LOG", "error"),
    ];
    let program = Path::new(PROGRAM);
    let receiver = Killed::start(program, &["receiver"], &variables, (&folder, "receiver"));
    let names = (0..WORKERS).map(|number| format!("worker-{number}"));
    let start = |name: &String| {
        Killed::start_silent(program, &["worker"], &variables, (&folder, name.as_str()))
    };
    let workers: Vec<_> = names.map(|name| start(&name)).collect();
    let address = receiver.address();

    let file = folder.path().join("sender.history");
    let history = Arc::new(Recorder::open(&file).unwrap());
    let (whole, is_whole) = watch::channel(false);
    let platform = Platform {
        receivers: vec![address],
        events: EVENTS,
        events_per_second: EVENTS_PER_SECOND,
        at_once: 2 * EVENTS_PER_SECOND,
        last_retry: LastRetry::when(is_whole),
        // What is slow on a loaded machine is not sent again, which would load it more.
        patience: Duration::from_secs(4),
        double_one_in: 4,
        sample: any_event,
        seed,
    };
    let ids: Vec<_> = (0..EVENTS).map(|number| platform.id(number)).collect();
    let breaking = spawn_blocking(move || break_at_random(receiver, workers, seed));
    let broken = async {
        let broken = breaking.await.unwrap();
        whole.send_replace(true);
        broken
    };
    let ((), (receiver, mut workers, kills)) = tokio::join!(platform.run(history), broken);

    let (answered, sent) = answered_200(&file).unwrap();
    eprintln!("{sent} attempts at {EVENTS} events; {kills:?} kills of receiver and workers");
    let never: Vec<_> = ids.iter().filter(|id| !answered.contains(*id)).collect();
    assert!(never.is_empty(), "never answered 200: {never:?}\n{}", receiver.log());

    let end = Instant::now() + Duration::from_secs(60);
    while lines(&workers).len() < EVENTS && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let runs = lines(&workers);
    let missing: Vec<_> = ids.iter().filter(|id| !runs.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{missing:?}\n{}", receiver.log());

    for number in (0..EVENTS).step_by(10) {
        let body = any_event(number).id(&ids[number]).body();
        deliver_at_last(&Request::signed(body), address).await;
    }
    for worker in &mut workers {
        worker.stop();
    }
    let runs = lines(&workers);
    let again: usize = runs.values().map(|attempts| attempts.len() - 1).sum();
    eprintln!("{again} events ran again");
    assert!(kills.0 >= 2 && kills.1 >= 2, "{kills:?}");
    // Only what a killed worker had at hand.
    assert!(again <= kills.1 * JOBS_AT_ONCE, "{again}");
    assert_eq!(usize::try_from(place.kept().await), Ok(EVENTS));
    // After a stall, JetStream has given the number of an attempt to the next one as well.
    let tells_attempts_apart = !matches!(place, Place::Nats(_));
    for (id, attempts) in runs.iter().filter(|_| tells_attempts_apart) {
        let each = attempts.iter().collect::<BTreeSet<_>>();
        assert_eq!(each.len(), attempts.len(), "two jobs for {id}: {attempts:?}");
    }
}

/// Kills the receiver or a worker again and again while the events are sent; tells how often
/// which.
fn break_at_random(
    mut receiver: Killed,
    mut workers: Vec<Killed>,
    seed: u64,
) -> (Killed, Vec<Killed>, (usize, usize)) {
    let mut chance = Chance::from_seed(seed);
    let end = Instant::now() + Duration::from_secs(1) * EVENTS as u32 / EVENTS_PER_SECOND;
    let mut kills = (0, 0);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20 + chance.below(700) as u64));
        if chance.below(2) == 0 {
            receiver.restart();
            kills.0 += 1;
        } else {
            let which = chance.below(workers.len());
            workers[which].restart();
            kills.1 += 1;
        }
    }
    (receiver, workers, kills)
}
