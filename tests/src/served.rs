//! One endpoint with one handler, served: what most tests of the whole begin
//! with.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use actix_web::web;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{Delivery, Endpoint, EndpointBuilder};
use dataflow_webhooks_actix as actix;
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use tokio::time::{Instant, sleep};

use crate::receiver::{Receiver, Runs};
use crate::sender::{Answer, Request, Wire};
use crate::stack::{Stack, as_actix};
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

    /// Serves this handler on this stack. (Of its answers, actix gets status and
    /// body.)
    ///
    /// # Panics
    ///
    /// When the endpoint cannot be built.
    pub async fn start_on<H, F>(stack: Stack, builder: EndpointBuilder, handle: H) -> Self
    where
        H: Fn(Delivery) -> F + Clone + Send + Sync + 'static,
        F: Future<Output: IntoResponse> + Send + 'static,
    {
        let Stack::Actix { workers } = stack else { return Self::start(builder, handle).await };
        let store = WatchedStore::default();
        let endpoint = builder.dedup(store.clone()).build().expect("an endpoint");
        let runs = Runs::default();
        let watched = watched(handle, &runs);
        let middleware = actix::WebhookMiddleware::new(endpoint.clone());
        let receiver = Receiver::start_actix(workers, move |config| {
            let watched = watched.clone();
            let handle = move |delivery: actix::WebhookDelivery| {
                let run = watched(delivery.0);
                async move { as_actix(run.await).await }
            };
            let resource = web::resource("/webhooks/dataflow").wrap(middleware.clone());
            config.service(resource.to(handle));
        });
        Self { endpoint, store, runs, receiver }
    }

    /// Serves this handler with this store, in an axum application with more
    /// layers outside.
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
        let watched = watched(handle, &runs);
        let handle = move |delivery: WebhookDelivery| watched(delivery.0);
        let layer = WebhookLayer::new(endpoint.clone()).peer(|parts| {
            let info = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(info.0.ip())
        });
        let app = Router::new().route("/webhooks/dataflow", any(handle).layer(layer));
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

/// This handler, its runs written down.
fn watched<H, F>(handle: H, runs: &Runs) -> impl Fn(Delivery) -> Run + Clone + Send + Sync + 'static
where
    H: Fn(Delivery) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: IntoResponse> + Send + 'static,
{
    let runs = runs.clone();
    move |delivery| {
        let (runs, id) = (runs.clone(), delivery.id().to_owned());
        runs.begin(&id);
        let run = handle(delivery);
        Box::pin(async move {
            let answer = run.await.into_response();
            runs.end(&id);
            answer
        })
    }
}

type Run = Pin<Box<dyn Future<Output = Response> + Send>>;

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
