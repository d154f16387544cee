//! What is logged, at the most talkative level, while deliveries of all kinds
//! come in: no secret, no body, no signature that the sender did not have.
//!
//! CVE-2018-1000089, RUSTSEC-2022-0087. The log is the whole process's, so this
//! is one test in a program of its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{
    Endpoint, EndpointBuilder, EventPayload, Outcome, Rejection, RejectionKind, SIGNATURE_HEADER,
    Secret, sign,
};
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use jiff::{SignedDuration, Timestamp};
use tracing_subscriber::fmt::format::FmtSpan;
use webhook_tests::{Receiver, Request, SECRET, Wire, endpoint, eventually, hex, secret};

/// In every body, and nowhere else.
const MARK: &str = "mark-of-the-body";

const OTHER: &str = "whsec_someone_elses_9z8y7x6w";

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture_all() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an application may well do: log the answer, and why it was a refusal.
async fn logged(response: Response) -> Response {
    let refused = response.extensions().get::<Rejection>();
    let source = refused.and_then(Rejection::source).map(|error| format!("{error:?} {error}"));
    let words = refused.map(Rejection::to_string);
    tracing::trace!("answered: {response:?} {refused:?} {words:?} {source:?}");
    response
}

/// An endpoint whose handler does what the event's type says.
async fn receiver(builder: EndpointBuilder) -> (Receiver, Endpoint) {
    let endpoint = builder.build().unwrap();
    let known = endpoint.clone();
    let handle = move |WebhookDelivery(delivery): WebhookDelivery| async move {
        let event = delivery.event();
        tracing::trace!("handling: {delivery:?} {event:?} {known:?} {:?}", secret());
        if let Err(error) = delivery.data::<Vec<u8>>() {
            tracing::trace!("no bytes: {error} {error:?}");
        }
        match event.payload {
            EventPayload::PipelineRunFailed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            EventPayload::PipelineDeleted(_) => panic!("the handler's own words"),
            EventPayload::PipelineUpdated(_) => {
                tokio::time::sleep(Duration::from_millis(400)).await;
                StatusCode::OK
            }
            _ => StatusCode::OK,
        }
    };
    let route = any(handle)
        .layer(WebhookLayer::new(endpoint.clone()))
        .layer(axum::middleware::map_response(logged));
    let app = Router::new().route("/webhooks/dataflow", route);
    (Receiver::start(app).await, endpoint)
}

/// Fresh for each refusal: one endpoint logs only so many of them.
async fn answered(builder: EndpointBuilder, request: Request) -> (u16, Endpoint) {
    let (receiver, endpoint) = receiver(builder).await;
    let status = request.send(receiver.address()).await.unwrap().status;
    (status, endpoint)
}

fn sample(event_type: &str) -> Bytes {
    Sample::of(event_type).data("note", MARK).metadata("note", MARK).body()
}

async fn handled_and_not(answers: &mut Vec<String>) {
    let quick = endpoint()
        .body_within(Duration::from_millis(200))
        .answer_within(Duration::from_millis(200));
    let (receiver, endpoint) = receiver(quick).await;
    let late = Request::signed(sample("pipeline.updated"));
    let handled = Request::signed(sample("pipeline.run.completed"));
    let requests = [
        handled.clone(),
        handled,
        Request::signed(sample("pipeline.run.failed")),
        Request::signed(sample("pipeline.deleted")),
        late.clone(),
        late,
        Request::signed(Sample::unknown("pipeline.run.cancelled").data("note", MARK).body()),
        Request::signed(Sample::of("pipeline.created").field("data", [MARK]).body()),
    ];
    for request in requests {
        request.send(receiver.address()).await.unwrap();
    }
    for &outcome in Outcome::ALL {
        if endpoint.counts().outcome(outcome) > 0 {
            answers.push(outcome.to_string());
        }
    }
    assert_eq!(endpoint.counts().mismatched, 1);
}

/// The body's own MAC for each of them must not be logged either: returns those.
async fn refused(answers: &mut Vec<String>) -> Vec<String> {
    let body = sample("pipeline.run.completed");
    let other = Secret::new(OTHER).unwrap();
    let good = Request::signed(body.clone());
    let changed = |body: Vec<u8>| Request { body: body.into(), ..good.clone() };
    let header = |value: &str| Request::unsigned(body.clone()).header(SIGNATURE_HEADER, value);
    let event = |body: String| Request::signed(body);
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let requests = vec![
        Request { method: "PUT".into(), ..good.clone() },
        Request::unsigned(body.clone()),
        good.clone().header(SIGNATURE_HEADER, "t=1,v1="),
        header("t=1,t=2"),
        header(&format!("t={SECRET},v1={SECRET}")),
        Request::signed_with(&secret(), -301, body.clone()),
        Request::signed_with(&secret(), 400, body.clone()),
        // What there is an explanation for.
        Request::signed_with(&other, 0, body.clone()),
        changed([&body[..], b"\n"].concat()),
        changed(serde_json::to_vec_pretty(&value).unwrap()),
        changed(body.iter().rev().copied().collect()),
        changed([b"\xef\xbb\xbf", &body[..]].concat()),
        header(&format!("t={},v1=potato", Timestamp::now().as_second())),
        // Authentic, and no events.
        event(format!("\"{MARK}\"")),
        event(format!("{{\"id\":\"{MARK}\",\"id\":1}}")),
        event(format!("{{\"note\":\"{MARK}\"")),
        event(format!("{{\"{MARK}\":nonsense}}")),
        event(format!("{MARK} {{}}")),
        // Too large, by its declared length and by its chunks.
        Request::signed(MARK.repeat(100_000)),
        Request::signed(MARK.repeat(100_000)).chunked(10_000),
    ];
    let mut macs = Vec::new();
    for request in requests {
        // The request may have been signed in the second before this one.
        for seconds in [0, 1] {
            let at = Timestamp::now() - SignedDuration::from_secs(seconds);
            macs.push(sign(&secret(), at, &request.body)[16..].to_owned());
        }
        let (status, endpoint) = answered(endpoint(), request).await;
        assert!((400..500).contains(&status), "{status}");
        for &kind in RejectionKind::ALL {
            if endpoint.counts().rejected(kind) > 0 {
                answers.push(kind.to_string());
            }
        }
    }
    macs
}

async fn cut_off(answers: &mut Vec<String>) {
    let quick = endpoint().body_within(Duration::from_millis(50));
    let (receiver, endpoint) = receiver(quick).await;
    for hang_up in [false, true] {
        let mut wire = Wire::connect(receiver.address()).await.unwrap();
        let request = Request::signed(sample("pipeline.run.completed"));
        wire.write(&request.head_bytes()).await.unwrap();
        wire.write(&request.body[..request.body.len() - 1]).await.unwrap();
        if hang_up {
            let held = || endpoint.counts().unverified_bytes > 0;
            eventually("the body is under way", held).await;
            wire.reset().unwrap();
            eventually("the body is forgotten", || !held()).await;
        } else {
            assert_eq!(wire.answer().await.unwrap().status, 408);
        }
    }
    drop(endpoint.drain());
    let request = Request::signed(sample("pipeline.run.completed"));
    assert_eq!(request.send(receiver.address()).await.unwrap().status, 503);
    for kind in [RejectionKind::BodyTimeout, RejectionKind::Draining] {
        assert_eq!(endpoint.counts().rejected(kind), 1, "{kind}");
        answers.push(kind.to_string());
    }
}

#[tokio::test]
async fn no_secret_and_no_body_is_ever_logged() {
    let log = Log::capture_all();
    let mut seen = Vec::new();
    handled_and_not(&mut seen).await;
    let macs = refused(&mut seen).await;
    cut_off(&mut seen).await;

    // Or nothing has been tested.
    let expected = "handled failed panicked late duplicate method_not_allowed missing_signature \
                    repeated_signature malformed_signature too_old too_new no_match \
                    not_an_event body_too_large body_timeout draining";
    for one in expected.split(' ') {
        assert!(seen.iter().any(|seen| seen == one), "there was no {one}: {seen:?}");
    }
    let text = log.text();
    for line in ["delivery", "was not answered 200", "answered 422", "no signature matches"] {
        assert!(text.contains(line), "there is no {line:?} in the log");
    }

    let secrets = [SECRET, OTHER].map(|secret| [secret, &secret[6..], &secret[..12]]).concat();
    let secrets = secrets.into_iter().map(str::to_owned);
    let hexes = [SECRET, OTHER, MARK].map(|text| hex(text.as_bytes()));
    let bytes = [SECRET, MARK].map(|text| format!("{:?}", text.as_bytes()));
    let bytes = bytes.map(|list| list[1..list.len() - 1].to_owned());
    for needle in secrets.chain(hexes).chain(bytes).chain(macs).chain([MARK.to_owned()]) {
        if let Some(at) = text.find(&needle) {
            let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let to = text[at..].find('\n').map_or(text.len(), |end| at + end);
            panic!("{needle:?} was logged: {}", &text[from..to]);
        }
    }
}
