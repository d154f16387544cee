//! Known holes of other webhook receivers, each a rule that holds here over a
//! real socket: under axum, and under hyper alone, where no framework helps.

mod bodies;
mod events;
mod signatures;

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{Endpoint, EndpointBuilder};
use dataflow_webhooks_axum::{Webhook, WebhookLayer};
use dataflow_webhooks_tower::WebhookBody;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer as _, service_fn};
use webhook_tests::{Journal, JournalStore, Receiver, Request, endpoint};

/// A receiver under axum. Its store writes into the journal, and its handler
/// does, when it begins and when it ends.
struct Watched {
    receiver: Receiver,
    endpoint: Endpoint,
    journal: Journal,
}

impl Watched {
    async fn start() -> Self {
        Self::with(endpoint(), || async { StatusCode::OK }).await
    }

    /// `work` is what the handler does between its lines, and its answer.
    async fn with<W, F>(builder: EndpointBuilder, work: W) -> Self
    where
        W: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = StatusCode> + Send,
    {
        let journal = Journal::default();
        let endpoint = builder.dedup(JournalStore::new(&journal)).build().unwrap();
        let lines = journal.clone();
        let handle = move |Webhook(event): Webhook| async move {
            lines.write(format!("begin {}", event.id));
            let answer = work().await;
            lines.write(format!("end {}", event.id));
            answer
        };
        let route = post(handle).route_layer(WebhookLayer::new(endpoint.clone()));
        let receiver = Receiver::start(Router::new().route("/webhooks/dataflow", route)).await;
        Self { receiver, endpoint, journal }
    }

    async fn status_of(&self, request: Request) -> u16 {
        request.send(self.receiver.address()).await.unwrap().status
    }
}

/// The layer around a plain service, under hyper and nothing else.
async fn under_hyper_alone() -> SocketAddr {
    let handle = service_fn(async |_: http::Request<WebhookBody>| {
        Ok::<_, Infallible>(http::Response::new(WebhookBody::default()))
    });
    let service = WebhookLayer::new(endpoint().build().unwrap()).layer(handle);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut server = hyper::server::conn::http1::Builder::new();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(
                server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

fn event(id: &str) -> Bytes {
    Sample::of("pipeline.run.failed").id(id).body()
}
