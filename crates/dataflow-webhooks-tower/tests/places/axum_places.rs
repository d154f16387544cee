//! Every spot that axum has for a layer.

use axum::body::Body;
use axum::extract::State;
use axum::handler::Handler as _;
use axum::routing::{get, post, post_service};
use axum::{Extension, Router};
use bytes::Bytes;
use dataflow_webhooks::Delivery;
use http::{Request, StatusCode};
use tower::{Layer as _, ServiceExt as _};

use crate::support::{Handler, PATH, Runs, event, guards, layer, signed, text, unsigned};

async fn handle(
    State(runs): State<Runs>,
    Extension(delivery): Extension<Delivery>,
    body: Bytes,
) -> (StatusCode, &'static str) {
    runs.start();
    assert_eq!(body, *delivery.body());
    runs.end();
    (StatusCode::ACCEPTED, "done")
}

fn get_of(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn status(app: Router, request: Request<Body>) -> u16 {
    app.oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn on_a_route_with_method_router_route_layer() {
    let runs = Runs::default();
    let route = post(handle).route_layer(layer());
    let app = Router::new().route(PATH, route).with_state(runs.clone());
    guards(app.clone(), &runs).await;

    // 404 and 405 stay what they are.
    assert_eq!(status(app.clone(), get_of("/elsewhere")).await, 404);
    let not_post = app.oneshot(get_of(PATH)).await.unwrap();
    assert_eq!(
        (not_post.status().as_u16(), &not_post.headers()["allow"]),
        (405, &"POST".parse().unwrap())
    );
    assert_eq!(text(not_post).await, "", "axum's own answer");
}

#[tokio::test]
async fn on_a_route_with_method_router_layer() {
    let runs = Runs::default();
    let app = Router::new().route(PATH, post(handle).layer(layer())).with_state(runs.clone());
    guards(app.clone(), &runs).await;

    assert_eq!(status(app.clone(), get_of("/elsewhere")).await, 404);
    let not_post = app.oneshot(get_of(PATH)).await.unwrap();
    assert_eq!(
        (not_post.status().as_u16(), &not_post.headers()["allow"]),
        (405, &"POST".parse().unwrap())
    );
    assert_eq!(text(not_post).await, "only POST is accepted here\n");
}

#[tokio::test]
async fn on_a_router_with_route_layer() {
    let runs = Runs::default();
    let app = Router::new().route(PATH, post(handle)).route_layer(layer()).with_state(runs.clone());
    guards(app.clone(), &runs).await;
    assert_eq!(status(app.clone(), get_of("/elsewhere")).await, 404);
    assert_eq!(status(app, get_of(PATH)).await, 405);
}

#[tokio::test]
async fn on_a_router_with_layer() {
    let runs = Runs::default();
    let app = Router::new().route(PATH, post(handle)).layer(layer()).with_state(runs.clone());
    guards(app.clone(), &runs).await;
    // Everything below it is behind it, what has no route included.
    assert_eq!(status(app.clone(), get_of("/elsewhere")).await, 405);
    assert_eq!(status(app.clone(), get_of(PATH)).await, 405);
    let mut elsewhere = unsigned();
    *elsewhere.uri_mut() = "/elsewhere".parse().unwrap();
    assert_eq!(status(app, elsewhere).await, 401);
}

#[tokio::test]
async fn routes_added_after_the_layer_are_not_behind_it() {
    let runs = Runs::default();
    let app = Router::new()
        .route(PATH, post(handle))
        .layer(layer())
        .route("/healthz", get(|| async { "well" }))
        .with_state(runs.clone());
    guards(app.clone(), &runs).await;
    assert_eq!(status(app, get_of("/healthz")).await, 200);
}

#[tokio::test]
async fn on_a_handler() {
    let runs = Runs::default();
    let app = Router::new().route(PATH, post(handle.layer(layer()))).with_state(runs.clone());
    guards(app.clone(), &runs).await;
    assert_eq!(status(app, get_of(PATH)).await, 405);
}

#[tokio::test]
async fn in_a_nested_router() {
    let runs = Runs::default();
    let hooks = Router::new().route("/dataflow", post(handle).route_layer(layer()));
    let app = Router::new().nest("/webhooks", hooks).with_state(runs.clone());
    guards(app.clone(), &runs).await;
    assert_eq!(status(app, get_of("/webhooks/other")).await, 404);
}

#[tokio::test]
async fn around_a_nested_router() {
    let runs = Runs::default();
    let hooks = Router::new().route("/dataflow", post(handle)).layer(layer());
    let app = Router::new().nest("/webhooks", hooks).with_state(runs.clone());
    guards(app, &runs).await;
}

#[tokio::test]
async fn in_a_merged_router_without_touching_the_other_one() {
    let runs = Runs::default();
    let hooks = Router::new().route(PATH, post(handle)).route_layer(layer());
    let rest = Router::new().route("/healthz", get(|| async { "well" }));
    let app = rest.merge(hooks).with_state(runs.clone());
    guards(app.clone(), &runs).await;
    assert_eq!(status(app, get_of("/healthz")).await, 200);
}

#[tokio::test]
async fn around_a_fallback() {
    let runs = Runs::default();
    let app = Router::new().fallback(handle).layer(layer()).with_state(runs.clone());
    guards(app, &runs).await;
}

#[tokio::test]
async fn around_a_fallback_service() {
    let runs = Runs::default();
    let app = Router::new().fallback_service(layer().layer(Handler::new(&runs)));
    guards(app, &runs).await;
}

#[tokio::test]
async fn around_a_routes_service() {
    let runs = Runs::default();
    let service = layer().layer(Handler::new(&runs));
    guards(Router::new().route_service(PATH, service.clone()), &runs).await;

    let runs = Runs::default();
    let service = layer().layer(Handler::new(&runs));
    guards(Router::new().route(PATH, post_service(service)), &runs).await;
}

#[tokio::test]
async fn around_a_nested_service() {
    let runs = Runs::default();
    let service = layer().layer(Handler::new(&runs));
    guards(Router::new().nest_service("/webhooks", service), &runs).await;
}

#[tokio::test]
async fn around_a_whole_app() {
    let runs = Runs::default();
    let app: Router = Router::new().route(PATH, post(handle)).with_state(runs.clone());
    guards(layer().layer(app), &runs).await;
}

#[tokio::test]
async fn one_endpoint_on_two_routes_shares_its_events() {
    let runs = Runs::default();
    let layer = layer();
    let app = Router::new()
        .route(PATH, post(handle).route_layer(layer.clone()))
        .route("/old", post(handle).route_layer(layer))
        .with_state(runs.clone());
    let body = event();
    let mut old = signed(&body);
    *old.uri_mut() = "/old".parse().unwrap();
    assert_eq!(status(app.clone(), signed(&body)).await, 200);
    assert_eq!(status(app, old).await, 200);
    assert_eq!(runs.started(), 1);
}
