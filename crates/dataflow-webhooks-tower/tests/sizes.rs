//! The future of a request is boxed, once for each: its size is a cost of every
//! one of them.

use axum::body::Body;
use axum::http::Request;
use axum::{Router, routing::post};
use dataflow_webhooks::{Endpoint, KeyRing, Secret};
use dataflow_webhooks_tower::WebhookService;
use tower::Service as _;

/// The most that glibc's allocator keeps at hand for each thread; beyond, an
/// allocation takes several times as long.
const AT_HAND: usize = 1032;

#[test]
fn the_future_of_a_request_to_an_axum_router_is_an_allocation_at_hand() {
    let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap();
    let endpoint = Endpoint::builder(KeyRing::new(secret)).build().unwrap();
    let router = Router::new().route("/", post(async || ()));
    let mut service = WebhookService::new(router, endpoint);

    let future = service.call(Request::new(Body::empty()));
    assert!(size_of_val(&*future) <= AT_HAND, "{} bytes", size_of_val(&*future));
}
