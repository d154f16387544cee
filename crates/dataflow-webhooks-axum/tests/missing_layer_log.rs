//! What is logged where a layer is missing. In a program of its own: what one
//! thread listens to depends on what the others have logged before.

#![cfg(feature = "tracing")]

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;
use tracing_subscriber::util::SubscriberInitExt as _;

use dataflow_webhooks_axum::Webhook;
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
        let listener = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
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
