//! A receiver with a slow handler that stops on SIGTERM as the documentation
//! advises, and says on stdout what happens: `begun`, `ended` and `committed`
//! with the event's id, `stopping`, `drained`.
//!
//! Arguments: how long the handler takes in milliseconds, and `current-thread`
//! or `multi-thread`. The first line is `listening` and the address.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use dataflow_webhooks::dedup::{ClaimOutcome, Held, StoreFuture};
use dataflow_webhooks::{Claim, DedupKey, DedupStore, MemoryStore, Terms};
use dataflow_webhooks_axum::{Webhook, WebhookLayer};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let run = arguments.next().ok_or("how many milliseconds?")?.parse()?;
    let mut runtime = match arguments.next().as_deref() {
        Some("current-thread") => Builder::new_current_thread(),
        Some("multi-thread") => Builder::new_multi_thread(),
        _ => return Err("which runtime?".into()),
    };
    runtime.enable_all().build()?.block_on(serve(Duration::from_millis(run)))
}

async fn serve(run: Duration) -> Result<(), Box<dyn Error>> {
    let endpoint = webhook_tests::endpoint().dedup(Announced::default()).build()?;
    let handle = move |Webhook(event): Webhook| async move {
        println!("begun {}", event.id);
        tokio::time::sleep(run).await;
        println!("ended {}", event.id);
    };
    let layer = WebhookLayer::new(endpoint.clone());
    let app = Router::new().route("/webhooks/dataflow", post(handle).route_layer(layer));

    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
            println!("stopping");
        })
        .await?;
    endpoint.drain().await;
    println!("drained");
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
