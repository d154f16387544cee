//! Known holes of other webhook receivers, each a rule that holds here over a
//! real socket: under axum, and under hyper alone, where no framework helps.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{Endpoint, EndpointBuilder, RejectionKind, SIGNATURE_HEADER, Secret, sign};
use dataflow_webhooks_axum::{Webhook, WebhookLayer};
use dataflow_webhooks_tower::WebhookBody;
use http_body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tower::{Layer as _, service_fn};
use webhook_tests::{Journal, JournalStore, Receiver, Request, Wire, endpoint, secret};

/// A receiver under axum. Its store writes into the journal, and its handler
/// does, when it begins and when it ends.
struct Watched {
    receiver: Receiver,
    endpoint: Endpoint,
    journal: Journal,
}

impl Watched {
    async fn start() -> Self {
        Self::with(endpoint(), || async { StatusCode::OK }).await
    }

    /// `work` is what the handler does between its lines, and its answer.
    async fn with<W, F>(builder: EndpointBuilder, work: W) -> Self
    where
        W: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = StatusCode> + Send,
    {
        let journal = Journal::default();
        let endpoint = builder.dedup(JournalStore::new(&journal)).build().unwrap();
        let lines = journal.clone();
        let handle = move |Webhook(event): Webhook| async move {
            lines.write(format!("begin {}", event.id));
            let answer = work().await;
            lines.write(format!("end {}", event.id));
            answer
        };
        let route = post(handle).route_layer(WebhookLayer::new(endpoint.clone()));
        let receiver = Receiver::start(Router::new().route("/webhooks/dataflow", route)).await;
        Self { receiver, endpoint, journal }
    }

    async fn status_of(&self, request: Request) -> u16 {
        request.send(self.receiver.address()).await.unwrap().status
    }
}

/// The layer around a plain service, under hyper and nothing else.
async fn under_hyper_alone() -> SocketAddr {
    let handle = service_fn(async |_: http::Request<WebhookBody>| {
        Ok::<_, Infallible>(http::Response::new(WebhookBody::default()))
    });
    let service = WebhookLayer::new(endpoint().build().unwrap()).layer(handle);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut server = hyper::server::conn::http1::Builder::new();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(
                server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

fn event(id: &str) -> Bytes {
    Sample::of("pipeline.run.failed").id(id).body()
}

/// A delivery with this signature header, whatever it is.
fn with_header(value: impl Into<Vec<u8>>) -> Request {
    Request::unsigned(event("evt_1")).header(SIGNATURE_HEADER, value)
}

/// CVE-2022-3212 (axum-core), CVE-2026-42294 (Argo).
mod an_endless_chunked_body_ends_at_the_limit_with_413 {
    use super::*;

    async fn holds(to: SocketAddr) {
        let mut wire = Wire::connect(to).await.unwrap();
        let request = Request { body: Bytes::from(vec![b' '; 64 * 1024]), ..Request::signed("") };
        let request = request.chunked(64 * 1024);
        wire.write(&request.head_bytes()).await.unwrap();
        let written = request.body_bytes();
        let endless = written.strip_suffix(b"0\r\n\r\n").unwrap();
        // Until the other side has had enough.
        while wire.write(endless).await.is_ok() {}
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (413, true), "{}", answer.text());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn under_axum() {
        let watched = Watched::start().await;
        holds(watched.receiver.address()).await;
        assert_eq!(watched.journal.take(), [""; 0]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn under_hyper_alone() {
        holds(super::under_hyper_alone().await).await;
    }

    struct Endless;

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16 * 1024])))))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn over_http_2() {
        let watched = Watched::start().await;
        let stream = TcpStream::connect(watched.receiver.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("http://localhost/webhooks/dataflow")
            .header(SIGNATURE_HEADER, sign(&secret(), Timestamp::now(), b""))
            .body(Endless)
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 413);
        assert_eq!(watched.journal.take(), [""; 0]);
    }
}

/// CVE-2026-21894.
mod a_missing_header_is_401 {
    use super::*;

    async fn holds(to: SocketAddr) {
        let answer = Request::unsigned(event("evt_1")).send(to).await.unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
        let answer = Request::signed(event("evt_1")).send(to).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    #[tokio::test]
    async fn under_axum() {
        let watched = Watched::start().await;
        holds(watched.receiver.address()).await;
        let one_run = ["claim id:evt_1", "begin evt_1", "end evt_1", "commit id:evt_1"];
        assert_eq!(watched.journal.take(), one_run);
    }

    #[tokio::test]
    async fn under_hyper_alone() {
        holds(super::under_hyper_alone().await).await;
    }
}

/// RUSTSEC-2024-0010 (svix).
#[tokio::test]
async fn a_prefix_an_empty_and_an_extended_value_never_match() {
    let watched = Watched::start().await;
    let good = sign(&secret(), Timestamp::now(), &event("evt_1"));
    let (t, hash) = good.split_once(",v1=").unwrap();
    let lengths = [0, 1, 2, 31, 32, 62, 63];
    let shortened = lengths.map(|length| format!("{t},v1={}", &hash[..length]));
    let extended = ["0", "00", "=", " 0", hash].map(|more| format!("{good}{more}"));
    for value in shortened.into_iter().chain(extended) {
        assert_eq!(watched.status_of(with_header(&*value)).await, 401, "{value}");
    }
    assert_eq!(watched.journal.take(), [""; 0]);
}

/// CVE-2025-53548 (Clerk).
#[tokio::test]
async fn of_a_list_of_signatures_one_must_match() {
    let watched = Watched::start().await;
    // Another event each time, or the second would be a duplicate.
    let values = |id: &str| {
        let good = sign(&secret(), Timestamp::now(), &event(id));
        let (t, hash) = good.split_once(',').unwrap();
        let wrong = format!("v1={}", "0".repeat(64));
        [
            (401, t.to_owned()),
            (200, format!("{t},{wrong},{hash}")),
            (200, format!("{t},v1=potato,{hash},{wrong}")),
            (401, format!("{t},{wrong},{wrong}")),
            (401, format!("{t},v1=,v1=potato,v1")),
            (401, format!("{t},v0{},v2{}", &hash[2..], &hash[2..])),
            (401, format!("{t},{}", vec![&*wrong; 17].join(","))),
        ]
    };
    for number in 0..values("").len() {
        let id = format!("evt_{number}");
        let (status, value) = values(&id)[number].clone();
        let request = Request::unsigned(event(&id)).header(SIGNATURE_HEADER, &*value);
        assert_eq!(watched.status_of(request).await, status, "{value}");
    }
}

/// CVE-2026-34505.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_signatures_never_reaches_the_store() {
    let watched = Watched::start().await;
    let address = watched.receiver.address();
    let wrong = Secret::new("whsec_somebody_elses_secret").unwrap();
    let floods: Vec<_> = (0..16)
        .map(|flood| {
            let wrong = wrong.clone();
            tokio::spawn(async move {
                let mut wire = Wire::connect(address).await.unwrap();
                for number in 0..100 {
                    let body = event(&format!("evt_{flood}_{number}"));
                    wire.send(&Request::signed_with(&wrong, 0, body)).await.unwrap();
                    assert_eq!(wire.answer().await.unwrap().status, 401);
                }
            })
        })
        .collect();
    for flood in floods {
        flood.await.unwrap();
    }
    assert_eq!(watched.journal.take(), [""; 0]);
    assert_eq!(watched.endpoint.counts().rejected(RejectionKind::NoMatch), 1600);
    // And the store is there for who knows the secret.
    assert_eq!(watched.status_of(Request::signed(event("evt_1"))).await, 200);
    assert_eq!(watched.journal.take().len(), 4);
}

/// CVE-2026-45005.
#[tokio::test]
async fn after_a_swap_the_removed_key_stops_working_at_once() {
    let watched = Watched::start().await;
    let next = Secret::new("whsec_the_one_just_made").unwrap();
    // One whose body is under way while the keys are replaced.
    let mut wire = Wire::connect(watched.receiver.address()).await.unwrap();
    let half_sent = Request::signed(event("evt_half"));
    wire.write(&half_sent.head_bytes()).await.unwrap();
    wire.write(&half_sent.body[..10]).await.unwrap();
    assert_eq!(watched.status_of(Request::signed(event("evt_old"))).await, 200);

    watched.endpoint.keys().replace([next.clone()]).unwrap();
    watched.journal.take();
    assert_eq!(watched.status_of(Request::signed(event("evt_removed"))).await, 401);
    wire.write(&half_sent.body[10..]).await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 401);
    assert_eq!(watched.journal.take(), [""; 0]);
    assert_eq!(watched.status_of(Request::signed_with(&next, 0, event("evt_new"))).await, 200);
}

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

const SHORT: Duration = Duration::from_millis(200);

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

/// Waits until nothing runs any more.
async fn settled(endpoint: &Endpoint) {
    let settled = async {
        while endpoint.counts().running > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), settled).await.expect("the handler ends");
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

/// Bishop Fox, "JSON interoperability": which of two is meant is anybody's
/// guess, and the handler's parser may guess otherwise.
#[tokio::test]
async fn a_body_with_two_ids_or_two_types_is_refused() {
    let watched = Watched::start().await;
    let bodies = [
        r#"{"id":"evt_1","id":"evt_2","type":"pipeline.created"}"#,
        r#"{"id":"evt_1","type":"pipeline.created","type":"pipeline.deleted"}"#,
        r#"{"id":"evt_1","type":"pipeline.created","\u0069d":"evt_2"}"#,
    ];
    for body in bodies {
        assert_eq!(watched.status_of(Request::signed(body)).await, 422, "{body}");
    }
    assert_eq!(watched.journal.take(), [""; 0]);
}
