//! Keys that are swapped while requests run: no authentic delivery signed with a
//! live key is refused, and none signed with a removed key passes after the call
//! has returned, bodies in flight included.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use dataflow_webhooks::{Endpoint, RejectionKind, Secret};
use tokio::task::JoinSet;
use webhook_tests::{Request, Served, Wire, event, eventually};

fn key(number: usize) -> Secret {
    Secret::new(format!("whsec_rotation_key_{number:04}")).unwrap()
}

async fn served() -> Served {
    Served::start(Endpoint::builder(key(0)), |_| async {}).await
}

/// A delivery of an event of its own, signed with this key.
fn signed(number: usize, id: &str) -> Request {
    Request::signed_with(&key(number), 0, event(id))
}

/// A connection that has sent the head and half of the body.
async fn half_sent(served: &Served, request: &Request) -> Wire {
    let mut wire = served.connect().await;
    wire.write(&request.head_bytes()).await.unwrap();
    wire.write(&request.body[..request.body.len() / 2]).await.unwrap();
    wire
}

/// The answer's status, once the other half is there.
async fn other_half(mut wire: Wire, request: &Request) -> u16 {
    wire.write(&request.body[request.body.len() / 2..]).await.unwrap();
    wire.answer().await.unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_delivery_signed_with_a_live_key_is_refused_while_others_are_swapped() {
    let served = Arc::new(served().await);
    let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let swapping = {
        let (keys, stop, swaps) = (served.endpoint.keys().clone(), stop.clone(), swaps.clone());
        // Key 0 lives all the time: alone, newest, oldest, among eight.
        std::thread::spawn(move || {
            let mut next = 1;
            while !stop.load(SeqCst) {
                let mut ring: Vec<Secret> = (next..next + 7).map(key).collect();
                ring.truncate(next % 8);
                ring.insert(next % (ring.len() + 1), key(0));
                keys.replace(ring).unwrap();
                swaps.fetch_add(1, SeqCst);
                next += 1;
                std::thread::sleep(Duration::from_micros(50));
            }
        })
    };
    let mut senders = JoinSet::new();
    for sender in 0..16 {
        let (served, swaps) = (served.clone(), swaps.clone());
        senders.spawn(async move {
            let mut wire = served.connect().await;
            let mut number = 0;
            while number < 100 || swaps.load(SeqCst) <= 100 && number < 10_000 {
                let request = signed(0, &format!("evt_{sender}_{number}"));
                wire.write(&request.head_bytes()).await.unwrap();
                // Some bodies see several swaps on their way.
                for part in request.body.chunks(if number % 4 == 0 { 50 } else { 1000 }) {
                    wire.write(part).await.unwrap();
                    tokio::task::yield_now().await;
                }
                let answer = wire.answer().await.unwrap();
                assert_eq!(answer.status, 200, "sender {sender}, delivery {number}");
                number += 1;
            }
        });
    }
    senders.join_all().await;
    stop.store(true, SeqCst);
    swapping.join().unwrap();
    assert_eq!(served.endpoint.counts().rejected(RejectionKind::NoMatch), 0);
    let swaps = swaps.load(SeqCst);
    assert!(swaps > 100, "{swaps} swaps are no load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_key_stops_working_when_the_call_returns_under_load() {
    let served = Arc::new(served().await);
    let live = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for sender in 0..8 {
        let (served, live, stop) = (served.clone(), live.clone(), stop.clone());
        load.spawn(async move {
            let mut wire = served.connect().await;
            let mut number = 0;
            while !stop.load(SeqCst) {
                let signer = live.load(SeqCst);
                let request = signed(signer, &format!("evt_load_{sender}_{number}"));
                wire.send(&request).await.unwrap();
                let status = wire.answer().await.unwrap().status;
                // Once another one is the live one, it may have been removed.
                let still_live = live.load(SeqCst) == signer;
                assert!(status == 200 || status == 401 && !still_live, "{status}");
                number += 1;
            }
        });
    }
    for round in 0..50 {
        let (old, new) = (round, round + 1);
        let keys = served.endpoint.keys();
        // The key to be removed is the older one, or the newest.
        let mut both = [key(new), key(old)];
        both.rotate_left(round % 2);
        keys.replace(both).unwrap();
        live.store(new, SeqCst);
        let mut in_flight = Vec::new();
        for n in 0..8 {
            for signer in [old, new] {
                let request = signed(signer, &format!("evt_{round}_{n}_{signer}"));
                in_flight.push((signer, half_sent(&served, &request).await, request));
            }
        }
        keys.replace([key(new)]).unwrap();

        let fresh = served.send(&signed(old, &format!("evt_{round}_fresh_old"))).await;
        assert_eq!(fresh.status, 401, "round {round}: after the call, the removed key");
        let fresh = served.send(&signed(new, &format!("evt_{round}_fresh_new"))).await;
        assert_eq!(fresh.status, 200, "round {round}: after the call, the live key");
        for (signer, wire, request) in in_flight {
            let status = other_half(wire, &request).await;
            let expected = if signer == old { 401 } else { 200 };
            assert_eq!(status, expected, "round {round}: in flight, key {signer} of {new}");
        }
        for n in 0..8 {
            assert_eq!(served.runs.begun(&format!("evt_{round}_{n}_{old}")), 0);
        }
    }
    stop.store(true, SeqCst);
    load.join_all().await;
}

#[tokio::test]
async fn a_body_in_flight_while_its_key_becomes_the_previous_one_passes() {
    let served = served().await;
    let request = signed(0, "evt_1");
    let wire = half_sent(&served, &request).await;
    eventually("half of it is there", || served.endpoint.counts().unverified_bytes > 0).await;
    served.endpoint.keys().replace([key(1), key(0)]).unwrap();
    assert_eq!(other_half(wire, &request).await, 200);
}

#[tokio::test]
async fn a_body_in_flight_whose_key_is_added_meanwhile_passes() {
    let served = served().await;
    let request = signed(1, "evt_1");
    let wire = half_sent(&served, &request).await;
    eventually("half of it is there", || served.endpoint.counts().unverified_bytes > 0).await;
    served.endpoint.keys().replace([key(1)]).unwrap();
    assert_eq!(other_half(wire, &request).await, 200);
}

#[tokio::test]
async fn a_body_in_flight_whose_key_is_removed_meanwhile_is_refused() {
    let served = served().await;
    let request = signed(0, "evt_1");
    let wire = half_sent(&served, &request).await;
    eventually("half of it is there", || served.endpoint.counts().unverified_bytes > 0).await;
    served.endpoint.keys().replace([key(1)]).unwrap();
    assert_eq!(other_half(wire, &request).await, 401);
    assert_eq!((served.store.all_calls(), served.runs.begun("evt_1")), (0, 0));
}

#[tokio::test]
async fn a_key_that_comes_back_works_again() {
    let served = served().await;
    served.endpoint.keys().replace([key(1)]).unwrap();
    assert_eq!(served.send(&signed(0, "evt_1")).await.status, 401);
    served.endpoint.keys().replace([key(0)]).unwrap();
    assert_eq!(served.send(&signed(0, "evt_1")).await.status, 200);
    assert_eq!(served.send(&signed(1, "evt_2")).await.status, 401);
}
