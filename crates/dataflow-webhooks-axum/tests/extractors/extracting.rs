//! What the extractors give, alone and beside others.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::post;
use axum::{Json, Router};
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::{EventPayload, EventType, MissingLayer, Webhook, WebhookDelivery};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{PATH, layer, read, sample, send, signed};

#[derive(Clone)]
struct App(&'static str);

/// Sends a sample to a handler behind the layer. Its asserts would be a 500.
async fn handled_by<H, T>(handler: H, sample: &Sample) -> (u16, String)
where
    H: Handler<T, App>,
    T: 'static,
{
    let route = post(handler).route_layer(layer());
    let app = Router::new().route(PATH, route).with_state(App("state"));
    read(send(app, signed(&sample.body())).await).await
}

fn done() -> (u16, String) {
    (200, "done".into())
}

#[tokio::test]
async fn webhook_is_the_typed_event() {
    async fn handle(Webhook(event): Webhook) -> &'static str {
        assert_eq!(event.id, "evt_1");
        assert_eq!(event.event_type, EventType::PipelineRunCompleted);
        let EventPayload::PipelineRunCompleted(run) = event.payload else { panic!("its type") };
        assert_eq!(run.records_processed, 15_420);
        assert_eq!(event.metadata.environment.as_deref(), Some("production"));
        "done"
    }
    assert_eq!(handled_by(handle, &sample()).await, done());
}

#[tokio::test]
async fn webhook_takes_events_of_types_and_shapes_that_nobody_has_documented() {
    async fn unknown(Webhook(event): Webhook) -> &'static str {
        assert!(event.event_type == *"pipeline.run.cancelled");
        assert!(matches!(event.payload, EventPayload::Unknown(_)));
        "done"
    }
    assert_eq!(handled_by(unknown, &Sample::unknown("pipeline.run.cancelled")).await, done());

    async fn mismatched(Webhook(event): Webhook) -> &'static str {
        assert!(matches!(event.payload, EventPayload::Mismatched(_)));
        "done"
    }
    let sample = sample().data("records_processed", "many");
    assert_eq!(handled_by(mismatched, &sample).await, done());
}

#[tokio::test]
async fn webhook_delivery_is_the_bytes_the_key_and_the_claim() {
    async fn handle(WebhookDelivery(delivery): WebhookDelivery) -> Bytes {
        assert_eq!(
            (delivery.id(), delivery.key(), delivery.epoch()),
            ("evt_1", "current", Some(1))
        );
        delivery.body().clone()
    }
    let sample = sample();
    let (status, body) = handled_by(handle, &sample).await;
    assert_eq!((status, body.as_bytes()), (200, &sample.body()[..]));
}

#[tokio::test]
async fn webhook_delivery_reads_types_of_your_own() {
    #[derive(Deserialize)]
    struct Run {
        run_id: String,
    }
    async fn handle(WebhookDelivery(delivery): WebhookDelivery) -> String {
        delivery.data::<Run>().unwrap().run_id
    }
    assert_eq!(handled_by(handle, &sample()).await, (200, "run_xyz789".into()));
}

#[tokio::test]
async fn webhook_first_of_many() {
    async fn handle(
        Webhook(event): Webhook,
        WebhookDelivery(delivery): WebhookDelivery,
        State(App(state)): State<App>,
        headers: HeaderMap,
        body: Bytes,
    ) -> &'static str {
        assert_eq!((&*event.id, state), (delivery.id(), "state"));
        assert_eq!(headers["x-request-id"], "req_1");
        assert_eq!(body, *delivery.body());
        "done"
    }
    assert_eq!(handled_by(handle, &sample()).await, done());
}

#[tokio::test]
async fn webhook_amid_many_with_json_of_the_verified_body() {
    async fn handle(
        State(App(state)): State<App>,
        WebhookDelivery(delivery): WebhookDelivery,
        method: Method,
        Webhook(event): Webhook,
        Json(value): Json<Value>,
    ) -> &'static str {
        assert_eq!((state, method), ("state", Method::POST));
        assert_eq!(value["id"], *event.id);
        assert_eq!(value, serde_json::from_slice::<Value>(delivery.body()).unwrap());
        "done"
    }
    assert_eq!(handled_by(handle, &sample()).await, done());
}

#[tokio::test]
async fn webhook_last_of_many() {
    async fn handle(
        headers: HeaderMap,
        uri: Uri,
        State(App(state)): State<App>,
        Webhook(event): Webhook,
    ) -> &'static str {
        assert!(headers.contains_key("x-dataflow-signature"));
        assert_eq!((uri.path(), state, &*event.id), (PATH, "state", "evt_1"));
        "done"
    }
    assert_eq!(handled_by(handle, &sample()).await, done());
}

#[tokio::test]
async fn webhook_beside_a_string_and_a_whole_request() {
    async fn string(Webhook(event): Webhook, body: String) -> &'static str {
        assert!(body.contains(&*event.id));
        "done"
    }
    assert_eq!(handled_by(string, &sample()).await, done());

    async fn request(WebhookDelivery(delivery): WebhookDelivery, request: Request) -> &'static str {
        let body = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
        assert_eq!(body, *delivery.body());
        "done"
    }
    assert_eq!(handled_by(request, &sample()).await, done());
}

#[tokio::test]
async fn webhook_twice() {
    async fn handle(Webhook(one): Webhook, Webhook(other): Webhook) -> &'static str {
        assert_eq!(one.id, other.id);
        "done"
    }
    assert_eq!(handled_by(handle, &sample()).await, done());
}

#[tokio::test]
async fn an_extractor_of_your_own_may_stand_on_webhook() {
    struct RunId(String);
    impl FromRequestParts<App> for RunId {
        type Rejection = MissingLayer;
        async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, MissingLayer> {
            let Webhook(event) = Webhook::from_request_parts(parts, app).await?;
            let EventPayload::PipelineRunCompleted(run) = event.payload else {
                return Ok(Self("another".into()));
            };
            Ok(Self(run.run_id))
        }
    }
    async fn handle(RunId(run): RunId) -> String {
        run
    }
    assert_eq!(handled_by(handle, &sample()).await, (200, "run_xyz789".into()));
}

#[tokio::test]
async fn what_another_extractor_refuses_releases_the_event() {
    async fn handle(_: Webhook, Json(_): Json<Vec<u8>>) -> StatusCode {
        unreachable!("the body is an object")
    }
    let route = post(handle).route_layer(layer());
    let app: Router = Router::new().route(PATH, route);
    let body = sample().body();
    for _ in 0..2 {
        assert_eq!(send(app.clone(), signed(&body)).await.status(), 422, "axum's own answer");
    }
}

#[tokio::test]
async fn debug_shows_no_body() {
    async fn handle(delivery: WebhookDelivery) -> String {
        format!("{delivery:?}")
    }
    let (status, debug) = handled_by(handle, &sample().data("card", "4111")).await;
    assert_eq!(status, 200);
    assert!(debug.contains("evt_1") && !debug.contains("4111"), "{debug}");
}
