//! Events that are done, not done yet, or taken for one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::http::StatusCode;
use dataflow_webhooks::Endpoint;
use tokio::sync::Notify;
use webhook_tests::{Request, endpoint, eventually};

use super::{Watched, event};

/// pr-agent #476.
#[tokio::test]
async fn deduplication_goes_by_the_signed_id_and_never_by_an_unsigned_header() {
    let watched = Watched::start().await;
    let names = [
        "X-Request-Id",
        "X-DataFlow-Delivery",
        "X-DataFlow-Event-Id",
        "Idempotency-Key",
        "Webhook-Id",
        "X-GitHub-Delivery",
    ];
    let delivery = |id: &str, value: &str| {
        let request = Request::signed(event(id));
        names.iter().fold(request, |request, name| request.header(name, value))
    };
    // Other headers do not make another event of it …
    assert_eq!(watched.status_of(delivery("evt_1", "a")).await, 200);
    assert_eq!(watched.status_of(delivery("evt_1", "b")).await, 200);
    // … and the same headers do not make two events one.
    assert_eq!(watched.status_of(delivery("evt_2", "a")).await, 200);
    let begun = watched.journal.take().into_iter().filter(|line| line.starts_with("begin"));
    assert_eq!(begun.collect::<Vec<_>>(), ["begin evt_1", "begin evt_2"]);
}

/// postel #129, langfuse #15463: an event that is marked as done too early is
/// lost when its handler fails.
mod an_event_is_done_only_when_its_handler_is {
    use super::*;

    const RUN: [&str; 4] = ["claim id:evt_1", "begin evt_1", "end evt_1", "commit id:evt_1"];

    /// A receiver whose first run comes to `first`, and all others to a success.
    async fn failing_once(
        first: impl Fn() -> StatusCode + Clone + Send + Sync + 'static,
    ) -> Watched {
        let runs = Arc::new(AtomicUsize::new(0));
        let work = move || {
            let (first, run) = (first.clone(), runs.fetch_add(1, SeqCst));
            async move { if run == 0 { first() } else { StatusCode::NO_CONTENT } }
        };
        Watched::with(endpoint(), work).await
    }

    #[tokio::test]
    async fn when_it_succeeds() {
        let watched = Watched::start().await;
        assert_eq!(watched.status_of(Request::signed(event("evt_1"))).await, 200);
        assert_eq!(watched.journal.take(), RUN);
    }

    #[tokio::test]
    async fn when_it_fails() {
        for status in [StatusCode::FOUND, StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY] {
            let watched = failing_once(move || status).await;
            assert_eq!(watched.status_of(Request::signed(event("evt_1"))).await, status.as_u16());
            let failed = ["claim id:evt_1", "begin evt_1", "end evt_1", "release id:evt_1"];
            assert_eq!(watched.journal.take(), failed);
            assert_eq!(watched.status_of(Request::signed(event("evt_1"))).await, 200);
            assert_eq!(watched.journal.take(), RUN);
        }
    }

    #[tokio::test]
    async fn when_it_panics() {
        let watched = failing_once(|| panic!("the handler's first run")).await;
        assert_eq!(watched.status_of(Request::signed(event("evt_1"))).await, 500);
        let panicked = ["claim id:evt_1", "begin evt_1", "release id:evt_1"];
        assert_eq!(watched.journal.take(), panicked);
        assert_eq!(watched.status_of(Request::signed(event("evt_1"))).await, 200);
        assert_eq!(watched.journal.take(), RUN);
    }

    /// The sender has been answered, and its answer was not 200: so the handler
    /// must be able to fail still.
    #[tokio::test]
    async fn when_it_is_late() {
        let (go_on, gate) = pair();
        let builder = endpoint().body_within(SHORT).answer_within(SHORT);
        let watched = Watched::with(builder, move || gate.clone().passed()).await;
        assert_eq!(watched.status_of(Request::signed(event("evt_1"))).await, 503);
        assert_eq!(watched.journal.take(), ["claim id:evt_1", "begin evt_1"]);
        go_on.notify_one();
        settled(&watched.endpoint).await;
        assert_eq!(watched.journal.take(), ["end evt_1", "commit id:evt_1"]);
    }
}

/// Handlers begin sooner on a loaded machine too.
const SHORT: Duration = Duration::from_millis(500);

/// What holds a handler back, and what lets it go on.
fn pair() -> (Arc<Notify>, Gate) {
    let notify = Arc::new(Notify::new());
    (notify.clone(), Gate(notify))
}

#[derive(Clone)]
struct Gate(Arc<Notify>);

impl Gate {
    async fn passed(self) -> StatusCode {
        self.0.notified().await;
        StatusCode::OK
    }
}

async fn settled(endpoint: &Endpoint) {
    eventually("nothing runs any more", || endpoint.counts().running == 0).await;
}

/// 2witstudios/PageSpace #2199: the first attempt may yet fail.
#[tokio::test]
async fn a_duplicate_in_flight_is_never_answered_200() {
    let (go_on, gate) = pair();
    let builder = endpoint().body_within(SHORT).answer_within(SHORT);
    let watched = Watched::with(builder, move || gate.clone().passed()).await;
    let delivery = Request::signed(event("evt_1"));
    for _ in 0..4 {
        // The first one is late, the others wait for it in vain.
        let answer = delivery.send(watched.receiver.address()).await.unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, "60"));
    }
    go_on.notify_one();
    settled(&watched.endpoint).await;
    assert_eq!(watched.status_of(delivery).await, 200);
    let runs = watched.journal.take().into_iter().filter(|line| line.starts_with("begin"));
    assert_eq!(runs.count(), 1);
}
