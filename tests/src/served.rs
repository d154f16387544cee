//! One endpoint with one handler, served: what most tests of the whole begin
//! with.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse;
use axum::routing::any;
use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{Delivery, Endpoint, EndpointBuilder};
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use tokio::time::{Instant, sleep};

use crate::receiver::{Receiver, Runs};
use crate::sender::{Answer, Request, Wire};
use crate::store::WatchedStore;

/// A handler behind the layer on `/webhooks/dataflow`, all methods, with a store
/// that can be watched.
#[derive(Debug)]
#[non_exhaustive]
pub struct Served {
    /// The endpoint that the layer has.
    pub endpoint: Endpoint,
    /// Its dedup store.
    pub store: WatchedStore,
    /// What the handler saw.
    pub runs: Runs,
    /// The server.
    pub receiver: Receiver,
}

impl Served {
    /// Serves this handler.
    ///
    /// # Panics
    ///
    /// When the endpoint cannot be built.
    pub async fn start<H, F>(builder: EndpointBuilder, handle: H) -> Self
    where
        H: Fn(Delivery) -> F + Clone + Send + Sync + 'static,
        F: Future<Output: IntoResponse> + Send + 'static,
    {
        Self::start_in(builder, WatchedStore::default(), handle, |app| app).await
    }

    /// Serves this handler with this store, in an application with more layers
    /// outside.
    ///
    /// # Panics
    ///
    /// When the endpoint cannot be built.
    pub async fn start_in<H, F>(
        builder: EndpointBuilder,
        store: WatchedStore,
        handle: H,
        outside: impl FnOnce(Router) -> Router,
    ) -> Self
    where
        H: Fn(Delivery) -> F + Clone + Send + Sync + 'static,
        F: Future<Output: IntoResponse> + Send + 'static,
    {
        let endpoint = builder.dedup(store.clone()).build().expect("an endpoint");
        let runs = Runs::default();
        let seen = runs.clone();
        let watched = move |WebhookDelivery(delivery): WebhookDelivery| {
            let (seen, id) = (seen.clone(), delivery.id().to_owned());
            seen.begin(&id);
            let run = handle(delivery);
            async move {
                let answer = run.await.into_response();
                seen.end(&id);
                answer
            }
        };
        let layer = WebhookLayer::new(endpoint.clone()).peer(|parts| {
            let info = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(info.0.ip())
        });
        let app = Router::new().route("/webhooks/dataflow", any(watched).layer(layer));
        let receiver = Receiver::start(outside(app)).await;
        Self { endpoint, store, runs, receiver }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.receiver.address()
    }

    /// Sends a request over a connection of its own.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn send(&self, request: &Request) -> Answer {
        request.send(self.address()).await.expect("an answer")
    }

    /// Sends an authentic delivery of the event with this id.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn deliver(&self, id: &str) -> Answer {
        self.send(&delivery(id)).await
    }

    /// Connects.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub async fn connect(&self) -> Wire {
        Wire::connect(self.address()).await.expect("a connection")
    }
}

/// An authentic delivery of the event with this id, signed now.
pub fn delivery(id: &str) -> Request {
    Request::signed(event(id))
}

/// The body of an event with this id.
pub fn event(id: &str) -> Bytes {
    Sample::of("pipeline.run.completed").id(id).body()
}

/// Waits until this is so.
///
/// # Panics
///
/// When it is not within 20 s.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < patience, "not within 20 s: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}
