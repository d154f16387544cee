//! The inner service's error type is kept, whatever it is.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use dataflow_webhooks::Outcome;
use dataflow_webhooks_tower::{WebhookBody, WebhookLayer, WebhookService};
use http::{Request, Response};
use http_body_util::Full;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

use crate::support::{Handler, Runs, endpoint, event, layer, signed, unsigned};

/// No `Error`, no `Display`: the layer asks for nothing.
#[derive(Debug, PartialEq, Eq)]
struct Broken(u32);

async fn breaks(_: Request<WebhookBody>) -> Result<Response<Full<Bytes>>, Broken> {
    Err(Broken(7))
}

#[tokio::test]
async fn an_error_comes_out_as_it_is_and_releases_the_event() {
    let endpoint = endpoint();
    let service = ServiceBuilder::new()
        .layer(WebhookLayer::new(endpoint.clone()))
        .service(service_fn(breaks));
    let body = event();
    for attempt in 1..=2 {
        let error = service.clone().oneshot(signed(&body)).await.unwrap_err();
        assert_eq!(error, Broken(7));
        assert_eq!(endpoint.counts().outcome(Outcome::Failed), attempt);
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_never_an_error() {
    let service = ServiceBuilder::new().layer(layer()).service(service_fn(breaks));
    assert_eq!(service.oneshot(unsigned()).await.unwrap().status(), 401);
}

#[test]
fn an_infallible_service_stays_infallible() {
    fn infallible<S: Service<Request<Body>, Error = Infallible>>(_: &S) {}
    infallible(&WebhookService::new(Handler::new(&Runs::default()), endpoint()));
}

#[test]
fn the_service_and_its_future_go_where_a_server_puts_them() {
    fn sendable<T: Send + 'static>(_: &T) {}
    fn shareable<T: Send + Sync + Clone + 'static>(_: &T) {}
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let mut service = WebhookService::new(Handler::new(&Runs::default()), endpoint());
    shareable(&service);
    shareable(&layer());
    sendable(&service.call(signed(&event())));
    assert!(format!("{service:?}").starts_with("WebhookService"));
}
