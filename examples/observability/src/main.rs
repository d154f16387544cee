//! The receiver of `../axum-receiver`, with a page that Prometheus reads.
//! `README.md` says what to do with it: alerts, a dashboard, a runbook.

mod page;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use dataflow_webhooks_axum::{Endpoint, WebhookDelivery, WebhookLayer};
use receiver::{Failure, Receiver, http1};

use crate::page::Recording;

#[tokio::main]
async fn main() {
    // Before there is an endpoint, so that every series begins at 0: an alert on
    // silence must see that there is something to be silent.
    let recording = page::record();
    receiver::run(env!("CARGO_PKG_NAME"), |receiver| serve(receiver, recording)).await
}

async fn serve(receiver: Receiver, recording: Recording) -> Result<(), Failure> {
    page::serve(recording).await?;
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
