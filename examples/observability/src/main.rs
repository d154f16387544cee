//! The receiver of `../axum-receiver`, with a page that Prometheus reads.
//! `README.md` says what to do with it: alerts, a dashboard, a runbook.

mod dead_letters;
mod page;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use dataflow_webhooks_axum::{Endpoint, WebhookDelivery, WebhookLayer};
use receiver::{Failure, Receiver, http1};
use tracing::info;

use crate::page::Recording;

#[tokio::main]
async fn main() {
    // Before there is an endpoint, so that every series begins at 0: an alert on
    // silence must see that there is something to be silent.
    let recording = page::record();
    receiver::log_to_stderr("info");
    receiver::end(env!("CARGO_PKG_NAME"), run(recording).await)
}

async fn run(recording: Recording) -> Result<(), Failure> {
    let endpoint = dead_letters::put_aside(receiver::endpoint_builder_with_store().await?)?;
    let endpoint = endpoint.build().map_err(Failure::in_configuration)?;
    let receiver = Receiver::listen(endpoint.clone()).await?;
    page::serve(recording).await?;
    http1::serve(receiver, app(endpoint)).await?;
    info!("stopped");
    Ok(())
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
