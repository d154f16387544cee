//! The layer around itself: on the router and on the route, say.

use axum::Router;
use axum::routing::post;
use dataflow_webhooks::Outcome;
use dataflow_webhooks_tower::WebhookLayer;
use tower::{ServiceBuilder, ServiceExt as _};

use crate::support::{Handler, PATH, Runs, endpoint, event, guards, outcome, signed, text};

#[tokio::test]
async fn from_one_endpoint_the_inner_layer_passes_through() {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let service = ServiceBuilder::new()
        .layer(WebhookLayer::new(endpoint.clone()))
        .layer(WebhookLayer::new(endpoint.clone()))
        .service(Handler::new(&runs));
    guards(service, &runs).await;
    assert_eq!(endpoint.counts().outcome(Outcome::Handled), 1, "it is counted once");
}

#[tokio::test]
async fn in_axum_on_the_router_and_on_the_route() {
    let layer = WebhookLayer::new(endpoint());
    let route = post(|| async { "done" }).route_layer(layer.clone());
    let app: Router = Router::new().route(PATH, route).layer(layer);
    let body = event();
    let response = app.clone().oneshot(signed(&body)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "done");
    let again = app.oneshot(signed(&body)).await.unwrap();
    assert_eq!(text(again).await, "already handled\n");
}

#[tokio::test]
async fn from_two_endpoints_the_inner_one_answers_500_and_the_event_is_released() {
    let (runs, outer, inner) = (Runs::default(), endpoint(), endpoint());
    let service = ServiceBuilder::new()
        .layer(WebhookLayer::new(outer.clone()))
        .layer(WebhookLayer::new(inner.clone()))
        .service(Handler::new(&runs));
    let body = event();
    for attempt in 1..=2 {
        let response = service.clone().oneshot(signed(&body)).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(outcome(&response), Some(Outcome::WrongEndpoint));
        assert_eq!(text(response).await, "the delivery was not handled\n");
        assert_eq!(outer.counts().outcome(Outcome::Failed), attempt, "not a duplicate");
        assert_eq!(inner.counts().outcome(Outcome::WrongEndpoint), attempt);
    }
    assert_eq!(runs.started(), 0);
}

#[tokio::test]
async fn a_rotated_key_does_not_stop_a_delivery_between_the_two_layers() {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let keys = endpoint.keys().clone();
    let rotates = tower::util::MapRequestLayer::new(move |request| {
        let new = dataflow_webhooks::Secret::new("whsec_an_entirely_new_one").unwrap();
        keys.replace([new]).unwrap();
        request
    });
    let service = ServiceBuilder::new()
        .layer(WebhookLayer::new(endpoint.clone()))
        .layer(rotates)
        .layer(WebhookLayer::new(endpoint))
        .service(Handler::new(&runs));
    assert_eq!(service.oneshot(signed(&event())).await.unwrap().status(), 200);
    assert_eq!(runs.ended(), 1);
}
