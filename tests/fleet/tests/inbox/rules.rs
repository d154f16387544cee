//! What a queue holds to, with a worker in the tests' own process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dataflow_webhooks::testing::Sample;
use inbox::{Job, Work};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::on;
use crate::place::{Place, Runs, Working, all_dead, item, put, run, wait_for_dead};

on! {
    [sqlite, postgres, nats]
    an_event_that_is_put_twice_runs_once,
    an_event_that_is_put_again_after_its_run_does_not_run_again,
    a_body_that_cannot_be_decoded_is_kept_and_holds_nobody_up,
    a_job_that_always_fails_is_given_up_on_and_can_be_run_again,
    an_event_that_is_given_up_on_twice_is_kept_the_second_time_as_well,
    a_job_that_panics_is_tried_again,
    a_function_that_panics_before_its_job_begins_cuts_off_no_other_one,
    a_job_may_die_of_any_text_and_holds_nobody_up,
    a_failed_job_waits_for_its_next_attempt_and_others_do_not,
    a_job_that_outlasts_its_lease_is_not_given_to_another_worker,
    what_was_processed_is_deleted_when_it_is_old_and_nothing_else_is,
    queues_of_two_names_in_one_place_do_not_mix,
}

on! {
    [postgres_of_its_own, nats]
    what_was_put_is_there_after_a_kill_of_the_server,
}

on! {
    [nats]
    an_event_as_large_as_the_server_takes_can_be_given_up_on,
    a_put_that_failed_while_the_server_was_away_leaves_nothing_behind,
    after_the_server_was_away_others_do_not_wait_for_a_job_that_still_runs,
}

async fn an_event_that_is_put_twice_runs_once(place: Place) {
    let queue = place.queue().await;
    for id in ["evt_1", "evt_1", "evt_2"] {
        put(&queue, id).await;
    }
    assert_eq!(place.kept().await, 2);
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    let mut runs = working.runs.wait_for(2).await;
    runs.sort();
    assert_eq!(runs, [run("evt_1", 1), run("evt_2", 1)]);
    working.stop().await;
}

async fn an_event_that_is_put_again_after_its_run_does_not_run_again(place: Place) {
    let queue = place.queue().await;
    put(&queue, "evt_1").await;
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    working.runs.wait_for(1).await;
    working.stop().await;

    put(&queue, "evt_1").await;
    put(&queue, "evt_2").await;
    assert_eq!(place.kept().await, 2);
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    assert_eq!(working.runs.wait_for(1).await, [run("evt_2", 1)]);
    working.stop().await;
}

async fn a_body_that_cannot_be_decoded_is_kept_and_holds_nobody_up(place: Place) {
    let queue = place.queue().await;
    let body = [b"no JSON, nor \xff UTF-8".as_slice(), &[0]].concat();
    queue.put(&item("evt_1", body.clone()), None).await.unwrap();
    put(&queue, "evt_2").await;
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    let dead = wait_for_dead(&queue, 1).await;
    assert_eq!((&*dead[0].key, &dead[0].body[..]), ("id:evt_1", &*body));
    assert!(dead[0].error.starts_with("not decoded: "), "{dead:?}");
    assert_eq!(working.runs.wait_for(1).await, [run("evt_2", 1)]);
    working.stop().await;
}

async fn a_job_that_always_fails_is_given_up_on_and_can_be_run_again(place: Place) {
    let queue = place.queue().await;
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = Arc::clone(&is_mended);
    put(&queue, "evt_1").await;
    let working = Working::start(&queue, place.settings().limits, move |_, _| {
        if mended.load(Ordering::Relaxed) { Ok(()) } else { Err("no such table".into()) }
    });
    let dead = wait_for_dead(&queue, 1).await;
    assert_eq!(
        (&*dead[0].key, dead[0].attempts, &*dead[0].error),
        ("id:evt_1", 3, "no such table")
    );
    assert_eq!(working.runs.so_far(), [1, 2, 3].map(|attempt| run("evt_1", attempt)));
    // It was answered 200 long ago: whoever sends it again changes nothing.
    put(&queue, "evt_1").await;
    assert_eq!(all_dead(&queue).await.unwrap().len(), 1);

    is_mended.store(true, Ordering::Relaxed);
    // Where the first key is of none, the next one is meant.
    assert!(queue.retry(&["evt_1", "id:evt_1"]).await.unwrap());
    assert_eq!(working.runs.wait_for(4).await[3], run("evt_1", 1));
    assert!(all_dead(&queue).await.unwrap().is_empty());
    assert!(!queue.retry(&["id:evt_1"]).await.unwrap());
    working.stop().await;
}

async fn an_event_that_is_given_up_on_twice_is_kept_the_second_time_as_well(place: Place) {
    let queue = place.queue().await;
    put(&queue, "evt_1").await;
    let working = Working::start(&queue, place.settings().limits, |_, _| Err("no".into()));
    wait_for_dead(&queue, 1).await;
    assert!(queue.retry(&["id:evt_1"]).await.unwrap());
    let runs = working.runs.wait_for(6).await;
    assert_eq!(runs, [1, 2, 3, 1, 2, 3].map(|attempt| run("evt_1", attempt)));
    wait_for_dead(&queue, 1).await;
    working.stop().await;
}

async fn a_job_that_panics_is_tried_again(place: Place) {
    let queue = place.queue().await;
    put(&queue, "evt_1").await;
    let working = Working::start(&queue, place.settings().limits, |_, attempt| {
        assert!(attempt > 1, "a panic that a test asked for");
        Ok(())
    });
    assert_eq!(working.runs.wait_for(2).await, [run("evt_1", 1), run("evt_1", 2)]);
    working.stop().await;
}

/// Jobs that end when they may, each after this function.
fn noted(runs: &Runs, may_end: &Arc<Notify>, first: fn(&Job)) -> Work {
    let (runs, may_end) = (runs.clone(), Arc::clone(may_end));
    Arc::new(move |job: Job| {
        runs.note(&job);
        first(&job);
        let may_end = Arc::clone(&may_end);
        Box::pin(async move {
            may_end.notified().await;
            Ok(())
        })
    })
}

async fn a_function_that_panics_before_its_job_begins_cuts_off_no_other_one(place: Place) {
    let queue = place.queue().await;
    let mut limits = place.settings().limits;
    limits.workers = 2;
    put(&queue, "evt_long").await;
    let (runs, may_end) = (Runs::default(), Arc::new(Notify::new()));
    let work = noted(&runs, &may_end, |job| {
        assert_eq!(job.event.id, "evt_long", "a panic that a test asked for");
    });
    let working = Working::with(&queue, limits, runs, work);
    working.runs.wait_for(1).await;
    put(&queue, "evt_1").await;
    let dead = wait_for_dead(&queue, 1).await;
    assert_eq!((&*dead[0].key, dead[0].attempts), ("id:evt_1", 3));
    assert!(dead[0].error.contains("panicked"), "{}", dead[0].error);
    may_end.notify_one();
    assert_eq!(working.runs.so_far().len(), 4, "{:?}", working.runs.so_far());
    working.stop().await;
}

/// Of an error in many lines or with U+0000 in it, which a header of NATS or PostgreSQL's
/// JSON cannot hold.
async fn a_job_may_die_of_any_text_and_holds_nobody_up(place: Place) {
    let queue = place.queue().await;
    put(&queue, "evt_1").await;
    let working = Working::start(&queue, place.settings().limits, |id, _| match id {
        "evt_1" => Err(format!("two\r\nlines, and \0{}", "x".repeat(2 << 20)).into()),
        _ => Ok(()),
    });
    working.runs.wait_for(1).await;
    put(&queue, "evt_2").await;
    let dead = wait_for_dead(&queue, 1).await;
    assert!(dead[0].error.starts_with(r"two  lines, and \u{0}xxx"), "{:.40}", dead[0].error);
    assert!(dead[0].error.len() < 2_000, "{} bytes", dead[0].error.len());
    assert_eq!(dead[0].attempts, 3);
    assert!(working.runs.wait_for(4).await.contains(&run("evt_2", 1)));
    working.stop().await;
}

async fn a_failed_job_waits_for_its_next_attempt_and_others_do_not(place: Place) {
    let queue = place.queue().await;
    let mut limits = place.settings().limits;
    limits.retry_after = Duration::from_secs(3);
    put(&queue, "evt_1").await;
    let began = Instant::now();
    let working = Working::start(&queue, limits, |id, attempt| {
        if id == "evt_1" && attempt == 1 { Err("not yet".into()) } else { Ok(()) }
    });
    working.runs.wait_for(1).await;
    put(&queue, "evt_2").await;
    let runs = working.runs.wait_for(3).await;
    assert_eq!(runs, [run("evt_1", 1), run("evt_2", 1), run("evt_1", 2)]);
    // SQLite counts in whole seconds.
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    working.stop().await;
}

async fn a_job_that_outlasts_its_lease_is_not_given_to_another_worker(place: Place) {
    let queue = place.queue().await;
    let limits = place.settings().limits;
    put(&queue, "evt_long").await;
    let (runs, may_end) = (Runs::default(), Arc::new(Notify::new()));
    let work = noted(&runs, &may_end, |_| {});
    let working = Working::with(&queue, limits, runs, work);
    working.runs.wait_for(1).await;
    let other = Working::start(&place.queue().await, limits, |_, _| Ok(()));
    sleep(limits.lease * 5 / 2).await;
    // It would have had that one first.
    put(&queue, "evt_2").await;
    assert_eq!(other.runs.wait_for(1).await, [run("evt_2", 1)]);
    may_end.notify_one();
    working.stop().await;
    other.stop().await;
}

async fn queues_of_two_names_in_one_place_do_not_mix(place: Place) {
    let mut settings = place.settings();
    settings.name = "invoices".to_owned();
    let (queue, other) = (place.queue().await, place.queue_with(&settings).await);
    for (queue, id) in [(&queue, "evt_1"), (&other, "evt_1"), (&queue, "evt_2")] {
        put(queue, id).await;
    }
    let working = Working::start(&other, settings.limits, |_, _| Err("no".into()));
    wait_for_dead(&other, 1).await;
    assert_eq!(working.runs.so_far(), [1, 2, 3].map(|attempt| run("evt_1", attempt)));
    working.stop().await;
    assert!(all_dead(&queue).await.unwrap().is_empty());
    let working = Working::start(&queue, settings.limits, |_, _| Ok(()));
    let mut runs = working.runs.wait_for(2).await;
    runs.sort();
    assert_eq!(runs, [run("evt_1", 1), run("evt_2", 1)]);
    working.stop().await;
}

async fn what_was_processed_is_deleted_when_it_is_old_and_nothing_else_is(place: Place) {
    let queue = place.queue().await;
    for id in ["evt_done", "evt_fails"] {
        put(&queue, id).await;
    }
    let limits = place.settings().limits;
    let fails = |id: &str, _| if id == "evt_fails" { Err("no".into()) } else { Ok(()) };
    let working = Working::start(&queue, limits, fails);
    working.runs.wait_for(4).await;
    wait_for_dead(&queue, 1).await;
    working.stop().await;
    put(&queue, "evt_waits").await;

    let all = place.kept().await;
    queue.clean_up(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(place.kept().await, all);
    queue.clean_up(Duration::ZERO).await.unwrap();
    assert_eq!(place.kept().await, 2);
    assert_eq!(all_dead(&queue).await.unwrap().len(), 1);
    let working = Working::start(&queue, limits, fails);
    assert_eq!(working.runs.wait_for(1).await, [run("evt_waits", 1)]);
    working.stop().await;
}

async fn what_was_put_is_there_after_a_kill_of_the_server(mut place: Place) {
    let queue = place.queue().await;
    let ids: Vec<_> = (10..30).map(|number| format!("evt_{number}")).collect();
    for id in &ids {
        put(&queue, id).await;
    }
    place.kill();
    place.restart();
    let queue = place.queue().await;
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    let mut runs = working.runs.wait_for(ids.len()).await;
    runs.sort();
    assert_eq!(runs, ids.iter().map(|id| run(id, 1)).collect::<Vec<_>>());
    working.stop().await;
}

async fn an_event_as_large_as_the_server_takes_can_be_given_up_on(place: Place) {
    let queue = place.queue().await;
    let body =
        |size: usize| format!(r#"{{"id":"evt_1","type":"","filler":"{}"}}"#, "x".repeat(size));
    // The server's limit is 1 MiB unless told, its own headers included.
    assert!(queue.put(&item("evt_1", body(1 << 20)), None).await.is_err());
    let largest = body((1 << 20) - 250);
    queue.put(&item("evt_1", largest.clone()), None).await.unwrap();
    let working =
        Working::start(&queue, place.settings().limits, |_, _| Err("no".repeat(400).into()));
    let dead = wait_for_dead(&queue, 1).await;
    assert!(dead[0].body == largest, "{} bytes", dead[0].body.len());
    assert_eq!((dead[0].attempts, &*dead[0].error), (3, "see the worker's log"));
    assert!(queue.retry(&["id:evt_1"]).await.unwrap());
    wait_for_dead(&queue, 1).await;
    assert_eq!(working.runs.so_far().len(), 6);
    working.stop().await;
}

/// A client keeps what it was to send until the server is back: thousands of bodies.
async fn a_put_that_failed_while_the_server_was_away_leaves_nothing_behind(mut place: Place) {
    let queue = place.queue().await;
    place.kill();
    let failed = async |id: &str| {
        let body = Sample::of("pipeline.created").id(id).body();
        queue.put(&item(id, body), None).await.unwrap_err()
    };
    let end = Instant::now() + Duration::from_secs(60);
    // What is put before the client finds out may be kept: nobody can know better.
    loop {
        let error = failed("evt_finds_out").await;
        if error.to_string().starts_with("there is no connection to the server") {
            break;
        }
        assert!(Instant::now() < end, "the client did not find out: {error}");
    }
    failed("evt_away").await;
    place.restart();
    let end = Instant::now() + Duration::from_secs(60);
    while all_dead(&queue).await.is_err() {
        assert!(Instant::now() < end, "the server is not back");
    }
    put(&queue, "evt_after").await;
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    let after = run("evt_after", 1);
    while !working.runs.so_far().contains(&after) {
        assert!(Instant::now() < end, "it did not run");
        sleep(Duration::from_millis(5)).await;
    }
    // Events run in the order in which they were put.
    let runs = working.runs.so_far();
    assert!(!runs.contains(&run("evt_away", 1)), "{runs:?}");
    working.stop().await;
}

async fn after_the_server_was_away_others_do_not_wait_for_a_job_that_still_runs(mut place: Place) {
    let queue = place.queue().await;
    let mut limits = place.settings().limits;
    limits.workers = 2;
    let may_end = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&may_end);
    put(&queue, "evt_long").await;
    let working = Working::start(&queue, limits, move |id, attempt| {
        while id == "evt_long" && attempt == 1 && !end.load(Ordering::Relaxed) {
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(5)));
        }
        Ok(())
    });
    working.runs.wait_for(1).await;
    place.kill();
    // Until the worker has found out.
    let body = Sample::of("pipeline.created").id("evt_away").body();
    assert!(queue.put(&item("evt_away", body), None).await.is_err());
    sleep(Duration::from_secs(4)).await;
    place.restart();
    let patience = Instant::now() + Duration::from_secs(30);
    while all_dead(&queue).await.is_err() {
        assert!(Instant::now() < patience, "the server is not back");
    }
    put(&queue, "evt_2").await;
    while !working.runs.so_far().iter().any(|(id, _)| id == "evt_2") {
        if Instant::now() > patience {
            may_end.store(true, Ordering::Relaxed);
            panic!("it waits: {:?}", working.runs.so_far());
        }
        sleep(Duration::from_millis(20)).await;
    }
    may_end.store(true, Ordering::Relaxed);
    working.stop().await;
}
