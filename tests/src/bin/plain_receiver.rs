//! A receiver with every default, as a process whose memory can be measured.
//!
//! Its argument is `axum` or `actix-N`, with N workers. Its first line of output
//! is the address it listens on. It ends when its standard input does. `GET
//! /counts` shows what it has seen.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::{Router, routing::get, routing::post};
use dataflow_webhooks::Endpoint;
use webhook_tests::{Receiver, Stack, endpoint};

const PATH: &str = "/webhooks/dataflow";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stack = std::env::args().nth(1).ok_or("which stack?")?.parse()?;
    let (endpoint, runs) = (endpoint().build()?, Arc::new(AtomicU64::new(0)));
    let receiver = match stack {
        Stack::Axum => under_axum(endpoint, runs).await,
        Stack::Actix { workers } => under_actix(workers, endpoint, runs),
    };
    println!("{}", receiver.address());

    // On a thread of its own: the runtime has only two.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

fn counts(endpoint: &Endpoint, runs: &AtomicU64) -> String {
    format!("{} {}", endpoint.counts().unverified_bytes, runs.load(Relaxed))
}

async fn under_axum(endpoint: Endpoint, runs: Arc<AtomicU64>) -> Receiver {
    use dataflow_webhooks_axum::{Webhook, WebhookLayer};

    let layer = WebhookLayer::new(endpoint.clone());
    let count = runs.clone();
    let handle = move |_: Webhook| async move {
        count.fetch_add(1, Relaxed);
    };
    let app = Router::new()
        .route(PATH, post(handle).route_layer(layer))
        .route("/counts", get(move || async move { counts(&endpoint, &runs) }));
    Receiver::start(app).await
}

fn under_actix(workers: usize, endpoint: Endpoint, runs: Arc<AtomicU64>) -> Receiver {
    use actix_web::{HttpResponse, web};
    use dataflow_webhooks_actix::{Webhook, WebhookMiddleware};

    Receiver::start_actix(workers, move |config| {
        let (endpoint, runs) = (endpoint.clone(), runs.clone());
        let middleware = WebhookMiddleware::new(endpoint.clone());
        let count = runs.clone();
        let handle = move |_: Webhook| {
            count.fetch_add(1, Relaxed);
            async { HttpResponse::Ok().finish() }
        };
        let counts = move || {
            let text = counts(&endpoint, &runs);
            async { text }
        };
        config.service(web::resource(PATH).wrap(middleware).route(web::post().to(handle)));
        config.route("/counts", web::get().to(counts));
    })
}
