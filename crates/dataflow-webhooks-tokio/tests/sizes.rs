//! What each delivery costs in memory: its work, which is boxed once, and its
//! settlement, where that has to wait for the store.

use std::convert::Infallible;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, ClaimOutcome, DedupKey, DedupStore, Held, StoreFuture};
use dataflow_webhooks::{
    Answer, Delivery, Endpoint, KeyRing, Outcome, Secret, Terms, Verifier, sign,
};
use dataflow_webhooks_tokio::{Detach, Reply, handle, on_runtime};
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

fn secret() -> Secret {
    Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap()
}

fn delivery(id: &str) -> Delivery {
    let body = format!(r#"{{"id":"{id}","type":"pipeline.created"}}"#);
    let line = sign(&secret(), jiff::Timestamp::now(), body.as_bytes());
    Verifier::new(secret()).verify([line], body).unwrap()
}

#[test]
fn the_work_of_a_delivery_to_an_axum_route_is_an_allocation_at_hand() {
    let endpoint = Endpoint::builder(KeyRing::new(secret())).build().unwrap();
    let delivery = delivery("evt_1");

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

/// Claims everything, and never answers a commit.
struct Stuck;

impl DedupStore for Stuck {
    fn claim<'a>(&'a self, key: &'a DedupKey, _: Terms) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(async { Ok(ClaimOutcome::New(Claim::new(key.clone(), 1))) })
    }
    fn renew<'a>(&'a self, _: &'a Claim, _: Terms) -> StoreFuture<'a, Held> {
        Box::pin(std::future::pending())
    }
    fn commit<'a>(&'a self, _: &'a Claim, _: Terms) -> StoreFuture<'a, Held> {
        Box::pin(std::future::pending())
    }
    fn release<'a>(&'a self, _: &'a Claim, _: Terms) -> StoreFuture<'a, Held> {
        Box::pin(std::future::pending())
    }
    fn forget<'a>(&'a self, _: &'a DedupKey) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[test]
fn a_settlement_that_waits_for_the_store_holds_1_kib_at_the_most() {
    const SETTLEMENTS: usize = 200;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let endpoint = Endpoint::builder(KeyRing::new(secret())).dedup(Stuck).build().unwrap();
    // As long as an id may be that a store sees as it is.
    let send = async |nth: usize| {
        let delivery = delivery(&format!("evt_{nth:060}"));
        let deadline = Instant::now() + Duration::from_secs(4);
        let ready = async |()| Ok::<(), Infallible>(());
        let call = |(), _| async { Ok(Response([0; 160])) };
        let work = handle(&endpoint, &delivery, deadline, (), ready, call);
        Detach::new(&endpoint, &delivery, deadline, work, on_runtime).await.map(|_| ())
    };
    // What the runtime itself allocates once.
    runtime.block_on(send(0)).unwrap();
    let sending = || {
        runtime.block_on(async {
            for nth in 1..=SETTLEMENTS {
                send(nth).await.unwrap();
            }
            // Long enough for one to be in the middle of a try, and another before it.
            tokio::time::sleep(Duration::from_secs(1)).await;
        });
    };
    let held = allocation_counter::measure(sending);
    assert_eq!(endpoint.counts().pending_commits, SETTLEMENTS + 1);
    let each = held.bytes_current / SETTLEMENTS as i64;
    assert!(each <= 1024, "{each} bytes");
}
