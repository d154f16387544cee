//! The work of a delivery is boxed, once for each: its size is a cost of every
//! one of them.

use std::convert::Infallible;
use std::time::Duration;

use dataflow_webhooks::{Answer, Endpoint, KeyRing, Outcome, Secret, Verifier, sign};
use dataflow_webhooks_tokio::{Reply, handle};
use tokio::time::Instant;

/// The most that glibc's allocator keeps at hand for each thread; beyond, an
/// allocation takes several times as long.
const AT_HAND: usize = 1032;

/// As large as an `http` response with axum's body.
struct Response([u8; 160]);

impl Reply for Response {
    fn fixed(_answer: Answer, _outcome: Outcome) -> Self {
        Self([0; 160])
    }

    fn status(&self) -> u16 {
        200 + u16::from(self.0[0])
    }

    fn acknowledge(&mut self) {}
}

#[test]
fn the_work_of_a_delivery_to_an_axum_route_is_an_allocation_at_hand() {
    let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap();
    let endpoint = Endpoint::builder(KeyRing::new(secret.clone())).build().unwrap();
    let body = br#"{"id":"evt_1","type":"pipeline.created"}"#.as_slice();
    let line = sign(&secret, jiff::Timestamp::now(), body);
    let delivery = Verifier::new(secret).verify([line], body).unwrap();

    // The sizes that axum 0.8 has: a request's head, a route, its future.
    let (head, route) = ([0_u8; 224], [0_u8; 16]);
    let ready = |route| async move { Ok::<_, Infallible>(route) };
    let call = move |_route, _delivery| {
        std::hint::black_box(head);
        AxumRoute([0; 312])
    };
    let deadline = Instant::now() + Duration::from_secs(4);
    let work = handle(&endpoint, &delivery, deadline, route, ready, call);
    assert!(size_of_val(&work) <= AT_HAND, "{} bytes", size_of_val(&work));
}

struct AxumRoute([u8; 312]);

impl Future for AxumRoute {
    type Output = Result<Response, Infallible>;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::task::Poll::Ready(Ok(Response([self.0[0]; 160])))
    }
}
