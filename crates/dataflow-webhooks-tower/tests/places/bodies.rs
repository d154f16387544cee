//! `oneshot`, with every kind of request body.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request as AxumRequest};
use axum::middleware::{Next, from_fn};
use axum::response::Response as AxumResponse;
use axum::routing::post;
use axum::{RequestExt as _, Router};
use bytes::{Buf, Bytes};
use dataflow_webhooks::{Outcome, RejectionKind};
use dataflow_webhooks_tower::{ResponseBody, WebhookBody, WebhookLayer};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, BodyStream, Empty, Full, Limited, StreamBody};
use tower::{ServiceBuilder, ServiceExt as _};
use tower_http::limit::RequestBodyLimitLayer;

use crate::support::{
    Frames, Handler, PATH, Runs, endpoint, event, layer, rejected, request, signed, text,
};

type Answer = Response<ResponseBody<Full<Bytes>>>;

/// Sends one request to a layer around a handler. Any body will do.
async fn send<B>(request: Request<B>) -> (Answer, Runs)
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let runs = Runs::default();
    let service = ServiceBuilder::new().layer(layer()).service(Handler::new(&runs));
    (service.oneshot(request).await.unwrap(), runs)
}

async fn passes<B>(request: Request<B>)
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (response, runs) = send(request).await;
    assert_eq!((response.status().as_u16(), runs.ended()), (200, 1));
}

#[tokio::test]
async fn a_full_body_passes() {
    passes(request(&event()).map(|body| Full::new(body.clone()))).await;
}

#[tokio::test]
async fn a_string_passes() {
    passes(request(&event()).map(|body| String::from_utf8(body.to_vec()).unwrap())).await;
}

#[tokio::test]
async fn axums_body_passes() {
    passes(request(&event()).map(|body| Body::from(body.clone()))).await;
}

#[tokio::test]
async fn a_boxed_body_passes() {
    passes(request(&event()).map(|body| Full::new(body.clone()).boxed())).await;
    passes(request(&event()).map(|body| Full::new(body.clone()).boxed_unsync())).await;
}

#[tokio::test]
async fn a_verified_body_passes_once_more() {
    passes(request(&event()).map(|body| WebhookBody::from(body.clone()))).await;
}

#[tokio::test]
async fn a_stream_of_pieces_passes() {
    for size in [1, 10, 1000] {
        let pieces =
            |body: &Bytes| StreamBody::new(BodyStream::new(Frames::<Infallible>::cut(body, size)));
        passes(request(&event()).map(pieces)).await;
    }
}

#[tokio::test]
async fn frames_that_are_no_data_are_not_part_of_what_is_signed() {
    let with_trailers = |body: &Bytes| {
        let trailers = HeaderMap::from_iter([(CONTENT_TYPE, "text/html".parse().unwrap())]);
        let (first, second) = (Frame::data(body.slice(..10)), Frame::data(body.slice(10..)));
        let frames = [first, Frame::trailers(trailers.clone()), second, Frame::trailers(trailers)];
        Frames::<Infallible>::of(frames.map(Ok))
    };
    passes(request(&event()).map(with_trailers)).await;
}

#[tokio::test]
async fn data_that_is_no_bytes_passes() {
    let pieces = |body: &Bytes| {
        let (near, far) = body.split_at(10);
        let (near, far) = (Bytes::copy_from_slice(near), Bytes::copy_from_slice(far));
        Full::new(near.chain(far))
    };
    passes(request(&event()).map(pieces)).await;
}

#[tokio::test]
async fn an_empty_body_is_refused_like_any_other() {
    let (response, runs) = send(Request::post(PATH).body(Empty::<Bytes>::new()).unwrap()).await;
    assert_eq!((response.status().as_u16(), runs.started()), (401, 0));
    // Authentic, and no event.
    let (response, runs) = send(request(&Bytes::new()).map(|_| Empty::<Bytes>::new())).await;
    assert_eq!((response.status().as_u16(), runs.started()), (422, 0));
    assert_eq!(rejected(&response), Some(RejectionKind::NotAnEvent));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let lost = |body: &Bytes| {
        let frame = Ok(Frame::data(body.slice(..10)));
        Frames::of([frame, Err(io::Error::from(io::ErrorKind::ConnectionReset))])
    };
    let (response, runs) = send(request(&event()).map(lost)).await;
    assert_eq!((response.status().as_u16(), runs.started()), (400, 0));
    assert_eq!(rejected(&response), Some(RejectionKind::BodyLost));
    assert_eq!(response.headers()["connection"], "close");
}

#[tokio::test]
async fn a_limited_body_within_its_limit_passes() {
    passes(request(&event()).map(|body| Limited::new(Full::new(body.clone()), 10_000))).await;
}

#[tokio::test]
async fn a_limited_body_over_its_limit_is_413() {
    let limited = |body: &Bytes| Limited::new(Frames::<Infallible>::cut(body, 10), 50);
    let (response, runs) = send(request(&event()).map(limited)).await;
    assert_eq!((response.status().as_u16(), runs.started()), (413, 0));
    assert_eq!(rejected(&response), Some(RejectionKind::BodyTooLarge));
    let limited = |body: &Bytes| Limited::new(Full::new(body.clone()), 50);
    assert_eq!(send(request(&event()).map(limited)).await.0.status(), 413);
}

#[tokio::test]
async fn a_limit_somewhere_down_the_chain_of_causes_is_413() {
    let wrapped = |body: &Bytes| {
        let limited = Limited::new(Full::new(body.clone()), 50);
        limited.map_err(io::Error::other).map_err(io::Error::other)
    };
    assert_eq!(send(request(&event()).map(wrapped)).await.0.status(), 413);
}

#[tokio::test]
async fn a_request_body_limit_layer_outside_answers_413_however_the_body_comes() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(RequestBodyLimitLayer::new(50))
        .layer(layer())
        .service(Handler::new(&runs));
    // Chunked: it is our body that hits the limit.
    let chunked = request(&event()).map(|body| Body::new(Frames::<Infallible>::cut(body, 10)));
    let response = service.clone().oneshot(chunked).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(rejected(&response), Some(RejectionKind::BodyTooLarge));
    // Declared: the layer answers by itself.
    let body = event();
    let mut declared = signed(&body);
    declared.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    let response = service.oneshot(declared).await.unwrap();
    assert_eq!((response.status().as_u16(), rejected(&response)), (413, None));
    assert_eq!(runs.started(), 0);
}

#[tokio::test]
async fn a_request_body_limit_layer_inside_sees_the_verified_body() {
    for (limit, status) in [(10_000, 200), (50, 500)] {
        let runs = Runs::default();
        let service = ServiceBuilder::new()
            .layer(layer())
            .layer(RequestBodyLimitLayer::new(limit))
            .service(Handler::new(&runs));
        // Over it, the handler here panics, as its reading of the body fails.
        let response = service.oneshot(signed(&event())).await.unwrap();
        assert_eq!((response.status().as_u16(), runs.started()), (status, 1));
    }
}

#[tokio::test]
async fn a_body_that_axum_limits_outside_is_413() {
    async fn limit(request: AxumRequest, next: Next) -> AxumResponse {
        next.run(request.with_limited_body()).await
    }
    let app: Router = Router::new()
        .route(PATH, post(|| async { "done" }))
        .layer(layer())
        .layer(from_fn(limit))
        .layer(DefaultBodyLimit::max(50));
    let response = app.oneshot(signed(&event())).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(rejected(&response), Some(RejectionKind::BodyTooLarge));
}

#[tokio::test]
async fn axums_default_limit_holds_for_extractors_inside_and_may_be_raised() {
    let endpoint = endpoint();
    let long = Bytes::from(format!(r#"{{"id":"evt_1","data":"{}"}}"#, "x".repeat(100)));
    let app = |limit| -> Router {
        let route = post(|_: Bytes| async { "done" });
        let route = route.route_layer(WebhookLayer::new(endpoint.clone()));
        Router::new().route(PATH, route).layer(DefaultBodyLimit::max(limit))
    };
    // The handler's own refusal: its event is released.
    let response = app(50).oneshot(signed(&long)).await.unwrap();
    assert_eq!((response.status().as_u16(), rejected(&response)), (413, None));
    assert_eq!(endpoint.counts().outcome(Outcome::Failed), 1);
    let response = app(1000).oneshot(signed(&long)).await.unwrap();
    assert_eq!((response.status().as_u16(), &text(response).await[..]), (200, &b"done"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_408() {
    struct Stops;
    impl http_body::Body for Stops {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::Poll::Pending
        }
    }
    let started = tokio::time::Instant::now();
    let (response, runs) = send(request(&event()).map(|_| Stops)).await;
    assert_eq!((response.status().as_u16(), runs.started()), (408, 0));
    assert!(started.elapsed() >= Duration::from_secs(4));
    assert!(started.elapsed() < Duration::from_millis(4010));
}

#[tokio::test]
async fn the_verified_body_tells_its_length_and_its_end() {
    let mut body = WebhookBody::from(Bytes::from("abc"));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert!(body.frame().await.is_none());
    assert_eq!(WebhookBody::from(Bytes::from("abc")).into_bytes(), "abc");
    assert_eq!(
        text(Response::new(Full::new(WebhookBody::from(Bytes::from("abc")).into_bytes()))).await,
        "abc"
    );
}
