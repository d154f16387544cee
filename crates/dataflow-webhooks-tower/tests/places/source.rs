//! The peer's address, as the layer is told to find it.

use std::net::IpAddr;

use axum::body::Body;
use bytes::Bytes;
use dataflow_webhooks::{Endpoint, ForwardedHeader, IpNet, RejectionKind, SourceAllowList};
use dataflow_webhooks_tower::WebhookLayer;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};

use crate::support::{Handler, Runs, endpoint_with, event, rejected, signed, text};

fn listing(list: &str) -> SourceAllowList {
    list.parse().unwrap()
}

fn endpoint(list: SourceAllowList) -> Endpoint {
    endpoint_with(|builder| builder.source(list))
}

/// A layer that finds the peer as an extension of the request.
fn layer(endpoint: &Endpoint) -> WebhookLayer {
    WebhookLayer::new(endpoint.clone()).peer(|parts| parts.extensions.get().copied())
}

async fn send(
    layer: &WebhookLayer,
    request: Request<Body>,
) -> Response<dataflow_webhooks_tower::ResponseBody<Full<Bytes>>> {
    layer.layer(Handler::new(&Runs::default())).oneshot(request).await.unwrap()
}

fn from(peer: &str) -> Request<Body> {
    let mut request = signed(&event());
    request.extensions_mut().insert(peer.parse::<IpAddr>().unwrap());
    request
}

#[tokio::test]
async fn a_listed_peer_reaches_the_service_and_another_one_does_not() {
    let (runs, endpoint) = (Runs::default(), endpoint(listing("203.0.113.0/24")));
    let service = ServiceBuilder::new().layer(layer(&endpoint)).service(Handler::new(&runs));
    let answer = service.clone().oneshot(from("198.51.100.1")).await.unwrap();
    assert_eq!((answer.status().as_u16(), runs.started()), (403, 0));
    assert_eq!(rejected(&answer), Some(RejectionKind::SourceNotAllowed));
    assert_eq!(text(answer).await, "the source is not allowed\n");
    let answer = service.oneshot(from("203.0.113.7")).await.unwrap();
    assert_eq!((answer.status().as_u16(), runs.started()), (200, 1));
}

#[tokio::test]
async fn a_peer_that_nobody_knows_is_answered_403() {
    let endpoint = endpoint(listing("::/0"));
    let answer = send(&WebhookLayer::new(endpoint.clone()), from("203.0.113.7")).await;
    assert_eq!(answer.status(), 403, "the layer was not told where to look");
    let answer = send(&layer(&endpoint), signed(&event())).await;
    assert_eq!(answer.status(), 403, "the server did not say");
    assert_eq!(endpoint.counts().rejected(RejectionKind::SourceNotAllowed), 2);
}

#[tokio::test]
async fn without_a_list_nobody_has_to_know_the_peer() {
    let endpoint = endpoint_with(|builder| builder);
    assert_eq!(send(&WebhookLayer::new(endpoint), signed(&event())).await.status(), 200);
}

#[tokio::test]
async fn all_lines_of_a_trusted_proxys_header_are_read_in_order() {
    let proxies: [IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
    let list = listing("203.0.113.0/24").behind(ForwardedHeader::Forwarded, proxies);
    let layer = layer(&endpoint(list));
    let through = |lines: [&'static str; 2]| {
        let mut request = from("10.0.0.1");
        for line in lines {
            request.headers_mut().append("forwarded", line.parse().unwrap());
        }
        request
    };
    let answer = send(&layer, through(["for=198.51.100.1", "for=203.0.113.7"])).await;
    assert_eq!(answer.status(), 200);
    let answer = send(&layer, through(["for=203.0.113.7", "for=198.51.100.1"])).await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn applied_twice_the_inner_layer_need_not_know_the_peer() {
    let endpoint = endpoint(listing("203.0.113.0/24"));
    let inner = WebhookLayer::new(endpoint.clone());
    let service = layer(&endpoint).layer(inner.layer(Handler::new(&Runs::default())));
    assert_eq!(service.oneshot(from("203.0.113.7")).await.unwrap().status(), 200);
}
