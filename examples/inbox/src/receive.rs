//! The receiver's side: an event is in the queue before its sender has a 200.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use dataflow_webhooks_axum::{Endpoint, WebhookDelivery, WebhookLayer};
use receiver::{http1, in_full};
use tracing::error;

use crate::queue::{Completing, Item, Queue};

#[derive(Clone)]
struct App {
    endpoint: Endpoint,
    queue: Queue,
}

pub(crate) fn app(endpoint: Endpoint, queue: Queue) -> Router {
    let layer = WebhookLayer::new(endpoint.clone()).peer(http1::peer);
    // On the route, so that 404 and 405 stay what they are.
    let webhook = post(receive).route_layer(layer).with_state(App { endpoint, queue });
    Router::new().route(receiver::PATH, webhook).route("/healthz", get(async || "ok\n"))
}

/// Runs for verified deliveries only. Nothing is decoded here: whatever is authentic is
/// kept, and what cannot be read today may be read after a correction of the worker.
async fn receive(State(app): State<App>, WebhookDelivery(delivery): WebhookDelivery) -> StatusCode {
    let item = Item {
        key: delivery.dedup_key(),
        body: delivery.body().clone(),
        signed_with: delivery.key().to_owned(),
    };
    let terms = app.endpoint.limits().terms();
    let completing = delivery.claim().map(|claim| Completing { claim, terms });
    match app.queue.put(&item, completing).await {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            let (key, error) = (item.key.as_str(), in_full(&*error));
            error!(key, "an event was not put into the queue, and comes again: {error}");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
