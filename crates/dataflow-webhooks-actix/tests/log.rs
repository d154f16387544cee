//! What the log of an application shows of middleware that is missing. In a program
//! of its own: what one thread listens to depends on what the others have logged
//! before.

#![cfg(feature = "tracing")]

use std::io;
use std::sync::{Arc, Mutex};

use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use dataflow_webhooks_actix::Webhook;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn without_the_middleware_the_log_says_which_one_is_missing() {
    let log = Log::default();
    let written = log.clone();
    let listener = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
    let listening = listener.finish().set_default();
    let app = App::new().route("/", web::post().to(async |_: Webhook| "must not run"));
    let app = init_service(app).await;
    assert_eq!(call_service(&app, TestRequest::post().to_request()).await.status(), 500);
    drop(listening);
    let lines = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains("ERROR") && lines.contains("put WebhookMiddleware around"), "{lines}");
}
