//! A complete receiver of the platform's webhooks with axum, to be copied
//! together with `../receiver`, which has all that is not axum's.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use dataflow_webhooks_axum::{Endpoint, WebhookDelivery, WebhookLayer};
use receiver::{Failure, Receiver, http1};

#[tokio::main]
async fn main() {
    receiver::run(env!("CARGO_PKG_NAME"), serve).await
}

async fn serve(receiver: Receiver) -> Result<(), Failure> {
    let app = app(receiver.endpoint.clone());
    http1::serve(receiver, app).await
}

fn app(endpoint: Endpoint) -> Router {
    let layer = WebhookLayer::new(endpoint).peer(http1::peer);
    // On the route, so that 404 and 405 stay what they are.
    let webhook = post(receive).route_layer(layer);
    Router::new().route(receiver::PATH, webhook).route("/healthz", get(async || "ok\n"))
}

/// Runs for verified deliveries only.
async fn receive(WebhookDelivery(delivery): WebhookDelivery) -> StatusCode {
    match receiver::process(&delivery).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
