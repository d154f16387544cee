//! What goes out: the handler's answer with its status settled, or a fixed one.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use dataflow_webhooks::dead_letters::DeadLetters as _;
use dataflow_webhooks::{Endpoint, Outcome, RejectionKind};
use dataflow_webhooks_tower::{DeadLetterFile, ResponseBody, WebhookBody, WebhookLayer};
use http::header::{CONNECTION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

use crate::support::{
    Frames, Handler, Runs, endpoint, endpoint_with, event, layer, outcome, rejected, request,
    signed, text, unsigned,
};

/// A handler that answers with this status, headers and a body.
fn answers(
    status: u16,
) -> impl Service<
    Request<WebhookBody>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send {
    service_fn(move |_| async move {
        let response = Response::builder().status(status).header(LOCATION, "/events/1");
        Ok(response.header("x-own", "kept").body(Full::from("the handler's own")).unwrap())
    })
}

async fn answer_to(status: u16, endpoint: &Endpoint) -> Response<ResponseBody<Full<Bytes>>> {
    let layer = WebhookLayer::new(endpoint.clone());
    let service = ServiceBuilder::new().layer(layer).service(answers(status));
    service.oneshot(signed(&event())).await.unwrap()
}

#[tokio::test]
async fn any_2xx_becomes_200_with_headers_and_body_kept() {
    for status in [200, 201, 202, 203, 204, 205, 206, 207, 299] {
        let endpoint = endpoint();
        let response = answer_to(status, &endpoint).await;
        assert_eq!(response.status(), 200, "{status}");
        assert_eq!(response.headers()[LOCATION], "/events/1");
        assert_eq!(response.headers()["x-own"], "kept");
        assert_eq!(response.headers().len(), 2, "nothing is added");
        assert_eq!(text(response).await, "the handler's own");
        assert_eq!(endpoint.counts().outcome(Outcome::Handled), 1);
    }
}

#[tokio::test]
async fn any_other_status_is_kept_and_releases_the_event() {
    for status in [301, 304, 307, 400, 401, 404, 409, 422, 429, 500, 502, 503] {
        let endpoint = endpoint();
        let layer = WebhookLayer::new(endpoint.clone());
        let service = ServiceBuilder::new().layer(layer).service(answers(status));
        let body = event();
        for attempt in 1..=2 {
            let response = service.clone().oneshot(signed(&body)).await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()["x-own"], "kept");
            assert_eq!(text(response).await, "the handler's own");
            assert_eq!(endpoint.counts().handlers_failed, attempt, "{status}: it runs again");
        }
    }
}

#[tokio::test]
async fn what_a_handler_put_into_its_answers_extensions_is_kept() {
    let handler = service_fn(|_: Request<WebhookBody>| async {
        let mut response = Response::new(Full::<Bytes>::default());
        response.extensions_mut().insert(42_u8);
        Ok::<_, Infallible>(response)
    });
    let service = ServiceBuilder::new().layer(layer()).service(handler);
    let response = service.oneshot(signed(&event())).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&42_u8));
}

#[tokio::test]
async fn a_streamed_answer_keeps_its_frames_its_trailers_and_its_error_type() {
    #[derive(Debug, PartialEq)]
    struct Torn;
    let handler = service_fn(|_: Request<WebhookBody>| async {
        let trailers = HeaderMap::from_iter([(CONTENT_TYPE, "x/y".parse().unwrap())]);
        let body = Frames::of([
            Ok(Frame::data(Bytes::from("one"))),
            Ok(Frame::data(Bytes::from("two"))),
            Ok(Frame::trailers(trailers)),
            Err(Torn),
        ]);
        Ok::<_, Infallible>(Response::new(body))
    });
    let service = ServiceBuilder::new().layer(layer()).service(handler);
    let mut body = service.oneshot(signed(&event())).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), None);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(body.frame().await.unwrap().unwrap_err(), Torn);
}

#[tokio::test]
async fn an_answers_body_knows_its_length() {
    let own = answer_to(200, &endpoint()).await;
    assert_eq!(own.body().size_hint().exact(), Some(17));
    assert!(!own.body().is_end_stream());
    let service = ServiceBuilder::new().layer(layer()).service(answers(200));
    let fixed = service.oneshot(unsigned()).await.unwrap();
    assert_eq!(fixed.body().size_hint().exact(), Some(31));
    assert_eq!(text(fixed).await.len(), 31);
    let none = ResponseBody::<Full<Bytes>>::default();
    assert_eq!((none.size_hint().exact(), none.is_end_stream()), (Some(0), true));
}

/// Sends a request to a handler that must not be called.
async fn refused(
    endpoint: &Endpoint,
    request: Request<Body>,
) -> Response<ResponseBody<Full<Bytes>>> {
    let runs = Runs::default();
    let layer = WebhookLayer::new(endpoint.clone());
    let service = ServiceBuilder::new().layer(layer).service(Handler::new(&runs));
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(runs.started(), 0);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
    response
}

#[tokio::test]
async fn all_that_can_be_wrong_with_a_signature_reads_the_same() {
    let two = {
        let mut request = signed(&event());
        let line = request.headers()["x-dataflow-signature"].clone();
        request.headers_mut().append("x-dataflow-signature", line);
        request
    };
    let with = |line: &str| {
        let mut request = unsigned();
        request.headers_mut().insert("x-dataflow-signature", line.parse().unwrap());
        request
    };
    let other_body = request(&event()).map(|_| Body::from(event()));
    for (request, kind) in [
        (unsigned(), RejectionKind::MissingSignature),
        (two, RejectionKind::RepeatedSignature),
        (with("nonsense"), RejectionKind::MalformedSignature),
        (with("t=1706096400,v1=00"), RejectionKind::TooOld),
        (with("t=99999999999,v1=00"), RejectionKind::TooNew),
        (other_body, RejectionKind::NoMatch),
    ] {
        let response = refused(&endpoint(), request).await;
        assert_eq!(rejected(&response), Some(kind));
        assert_eq!(outcome(&response), Some(Outcome::Rejected(kind)));
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "DataFlow-Signature");
        assert_eq!(response.headers().len(), 2);
        assert_eq!(text(response).await, "the signature was not accepted\n");
    }
}

#[tokio::test]
async fn any_method_but_post_is_405_with_allow() {
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let mut request = signed(&event());
        *request.method_mut() = method;
        let response = refused(&endpoint(), request).await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "POST");
        assert_eq!(rejected(&response), Some(RejectionKind::MethodNotAllowed));
        assert_eq!(text(response).await, "only POST is accepted here\n");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_closes() {
    let endpoint = endpoint_with(|builder| builder.max_body_bytes(1024));
    let response = refused(&endpoint, signed(&Bytes::from(vec![b' '; 1025]))).await;
    assert_eq!(response.status(), 413);
    assert_eq!(rejected(&response), Some(RejectionKind::BodyTooLarge));
    assert_eq!(response.headers()[CONNECTION], "close");
    assert_eq!(text(response).await, "the body is too large\n");
}

#[tokio::test]
async fn http_2_is_not_told_to_close_its_connection() {
    let endpoint = endpoint_with(|builder| builder.max_body_bytes(1024));
    let mut request = signed(&Bytes::from(vec![b' '; 1025]));
    *request.version_mut() = Version::HTTP_2;
    let response = refused(&endpoint, request).await;
    assert_eq!(response.status(), 413);
    assert!(!response.headers().contains_key(CONNECTION));
}

#[tokio::test]
async fn a_small_refused_body_keeps_its_connection() {
    let response = refused(&endpoint(), unsigned()).await;
    assert!(!response.headers().contains_key(CONNECTION));
}

#[tokio::test]
async fn an_authentic_body_that_is_no_event_is_422() {
    for body in ["[]", "null", "", "{", r#"{"id":"a","id":"b"}"#] {
        let response = refused(&endpoint(), signed(&body.into())).await;
        assert_eq!(response.status(), 422);
        assert_eq!(rejected(&response), Some(RejectionKind::NotAnEvent));
        assert_eq!(text(response).await, "the body is not an event\n");
    }
}

#[tokio::test]
async fn while_draining_the_answer_is_503_with_retry_after() {
    let endpoint = endpoint();
    endpoint.drain().await;
    let response = refused(&endpoint, signed(&event())).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"60".parse().unwrap())
    );
    assert_eq!(rejected(&response), Some(RejectionKind::Draining));
    assert_eq!(text(response).await, "try again later\n");
}

#[tokio::test(start_paused = true)]
async fn a_late_handlers_answer_is_503_with_retry_after() {
    let runs = Runs::default();
    let handler = Handler::new(&runs).takes(Duration::from_secs(8));
    let service = ServiceBuilder::new().layer(layer()).service(handler);
    let body = event();
    let response = service.clone().oneshot(signed(&body)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"60".parse().unwrap())
    );
    assert_eq!(outcome(&response), Some(Outcome::Late));
    assert_eq!(text(response).await, "try again later\n");

    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!((runs.started(), runs.ended()), (1, 1));
    let again = service.oneshot(signed(&body)).await.unwrap();
    assert_eq!((again.status().as_u16(), outcome(&again)), (200, Some(Outcome::Duplicate)));
    assert_eq!(again.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(runs.started(), 1);
}

#[tokio::test]
async fn a_handlers_own_answer_has_no_outcome_of_a_fixed_one() {
    let response = answer_to(202, &endpoint()).await;
    assert_eq!((outcome(&response), rejected(&response)), (None, None));
}

#[tokio::test]
async fn a_rejection_in_the_extensions_says_why_in_words_that_stay_inside() {
    let response = refused(&endpoint(), unsigned()).await;
    let rejection: &dataflow_webhooks::Rejection = response.extensions().get().unwrap();
    assert!(rejection.to_string().contains("no X-DataFlow-Signature header"));
    let words = rejection.to_string();
    assert!(!String::from_utf8_lossy(&text(response).await).contains(&words));
}

#[tokio::test]
async fn a_handler_that_says_503_is_not_taken_for_ours() {
    let runs = Runs::default();
    let service = ServiceBuilder::new().layer(layer()).service(Handler::new(&runs).says(503));
    let response = service.oneshot(signed(&event())).await.unwrap();
    assert!(!response.headers().contains_key("retry-after"));
    assert_eq!(text(response).await, "done");
}

#[tokio::test]
async fn a_dead_letter_is_answered_with_its_outcome_in_place_of_the_handlers_answer() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("answers.jsonl");
    let _ = std::fs::remove_file(&path);
    let letters = Arc::new(DeadLetterFile::open(&path).unwrap());
    let endpoint = endpoint_with(|builder| builder.dead_letters(letters.clone(), 1));
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(WebhookLayer::new(endpoint))
        .service(Handler::new(&runs).says(500));
    let body = event();
    let response = service.oneshot(signed(&body)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), outcome(&response)),
        (200, Some(Outcome::DeadLettered))
    );
    assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(text(response).await, "kept for later\n");
    assert_eq!(letters.list(None, 10).await.unwrap()[0].body(), &body);
}
