//! The peer's address where axum puts it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::routing::post;
use dataflow_webhooks_axum::{Endpoint, Webhook, WebhookLayer};
use tower::ServiceExt as _;

use crate::support::{PATH, read, sample, secret, signed};

fn app() -> Router {
    let sources = "203.0.113.0/24".parse().unwrap();
    let endpoint = Endpoint::builder(secret()).source(sources).build().unwrap();
    let layer = WebhookLayer::new(endpoint).peer(|parts| {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(info.0.ip())
    });
    let handle = |Webhook(event): Webhook| async move { event.id };
    Router::new().route(PATH, post(handle).route_layer(layer))
}

async fn send_from(peer: &str) -> (u16, String) {
    let peer: SocketAddr = peer.parse().unwrap();
    let body: Bytes = sample().body();
    let make = app().into_make_service_with_connect_info::<SocketAddr>();
    let service = make.oneshot(peer).await.unwrap();
    read(service.oneshot(signed(&body)).await.unwrap()).await
}

#[tokio::test]
async fn connect_info_says_who_the_peer_is() {
    assert_eq!(send_from("203.0.113.7:4711").await, (200, "evt_1".to_owned()));
    assert_eq!(send_from("[::ffff:203.0.113.7]:4711").await.0, 200);
    let refused = (403, "the source is not allowed\n".to_owned());
    assert_eq!(send_from("198.51.100.1:4711").await, refused);
}

#[tokio::test]
async fn without_connect_info_nobody_passes() {
    let answer = app().oneshot(signed(&sample().body())).await.unwrap();
    assert_eq!(answer.status(), 403);
}
