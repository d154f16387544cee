//! A receiver with a slow handler that stops on SIGTERM as the documentation
//! advises, and says on stdout what happens: `begun`, `ended` and `committed`
//! with the event's id, `stopping`, `drained`.
//!
//! Arguments: how long the handler takes in milliseconds, then `axum` or
//! `actix-N` with N workers, and, for axum, `current-thread` or `multi-thread`.
//! The first line is `listening` and the address.

use std::error::Error;
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use axum::Router;
use axum::routing::post;
use dataflow_webhooks::dedup::{ClaimOutcome, Held, StoreFuture};
use dataflow_webhooks::{Claim, DedupKey, DedupStore, Endpoint, Event, MemoryStore, Terms};
use dataflow_webhooks_actix::WebhookMiddleware;
use dataflow_webhooks_axum::WebhookLayer;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use webhook_tests::Stack;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let run = arguments.next().ok_or("how many milliseconds?")?.parse()?;
    let run = Duration::from_millis(run);
    let workers = match arguments.next().ok_or("which stack?")?.parse()? {
        Stack::Axum => None,
        Stack::Actix { workers } => Some(workers),
    };
    let endpoint = webhook_tests::endpoint().dedup(Announced::default()).build()?;
    if let Some(workers) = workers {
        return actix_web::rt::System::new().block_on(serve_actix(workers, endpoint, run));
    }
    let mut runtime = match arguments.next().as_deref() {
        Some("current-thread") => Builder::new_current_thread(),
        Some("multi-thread") => Builder::new_multi_thread(),
        _ => return Err("which runtime?".into()),
    };
    runtime.enable_all().build()?.block_on(serve_axum(endpoint, run))
}

async fn handle(event: Event, run: Duration) {
    println!("begun {}", event.id);
    tokio::time::sleep(run).await;
    println!("ended {}", event.id);
}

async fn terminated(mut terminate: Signal) {
    terminate.recv().await;
    println!("stopping");
}

async fn serve_axum(endpoint: Endpoint, run: Duration) -> Result<(), Box<dyn Error>> {
    let handle = move |event: dataflow_webhooks_axum::Webhook| handle(event.0, run);
    let layer = WebhookLayer::new(endpoint.clone());
    let app = Router::new().route("/webhooks/dataflow", post(handle).route_layer(layer));

    let terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(terminated(terminate)).await?;
    endpoint.drain().await;
    println!("drained");
    Ok(())
}

async fn serve_actix(
    workers: usize,
    endpoint: Endpoint,
    run: Duration,
) -> Result<(), Box<dyn Error>> {
    let middleware = WebhookMiddleware::new(endpoint.clone());
    let server = HttpServer::new(move || {
        let handle = move |event: dataflow_webhooks_actix::Webhook| async move {
            handle(event.0, run).await;
            actix_web::HttpResponse::Ok().finish()
        };
        let resource = web::resource("/webhooks/dataflow").wrap(middleware.clone());
        App::new().service(resource.route(web::post().to(handle)))
    });
    let terminate = signal(SignalKind::terminate())?;
    let server = server
        .workers(workers)
        // Inside: what is not done when the server stops is dropped.
        .shutdown_signal(async move {
            terminated(terminate).await;
            endpoint.drain().await;
            println!("drained");
        })
        .bind("127.0.0.1:0")?;
    println!("listening {}", server.addrs()[0]);
    server.run().await?;
    Ok(())
}

/// A store that takes a moment for each commit, and says when it is done.
#[derive(Default)]
struct Announced(MemoryStore);

impl DedupStore for Announced {
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
        self.0.claim(key, terms)
    }

    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        self.0.renew(claim, terms)
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let held = self.0.commit(claim, terms).await?;
            println!("committed {} {held:?}", claim.key());
            Ok(held)
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        self.0.release(claim, terms)
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        self.0.forget(key)
    }
}
