//! What the log of an application shows of a delivery, or of a layer that is
//! missing. In a program of its own: what one thread listens to depends on what
//! the others have logged before.

#![cfg(feature = "tracing")]

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::{Endpoint, Secret, Webhook, WebhookLayer};
use tower::ServiceExt as _;

/// What was logged on this thread while this lived.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn listen(&self) -> impl Drop + use<> {
        let log = self.clone();
        let listener = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(move || log.clone());
        listener.finish().set_default()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn without_the_layer_the_log_says_which_one_is_missing() {
    let log = Log::default();
    let listening = log.listen();
    let app: Router = Router::new().route("/webhooks/dataflow", post(async |_: Webhook| ()));
    let request = Request::post("/webhooks/dataflow").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 500);
    drop(listening);
    let lines = log.lines();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains("ERROR") && lines.contains("put WebhookLayer around"), "{lines}");
    assert!(!lines.contains("whsec_"), "{lines}");
}

#[tokio::test]
async fn the_span_of_a_delivery_ends_with_its_outcome() {
    let log = Log::default();
    let listening = log.listen();
    let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap();
    let endpoint = Endpoint::builder(secret).build().unwrap();
    let handle = post(async |_: Webhook| StatusCode::BAD_GATEWAY);
    let layer = WebhookLayer::new(endpoint.clone());
    let app: Router = Router::new().route("/webhooks/dataflow", handle.route_layer(layer));
    let sent = Sample::of("pipeline.run.completed").id("evt_1").sign(&endpoint);
    let request = Request::post("/webhooks/dataflow")
        .header(sent.header_name, &sent.header_value)
        .body(Body::from(sent.body))
        .unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 502);
    drop(listening);
    let lines = log.lines();
    let closed = lines.lines().find(|line| line.contains("close")).expect("the span has closed");
    assert!(closed.contains("event_id=evt_1"), "{closed}");
    assert!(closed.contains("outcome=\"failed\""), "{closed}");
}
