//! What an endpoint adds to a verifier and a store: counts, levels, metrics.

use std::time::Instant;

use bytes::Bytes;
use dataflow_webhooks::adapter::{HandlerEnd, Telemetry};
use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore, MemoryStore};
use dataflow_webhooks::{Delivery, Endpoint, Outcome, StoreOperation, Terms, Verification};

use crate::memory::at_once;
use crate::rounds::{Effort, compare};
use crate::table;
use crate::verification::{body, header, now, verifier};

/// One delivery with all that is reported of it, by one without.
pub(crate) fn reports(effort: Effort) {
    let with = if Telemetry::TAKES_TIMES { "with" } else { "without" };
    table::head(
        &format!("An endpoint, {with} metrics, by a verifier and a store, 400 B"),
        "what                        size      time  ratio    quartiles   best limit     ",
    );
    let (body, verifier, store) = (body(400), verifier(), MemoryStore::new());
    let header = header(&body);
    let endpoint = Endpoint::builder(verifier.keys().clone()).clock(now).build().unwrap();

    let ours = || {
        let delivery = receive(endpoint.begin("POST", [&header], Some(400)).unwrap(), &body);
        let permit = endpoint.enter().unwrap();
        let timed = |operation, work: &dyn Fn()| {
            let called = Telemetry::TAKES_TIMES.then(Instant::now);
            work();
            if let Some(called) = called {
                endpoint.telemetry().store_called(operation, called.elapsed());
            }
        };
        let began = Telemetry::TAKES_TIMES.then(Instant::now);
        timed(StoreOperation::Claim, &|| {
            run(&**endpoint.store().unwrap(), &delivery);
        });
        timed(StoreOperation::Release, &|| ());
        let took = began.map(|began| began.elapsed());
        endpoint.telemetry().handler_ended(&delivery, HandlerEnd::Succeeded, took);
        endpoint.telemetry().answered(&delivery, Outcome::Handled, true);
        drop(permit);
    };
    let bare = || {
        let delivery = receive(verifier.begin([&header], Some(400)).unwrap(), &body);
        run(&store, &delivery);
    };
    let compared = compare(effort, ours, bare);
    table::ratio("begin to answer", "400 B", &compared, None);
    let count = |work: &dyn Fn()| allocation_counter::measure(work).count_total;
    let (ours, bare) = (count(&ours), count(&bare));
    let figure = format!("{ours}");
    table::figure("allocations", &figure, &format!("{bare}"), ours <= bare);
}

fn receive(mut verification: Verification, body: &Bytes) -> Delivery {
    verification.update(body.clone()).unwrap();
    verification.finish().unwrap()
}

/// A claim and its release, so that the same event may come again.
fn run(store: &dyn DedupStore, delivery: &Delivery) {
    let terms = Terms::default();
    let Ok(ClaimOutcome::New(claim)) = at_once(store.claim(&delivery.dedup_key(), terms)) else {
        panic!("the claim is not new");
    };
    let _ = at_once(store.release(&claim, terms)).unwrap();
}
