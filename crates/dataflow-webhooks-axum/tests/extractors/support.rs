//! Requests as the platform sends them.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::{Endpoint, Secret, WebhookLayer, sign};
use jiff::Timestamp;
use tower::ServiceExt as _;

pub(crate) const PATH: &str = "/webhooks/dataflow";

pub(crate) fn secret() -> Secret {
    Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap()
}

pub(crate) fn layer() -> WebhookLayer {
    WebhookLayer::new(Endpoint::builder(secret()).build().unwrap())
}

pub(crate) fn sample() -> Sample {
    Sample::of("pipeline.run.completed").id("evt_1")
}

/// An authentic delivery of this body.
pub(crate) fn signed(body: &Bytes) -> Request<Body> {
    Request::post(PATH)
        .header("x-dataflow-signature", sign(&secret(), Timestamp::now(), body))
        .header("content-type", "application/json")
        .header("x-request-id", "req_1")
        .body(Body::from(body.clone()))
        .unwrap()
}

pub(crate) async fn send(app: Router, request: Request<Body>) -> Response<Body> {
    app.oneshot(request).await.unwrap()
}

/// Status and body.
pub(crate) async fn read(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
