//! What the handler inside sees of the request.

use std::convert::Infallible;

use axum::extract::{OriginalUri, Path, Query, State};
use axum::routing::post;
use axum::{Extension, Json, Router};
use bytes::Bytes;
use dataflow_webhooks::{Delivery, EventType};
use dataflow_webhooks_tower::{WebhookBody, WebhookLayer};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use crate::support::{PATH, endpoint, event, layer, signed, text};

#[tokio::test]
async fn method_uri_version_headers_and_extensions_come_through() {
    let handler = |request: Request<WebhookBody>| async move {
        let (parts, body) = request.into_parts();
        assert_eq!(parts.method, Method::POST);
        assert_eq!(parts.uri, Uri::from_static("/webhooks/dataflow?tenant=7"));
        assert_eq!(parts.version, Version::HTTP_2);
        assert_eq!(parts.headers["x-request-id"], "req_1");
        assert_eq!(parts.headers["content-type"], "application/json");
        assert!(parts.headers.contains_key("x-dataflow-signature"));
        assert_eq!(parts.extensions.get(), Some(&"from a layer outside"));
        let delivery: &Delivery = parts.extensions.get().unwrap();
        assert_eq!(*delivery.event_type(), EventType::PipelineRunCompleted);
        assert_eq!((delivery.key(), delivery.epoch()), ("current", Some(1)));
        assert_eq!(body.collect().await.unwrap().to_bytes(), *delivery.body());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    };
    let mut request = signed(&event());
    *request.uri_mut() = Uri::from_static("/webhooks/dataflow?tenant=7");
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().insert("x-request-id", "req_1".parse().unwrap());
    request.extensions_mut().insert("from a layer outside");
    let service = ServiceBuilder::new().layer(layer()).service(service_fn(handler));
    // A failed check in the handler would be a 500.
    assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn axums_body_extractors_read_the_verified_body() {
    let layer = WebhookLayer::new(endpoint());
    let app: Router = Router::new()
        .route("/bytes", post(|body: Bytes| async move { body }))
        .route("/string", post(|body: String| async move { body }))
        .route("/json", post(|Json(value): Json<serde_json::Value>| async move { Json(value) }))
        .route("/body", post(|body: axum::body::Body| async move { body }))
        .route_layer(layer);
    for path in ["/bytes", "/string", "/json", "/body"] {
        let body = event();
        let mut request = signed(&body);
        *request.uri_mut() = path.parse().unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let answer = text(response).await;
        let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(value(&answer), value(&body), "{path}");
    }
}

#[tokio::test]
async fn axums_parts_extractors_work_beside_the_delivery() {
    #[derive(Clone)]
    struct Tenants(&'static str);
    async fn handle(
        State(tenants): State<Tenants>,
        Path(tenant): Path<u32>,
        Query(query): Query<Vec<(String, String)>>,
        OriginalUri(uri): OriginalUri,
        headers: HeaderMap,
        Extension(delivery): Extension<Delivery>,
        body: Bytes,
    ) -> String {
        assert!(headers.contains_key("x-dataflow-signature"));
        assert_eq!(body, *delivery.body());
        format!("{} {tenant} {} {uri}", tenants.0, query[0].1)
    }
    let hooks = Router::new().route("/{tenant}", post(handle).route_layer(layer()));
    let app = Router::new().nest(PATH, hooks).with_state(Tenants("tenants"));
    let mut request = signed(&event());
    *request.uri_mut() = "/webhooks/dataflow/7?a=b".parse().unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "tenants 7 b /webhooks/dataflow/7?a=b");
}

#[tokio::test]
async fn a_handler_that_ignores_the_body_is_fine() {
    let app: Router = Router::new().route(PATH, post(|| async {}).route_layer(layer()));
    assert_eq!(app.oneshot(signed(&event())).await.unwrap().status(), 200);
}
