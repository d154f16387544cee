//! The page: what is on it, who can read it, and for how long.

use std::io::Read as _;
use std::time::Duration;

use dataflow_webhooks::Secret;
use dataflow_webhooks::testing::Sample;
use rustix::process::Signal;
use webhook_tests::{Request, SECRET, Wire};

use crate::observed::{Metrics, Observed, command, get};

const PREVIOUS: &str = "whsec_tests_previous_9z8y7x6w";

#[tokio::test]
async fn every_documented_metric_is_on_the_page_before_the_first_delivery_and_no_other() {
    let documented = include_str!("../../../crates/dataflow-webhooks/src/telemetry/metrics.md");
    let documented: std::collections::BTreeSet<String> = documented
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with("dataflow_webhooks_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(Observed::start().await.metrics().await.families, documented);
}

#[tokio::test]
async fn each_request_is_counted_where_the_alerts_look_for_it() {
    let both = format!("{SECRET},{PREVIOUS}");
    let mut command = command();
    command.env("DATAFLOW_WEBHOOK_SECRET", both);
    let observed = Observed::start_with(&mut command, std::process::Stdio::piped()).await;
    let before = observed.metrics().await;
    assert_eq!(before.sum("last_delivery_timestamp_seconds", &[]), 0.0);

    let first = Sample::of("pipeline.run.completed");
    let other = Secret::new("whsec_tests_of_somebody_else").unwrap();
    let previous = Secret::new(PREVIOUS).unwrap();
    let own = Secret::new(SECRET).unwrap();
    let requests = [
        (Request::signed(first.body()), 200),
        (Request::signed(first.body()), 200), // a duplicate
        (Request::signed_with(&previous, 0, Sample::unknown("seat.added").body()), 200),
        (Request::signed(first.clone().id("evt_2").data("run_id", 7).body()), 200),
        (Request::unsigned(first.body()), 401),
        (Request::signed_with(&other, 0, first.body()), 401),
        (Request::signed_with(&own, -400, first.body()), 401),
        (Request::signed_with(&own, 400, first.body()), 401),
        (Request::signed(&b"[]"[..]), 422),
    ];
    for (request, status) in &requests {
        assert_eq!(observed.deliver(request).await, *status, "{request:?}");
    }

    let page = observed.metrics().await;
    let is = |name: &str, labels: &[(&str, &str)], value: f64| {
        assert_eq!(page.sum(name, labels), value, "{name} {labels:?}");
    };
    let of_first = [("type", "pipeline.run.completed"), ("key", "current")];
    is("deliveries_total", &of_first, 3.0);
    is("deliveries_total", &[("type", "other"), ("key", "previous")], 1.0);
    is("deliveries_total", &[], 4.0);
    is("outcomes_total", &[("outcome", "handled")], 3.0);
    is("outcomes_total", &[("outcome", "duplicate")], 1.0);
    is("outcomes_total", &[], 4.0);
    for kind in ["missing_signature", "no_match", "too_old", "too_new", "not_an_event"] {
        is("rejections_total", &[("kind", kind)], 1.0);
    }
    is("rejections_total", &[], 5.0);
    // Authentic and not answered 200 is the 422 alone, and it came last.
    is("refused_total", &[], 1.0);
    is("refused_in_a_row", &[], 1.0);
    is("mismatched_total", &[("type", "pipeline.run.completed")], 1.0);
    is("handler_seconds_count", &[("end", "succeeded")], 3.0);
    is("store_seconds_count", &[("operation", "claim")], 4.0);
    is("store_seconds_count", &[("operation", "commit")], 3.0);
    is("skew_seconds_count", &[], 4.0);
    for at_rest in ["running", "pending_commits", "unverified_bytes"] {
        is(at_rest, &[], 0.0);
    }
    let now = jiff::Timestamp::now().as_second() as f64;
    let last = page.sum("last_delivery_timestamp_seconds", &[]);
    assert!((now - last).abs() < 60.0, "{last}");
}

#[tokio::test]
async fn failures_count_in_a_row_until_a_duplicate_is_answered_200() {
    let (reader, writer) = std::io::pipe().unwrap();
    let observed = Observed::start_with(&mut command(), writer.into()).await;
    let done = Request::signed(Sample::of("pipeline.created").body());
    assert_eq!(observed.deliver(&done).await, 200);
    // From here on no line can be written: handlers fail.
    drop(reader);
    for _ in 0..3 {
        let failing = Request::signed(Sample::of("pipeline.created").body());
        assert_eq!(observed.deliver(&failing).await, 500);
    }
    let page = observed.metrics().await;
    assert_eq!(page.sum("refused_in_a_row", &[]), 3.0);
    assert_eq!(page.sum("refused_total", &[]), 3.0);
    assert_eq!(page.sum("outcomes_total", &[("outcome", "failed")]), 3.0);
    assert_eq!(page.sum("handler_seconds_count", &[("end", "failed")]), 3.0);

    assert_eq!(observed.deliver(&done).await, 200);
    let page = observed.metrics().await;
    assert_eq!(page.sum("refused_in_a_row", &[]), 0.0);
    assert_eq!(page.sum("refused_total", &[]), 3.0);
}

#[tokio::test]
async fn each_attempt_has_a_range_of_the_lag_of_its_own() {
    let observed = Observed::start().await;
    // One each at its time or a second late, as whole seconds allow.
    let attempts = [0, 60, 360, 1260, 4860, 26460];
    for seconds in attempts {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        let event = Sample::of("pipeline.created").created_at(at);
        assert_eq!(observed.deliver(&Request::signed(event.body())).await, 200);
    }
    let page = observed.metrics().await;
    for (index, bound) in ["59", "359", "1259", "4859", "26459", "+Inf"].iter().enumerate() {
        let below = page.sum("lag_seconds_bucket", &[("le", bound)]);
        assert_eq!(below, (index + 1) as f64, "{bound}");
    }
}

#[tokio::test]
async fn neither_secret_nor_id_nor_body_nor_a_strangers_type_is_on_the_page() {
    let observed = Observed::start().await;
    let event = Sample::unknown("type-of-a-stranger").id("evt_private").data("note", "in-the-body");
    assert_eq!(observed.deliver(&Request::signed(event.body())).await, 200);
    let wrong = Secret::new(PREVIOUS).unwrap();
    let refused = Request::signed_with(&wrong, 0, event.body());
    assert_eq!(observed.deliver(&refused).await, 401);
    let page = observed.read().await.text();
    assert!(page.contains("type=\"other\""));
    for private in [SECRET, PREVIOUS, "whsec", "type-of-a-stranger", "evt_private", "in-the-body"] {
        assert!(!page.contains(private), "{private}");
    }
}

#[tokio::test]
async fn the_page_and_the_deliveries_have_an_address_each() {
    let observed = Observed::start().await;
    let page = observed.read().await;
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4");
    assert_eq!(get("/metrics", observed.address).await.status, 404);
    assert_eq!(get("/healthz", observed.address).await.status, 200);
    let delivery = Request::signed(Sample::of("pipeline.created").body());
    assert_eq!(delivery.send(observed.page).await.unwrap().status, 404);
    assert_eq!(delivery.send(observed.address).await.unwrap().status, 200);
}

/// Waits until the page says so.
async fn until(observed: &Observed, holds: impl Fn(&Metrics) -> bool) -> Metrics {
    let reading = async {
        loop {
            let page = observed.metrics().await;
            if holds(&page) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("what was waited for")
}

/// 40 deliveries with lines of 4 KiB that nobody reads: the pipe holds 15 of them
/// (64 KiB on Linux), and the handlers of the others wait.
async fn fill(observed: &Observed) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..40 {
        let long = format!("pipeline.{}", "x".repeat(4096));
        let mut wire = Wire::connect(observed.address).await.unwrap();
        wire.send(&Request::signed(Sample::unknown(&long).body())).await.unwrap();
        wires.push(wire);
    }
    wires
}

#[tokio::test]
async fn a_handler_that_outlives_its_answer_is_above_the_bound_of_4_5_seconds() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let observed = Observed::start_with(&mut command(), writer.into()).await;
    let mut late = 0.0;
    for mut wire in fill(&observed).await {
        match wire.answer().await.unwrap().status {
            200 => {}
            503 => late += 1.0,
            other => panic!("{other}"),
        }
    }
    assert!(late >= 20.0, "{late}");
    let page = observed.metrics().await;
    assert_eq!(page.sum("outcomes_total", &[("outcome", "late")]), late);

    std::thread::spawn(move || std::io::copy(&mut reader.by_ref(), &mut std::io::sink()));
    let ended = |page: &Metrics| page.sum("handler_seconds_count", &[]) == 40.0;
    let page = until(&observed, ended).await;
    let within = page.sum("handler_seconds_bucket", &[("end", "succeeded"), ("le", "4.5")]);
    assert_eq!(within, 40.0 - late);
    assert_eq!(page.sum("running", &[]), 0.0);
}

#[tokio::test]
async fn the_page_can_be_read_until_the_last_handler_has_ended() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut observed = Observed::start_with(&mut command(), writer.into()).await;
    let wires = fill(&observed).await;
    until(&observed, |page| page.sum("running", &[]) >= 20.0).await;
    // Their handlers run on.
    drop(wires);
    observed.program.signal(Signal::TERM);
    observed.program.logged("waiting for the handlers").await;
    let running = observed.metrics().await.sum("running", &[]);
    assert!(running >= 20.0, "{running}");
    drop(reader);
    assert_eq!(observed.program.ended().await.code(), Some(0));
}
