//! A receiver whose effects happen once: its handler's writes and the completion of the
//! event are one transaction. `README.md` says what that covers and what it does not.
//! To be copied together with `../receiver`, which has the rest.

mod postgres;
mod sqlite;
mod totals;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use dataflow_webhooks_axum::{
    BoxError, Delivery, Endpoint, EventPayload, WebhookDelivery, WebhookLayer,
};
use receiver::{Failure, Receiver, http1, in_full};
use tracing::{error, info};

use crate::totals::Totals;

#[tokio::main]
async fn main() {
    receiver::log_to_stderr("info");
    receiver::end(env!("CARGO_PKG_NAME"), run().await)
}

async fn run() -> Result<(), Failure> {
    let endpoint = receiver::endpoint_builder()?;
    let totals = Totals::from_env().await?;
    // One database for both: only then can one transaction change both.
    let endpoint = endpoint.dedup(totals.store()).build().map_err(Failure::in_configuration)?;
    let receiver = Receiver::listen(endpoint.clone()).await?;
    http1::serve(receiver, app(App { endpoint, totals })).await?;
    info!("stopped");
    Ok(())
}

#[derive(Clone)]
struct App {
    endpoint: Endpoint,
    totals: Totals,
}

fn app(app: App) -> Router {
    let layer = WebhookLayer::new(app.endpoint.clone()).peer(http1::peer);
    // On the route, so that 404 and 405 stay what they are.
    let webhook = post(receive).route_layer(layer).with_state(app);
    Router::new().route(receiver::PATH, webhook).route("/healthz", get(async || "ok\n"))
}

/// Runs for verified deliveries only.
async fn receive(State(app): State<App>, WebhookDelivery(delivery): WebhookDelivery) -> StatusCode {
    match app.handle(&delivery).await {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            error!("an event was not processed, and comes again: {}", in_full(&*error));
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl App {
    async fn handle(&self, delivery: &Delivery) -> Result<(), BoxError> {
        // Its log and its line on stdout are outside of the transaction. What comes before
        // it happens at least once for each event; what came after it would be lost in a
        // crash between the two.
        receiver::process(delivery).await?;

        // What no transaction has completed is completed when the answer is 200.
        let EventPayload::PipelineRunCompleted(run) = &delivery.event().payload else {
            return Ok(());
        };
        let claim = delivery.claim().ok_or("the endpoint has no dedup store")?;
        self.totals.add(run, claim, self.endpoint.limits().terms()).await
    }
}
