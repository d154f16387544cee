//! A receiver with every default, as a process whose memory can be measured.
//!
//! Its first line of output is the address it listens on. It ends when its
//! standard input does. `GET /counts` shows what it has seen.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::http::StatusCode;
use axum::{Router, routing::get, routing::post};
use dataflow_webhooks_axum::{Webhook, WebhookLayer};
use webhook_tests::{Receiver, endpoint};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = endpoint().build()?;
    let runs = Arc::new(AtomicU64::new(0));
    let counts = {
        let (endpoint, runs) = (endpoint.clone(), runs.clone());
        move || async move { format!("{} {}", endpoint.counts().unverified_bytes, runs.load(Relaxed)) }
    };
    let handle = move |Webhook(_): Webhook| async move {
        runs.fetch_add(1, Relaxed);
        StatusCode::OK
    };
    let app = Router::new()
        .route("/webhooks/dataflow", post(handle).route_layer(WebhookLayer::new(endpoint)))
        .route("/counts", get(counts));
    let receiver = Receiver::start(app).await;
    println!("{}", receiver.address());

    // On a thread of its own: the runtime has only two.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
