//! All that an app needs comes from this crate and from axum.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::middleware::map_response;
use axum::routing::post;
use dataflow_webhooks_axum::dedup::{self, DedupStore as _};
use dataflow_webhooks_axum::{
    DedupKey, Delivery, Endpoint, EndpointError, Event, EventPayload, EventType, KeyRing,
    MemoryStore, OnStoreFailure, Outcome, Rejection, Secret, Terms, Tolerance, UnverifiedBudget,
    Webhook, WebhookBody, WebhookDelivery, WebhookLayer, WebhookService,
};

use crate::support::{PATH, sample, send, signed};

#[derive(Clone)]
struct App {
    endpoint: Endpoint,
    failed_runs: Arc<AtomicUsize>,
}

fn endpoint(store: MemoryStore) -> Result<Endpoint, EndpointError> {
    let keys = KeyRing::from_secrets([
        Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap(),
        Secret::new("whsec_the_one_before_it").unwrap(),
    ])?;
    Endpoint::builder(keys)
        .dedup(store)
        .on_store_failure(OnStoreFailure::ProcessAnyway)
        .tolerance(Tolerance::default())
        .unverified_budget(UnverifiedBudget::default())
        .max_body_bytes(256 * 1024)
        .lease(Duration::from_secs(20))
        .build()
}

async fn handle(
    State(app): State<App>,
    Webhook(event): Webhook,
    WebhookDelivery(delivery): WebhookDelivery,
) -> StatusCode {
    let queued: Event = Event::from_trusted_json(delivery.body()).unwrap();
    assert_eq!(queued.id, event.id);
    match (&event.event_type, &event.payload) {
        (EventType::PipelineRunFailed, EventPayload::PipelineRunFailed(_)) => {
            app.failed_runs.fetch_add(1, SeqCst);
            StatusCode::OK
        }
        _ => StatusCode::NO_CONTENT,
    }
}

/// What a layer outside makes of an answer.
async fn tag<B>(mut response: Response<B>) -> Response<B> {
    let outcome = response.extensions().get::<Outcome>().map(|outcome| outcome.as_str());
    let kind = response.extensions().get::<Rejection>().map(|rejection| rejection.kind().as_str());
    let tag = kind.or(outcome).unwrap_or("the handler's own");
    response.headers_mut().insert("x-tag", tag.parse().unwrap());
    response
}

#[tokio::test]
async fn an_app_is_built_used_and_stopped_with_this_crate_alone() {
    let store = MemoryStore::new();
    let endpoint = endpoint(store.clone()).unwrap();
    let state = App { endpoint: endpoint.clone(), failed_runs: Arc::default() };
    let app = Router::new()
        .route(PATH, post(handle).route_layer(WebhookLayer::new(endpoint.clone())))
        .layer(map_response(tag::<axum::body::Body>))
        .with_state(state.clone());

    let failed = sample().event_type("pipeline.run.failed").body();
    let answer = send(app.clone(), signed(&failed)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-tag"]),
        (200, &"the handler's own".parse().unwrap())
    );
    let again = send(app.clone(), signed(&failed)).await;
    assert_eq!(
        (again.status().as_u16(), &again.headers()["x-tag"]),
        (200, &"duplicate".parse().unwrap())
    );
    assert_eq!(state.failed_runs.load(SeqCst), 1);

    // After a bug fix: the event runs again.
    store.forget(&DedupKey::from_event_id("evt_1")).await.unwrap();
    assert_eq!(send(app.clone(), signed(&failed)).await.status(), 200);
    assert_eq!(state.failed_runs.load(SeqCst), 2);

    // Rotation, while requests run.
    endpoint.keys().replace([Secret::new("whsec_the_one_after_it").unwrap()]).unwrap();
    let refused = send(app.clone(), signed(&failed)).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-tag"]),
        (401, &"no_match".parse().unwrap())
    );

    assert_eq!(state.endpoint.counts().outcome(Outcome::Handled), 2);
    state.endpoint.drain().await;
    let refused = send(app, signed(&failed)).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-tag"]),
        (503, &"draining".parse().unwrap())
    );
}

#[test]
fn the_types_of_signatures_and_stores_have_names_here() {
    fn named<T>() {}
    named::<WebhookService<()>>();
    named::<WebhookBody>();
    named::<Delivery>();
    named::<Terms>();
    named::<dedup::ClaimOutcome>();
    named::<dataflow_webhooks_axum::ResponseBody<()>>();
    named::<dataflow_webhooks_axum::MissingLayer>();
    named::<dataflow_webhooks_axum::DeadLetterFile>();
    named::<dataflow_webhooks_axum::DeadLetterFileError>();
    named::<dataflow_webhooks_axum::UnreadableLines>();
    named::<dataflow_webhooks_axum::dead_letters::DeadLetter>();
}
