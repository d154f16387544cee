//! The program and its server, killed at random points under a sender that keeps the
//! platform's rules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::Terms;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use webhook_fleet_tests::history::{Recorder, answered_200};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::killed::Killed;
use webhook_fleet_tests::platform::{LastRetry, Platform, deliver_at_last};
use webhook_tests::{Chance, Example, Request};

use crate::place::{Place, Totals};
use crate::{PROGRAM, completed_run, on_each_database, pipeline, records};

on_each_database! {
    the_totals_are_right_after_any_crash,
}

const EVENTS: usize = 2_000;
const EVENTS_PER_SECOND: u32 = 200;

fn expected() -> Totals {
    let mut totals = Totals::new();
    for number in 0..EVENTS {
        let (runs, sum) = totals.entry(pipeline(number)).or_default();
        *runs += 1;
        *sum += records(number);
    }
    totals
}

async fn the_totals_are_right_after_any_crash(place: Place) {
    let seed = Chance::seed_of_this_run();
    let folder = Folder::new("fleet-transactional");
    let variables = [("DATABASE_URL", &*place.url()), ("RUST_LOG", "warn")];
    let program = Killed::start(&Example::path(PROGRAM), &[], &variables, (&folder, "log"));
    let address = program.address();
    let file = folder.path().join("sender.history");
    let history = Arc::new(Recorder::open(&file).unwrap());
    let (whole, is_whole) = watch::channel(false);
    let platform = Platform {
        receivers: vec![address],
        events: EVENTS,
        events_per_second: EVENTS_PER_SECOND,
        at_once: 2 * EVENTS_PER_SECOND,
        last_retry: LastRetry::when(is_whole),
        patience: Duration::from_secs(5),
        double_one_in: 4,
        sample: completed_run,
        seed,
    };
    let requests = (0..EVENTS).map(|number| completed_run(number).id(&platform.id(number)).body());
    let requests: Vec<_> = requests.collect();
    let ids: BTreeSet<_> = (0..EVENTS).map(|number| platform.id(number)).collect();

    let breaking = spawn_blocking(move || break_at_random(place, program, seed));
    let broken = async {
        let broken = breaking.await.unwrap();
        // What was claimed by those that were killed is free again.
        sleep(Terms::default().lease() + Duration::from_secs(1)).await;
        whole.send_replace(true);
        broken
    };
    let ((), (place, program, kills)) = tokio::join!(platform.run(history), broken);

    let (done, attempts) = answered_200(&file).unwrap();
    eprintln!("{kills} kills, {attempts} attempts at {EVENTS} events");
    assert!(kills > 10, "{kills}");
    assert_eq!(ids.difference(&done).collect::<Vec<_>>(), [""; 0], "{}", program.log());
    assert_eq!(place.totals().await, expected(), "{}", program.log());

    for body in requests {
        deliver_at_last(&Request::signed(body), address).await;
    }
    assert_eq!(place.totals().await, expected(), "duplicates were counted");
}

/// Kills the program again and again while the events are sent, and once its server, where
/// there is one; tells how often.
fn break_at_random(mut place: Place, mut program: Killed, seed: u64) -> (Place, Killed, u32) {
    let mut chance = Chance::from_seed(seed);
    let end = Instant::now() + Duration::from_secs(1) * EVENTS as u32 / EVENTS_PER_SECOND;
    let mut kills = 0;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20 + chance.below(400) as u64));
        kills += 1;
        match &mut place {
            Place::Postgres(server, _) if kills == 5 => {
                server.kill();
                server.restart();
            }
            _ => program.restart(),
        }
    }
    (place, program, kills)
}
