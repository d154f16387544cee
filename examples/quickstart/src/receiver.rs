//! The receiver: an axum app with one webhook route, and a notebook of what
//! happened in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::map_response_with_state;
use axum::response::Response;
use axum::{Router, routing::post};
use dataflow_webhooks_axum::{
    Delivery, Endpoint, EventPayload, Outcome, WebhookDelivery, WebhookLayer,
};

/// Where the platform would be told to send its events.
pub(crate) const PATH: &str = "/webhooks/dataflow";

pub(crate) fn app(endpoint: Endpoint, notebook: Notebook) -> Router {
    // On the route, so that 404 and 405 stay what they are.
    let webhook = post(handle).route_layer(WebhookLayer::new(endpoint));
    Router::new()
        .route(PATH, webhook)
        .layer(map_response_with_state(notebook.clone(), note_outcome))
        .with_state(notebook)
}

/// Runs for verified deliveries only, and for each event until it succeeds once.
async fn handle(
    State(notebook): State<Notebook>,
    WebhookDelivery(delivery): WebhookDelivery,
) -> StatusCode {
    notebook.begins(&delivery);
    // Work takes a moment: long enough for the event's next delivery to come.
    tokio::time::sleep(Duration::from_millis(100)).await;

    match delivery.event().payload {
        // Let the database be away when this event comes for the first time.
        EventPayload::PipelineUpdated(_) if delivery.epoch() == Some(1) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        // Here goes what you do with each type that you subscribed to. All
        // other types are done as well: a retry would not change them.
        _ => StatusCode::OK,
    }
}

/// Layers outside the webhook's find in the response why it is what it is.
async fn note_outcome(State(notebook): State<Notebook>, response: Response) -> Response {
    if let Some(outcome) = response.extensions().get::<Outcome>() {
        notebook.pages().outcomes.push(*outcome);
    }
    response
}

/// What the receiver saw. A clone is the same notebook.
#[derive(Clone, Default)]
pub(crate) struct Notebook(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    runs: HashMap<String, usize>,
    /// How the last run came about: the key it was signed with, its number.
    last_run: Option<(String, u64)>,
    /// Of the answers that the handler did not give.
    outcomes: Vec<Outcome>,
}

impl Notebook {
    fn begins(&self, delivery: &Delivery) {
        let mut pages = self.pages();
        *pages.runs.entry(delivery.id().to_owned()).or_default() += 1;
        pages.last_run = Some((delivery.key().to_owned(), delivery.epoch().unwrap_or(0)));
    }

    /// How often the handler has run for this event.
    pub(crate) fn runs(&self, id: &str) -> usize {
        self.pages().runs.get(id).copied().unwrap_or(0)
    }

    /// The key and the number of the run since the last call, and the outcomes
    /// since then. Forgets them.
    pub(crate) fn take_news(&self) -> (Option<(String, u64)>, Vec<Outcome>) {
        let mut pages = self.pages();
        (pages.last_run.take(), std::mem::take(&mut pages.outcomes))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
