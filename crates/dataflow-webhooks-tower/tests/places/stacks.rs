//! `ServiceBuilder`, over and under the layers of tower and tower-http.

use std::any::Any;
use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use axum::BoxError;
use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::routing::post_service;
use bytes::Bytes;
use dataflow_webhooks::Outcome;
use dataflow_webhooks_tower::{ResponseBody, WebhookBody};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use tower::util::{BoxCloneService, BoxCloneSyncService};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::sensitive_headers::SetSensitiveHeadersLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::support::{
    Handler, PATH, Runs, endpoint, event, guards, layer, outcome, signed, text, timed,
};

const SIGNATURE: HeaderName = HeaderName::from_static("x-dataflow-signature");

#[tokio::test]
async fn alone() {
    let runs = Runs::default();
    guards(ServiceBuilder::new().layer(layer()).service(Handler::new(&runs)), &runs).await;
}

#[tokio::test]
async fn under_and_over_a_trace_layer() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(layer())
        .layer(TraceLayer::new_for_http())
        .service(Handler::new(&runs));
    guards(service, &runs).await;
}

fn time_out(time: Duration) -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, time)
}

#[tokio::test]
async fn under_and_over_a_timeout_layer() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(time_out(Duration::from_secs(5)))
        .layer(layer())
        .layer(time_out(Duration::from_secs(3)))
        .service(Handler::new(&runs));
    guards(service, &runs).await;
}

#[tokio::test(start_paused = true)]
async fn a_time_out_outside_answers_and_the_handler_runs_on() {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let service = ServiceBuilder::new()
        .layer(time_out(Duration::from_secs(1)))
        .layer(dataflow_webhooks_tower::WebhookLayer::new(endpoint.clone()))
        .service(Handler::new(&runs).takes(Duration::from_secs(3)));
    let body = event();
    let (time, response) = timed(service.clone().oneshot(signed(&body))).await;
    assert_eq!(time.as_secs(), 1);
    assert_eq!(response.unwrap().status(), 504);
    assert_eq!((runs.started(), runs.ended()), (1, 0));

    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(runs.ended(), 1);
    assert_eq!(endpoint.counts().outcome(Outcome::HungUp), 1);
    let again = service.oneshot(signed(&body)).await.unwrap();
    assert_eq!(outcome(&again), Some(Outcome::Duplicate));
}

#[tokio::test(start_paused = true)]
async fn a_time_out_inside_ends_the_handler_and_releases_the_event() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(layer())
        .layer(time_out(Duration::from_secs(1)))
        .service(Handler::new(&runs).takes(Duration::from_secs(3)));
    let body = event();
    for attempt in 1..=2 {
        let response = service.clone().oneshot(signed(&body)).await.unwrap();
        assert_eq!((response.status().as_u16(), runs.started()), (504, attempt));
    }
    assert_eq!(runs.ended(), 0);
}

#[tokio::test]
async fn under_and_over_a_catch_panic_layer() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(layer())
        .layer(CatchPanicLayer::new())
        .service(Handler::new(&runs));
    guards(service, &runs).await;
}

async fn panics(_: Request<WebhookBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    panic!("the handler's own")
}

#[tokio::test]
async fn a_panic_inside_never_reaches_a_catch_panic_layer_outside() {
    let other =
        |_: Box<dyn Any + Send>| Response::builder().status(599).body(Body::empty()).unwrap();
    let service = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(other))
        .layer(layer())
        .service(service_fn(panics));
    let response = service.oneshot(signed(&event())).await.unwrap();
    assert_eq!(outcome(&response), Some(Outcome::Panicked));
    assert_eq!(response.status(), 500);
    assert_eq!(text(response).await, "the delivery was not handled\n");
}

#[tokio::test]
async fn the_answer_of_a_catch_panic_layer_inside_stands_and_releases_the_event() {
    let service = ServiceBuilder::new()
        .layer(layer())
        .layer(CatchPanicLayer::new())
        .service(service_fn(panics));
    let body = event();
    for _ in 0..2 {
        let response = service.clone().oneshot(signed(&body)).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(text(response).await, "Service panicked");
    }
}

#[tokio::test]
async fn under_a_layer_that_marks_the_signature_as_sensitive() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(SetSensitiveHeadersLayer::new([SIGNATURE]))
        .layer(layer())
        .service(Handler::new(&runs));
    guards(service, &runs).await;
}

async fn talks(_: Request<WebhookBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::builder().status(202).body(Full::from("done ".repeat(1000))).unwrap())
}

/// Asks for an answer that is squeezed, and gets it.
async fn squeezes<S, B>(service: S)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Error: Debug>,
{
    let mut request = signed(&event());
    request.headers_mut().insert(ACCEPT_ENCODING, "gzip".parse().unwrap());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "a squeezed 202 is a 200 as well");
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert!(text(response).await.len() < 1000);
}

#[tokio::test]
async fn under_and_over_a_compression_layer() {
    let squeeze = CompressionLayer::new();
    let stack = ServiceBuilder::new().layer(squeeze.clone()).layer(layer());
    squeezes(stack.service(service_fn(talks))).await;
    let stack = ServiceBuilder::new().layer(layer()).layer(squeeze);
    squeezes(stack.service(service_fn(talks))).await;
}

#[tokio::test]
async fn over_a_request_decompression_layer() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(layer())
        .layer(RequestDecompressionLayer::new())
        .map_request(|request: Request<_>| request)
        .service(Handler::new(&runs));
    guards(service, &runs).await;
}

#[tokio::test]
async fn under_a_handle_error_layer_in_axum() {
    let runs = Runs::default();
    let stack = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(|_: BoxError| async { StatusCode::IM_A_TEAPOT }))
        .layer(layer())
        .timeout(Duration::from_millis(1));
    let route = post_service(Handler::new(&runs)).layer(stack.clone());
    guards(Router::new().route(PATH, route), &runs).await;

    let slow = Handler::new(&runs).takes(Duration::from_secs(60));
    let app: Router = Router::new().route(PATH, post_service(slow).layer(stack));
    assert_eq!(app.oneshot(signed(&event())).await.unwrap().status(), 418);
}

#[tokio::test]
async fn in_a_boxed_service() {
    let runs = Runs::default();
    type Answer = Response<ResponseBody<Full<Bytes>>>;
    let service = ServiceBuilder::new().layer(layer()).service(Handler::new(&runs));
    let boxed: BoxCloneService<Request<Body>, Answer, Infallible> = BoxCloneService::new(service);
    guards(boxed, &runs).await;

    let runs = Runs::default();
    let service = ServiceBuilder::new().layer(layer()).service(Handler::new(&runs));
    let boxed: BoxCloneSyncService<Request<Body>, Answer, Infallible> =
        BoxCloneSyncService::new(service);
    guards(boxed, &runs).await;
}

#[tokio::test]
async fn around_a_boxed_service() {
    type Answer = Response<Full<Bytes>>;
    let runs = Runs::default();
    let boxed: BoxCloneService<Request<WebhookBody>, Answer, Infallible> =
        BoxCloneService::new(Handler::new(&runs));
    guards(ServiceBuilder::new().layer(layer()).service(boxed), &runs).await;

    let runs = Runs::default();
    let boxed: BoxCloneSyncService<Request<WebhookBody>, Answer, Infallible> =
        BoxCloneSyncService::new(Handler::new(&runs));
    guards(ServiceBuilder::new().layer(layer()).service(boxed), &runs).await;
}
