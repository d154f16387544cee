//! Headers that are missing, cut, long or many; floods of wrong ones; keys that
//! are no longer keys.

use std::net::SocketAddr;

use dataflow_webhooks::{RejectionKind, SIGNATURE_HEADER, Secret, sign};
use jiff::Timestamp;
use webhook_tests::{Request, Wire, secret};

use super::{Watched, event};

/// A delivery with this signature header, whatever it is.
fn with_header(value: impl Into<Vec<u8>>) -> Request {
    Request::unsigned(event("evt_1")).header(SIGNATURE_HEADER, value)
}

/// CVE-2026-21894.
mod a_missing_header_is_401 {
    use super::*;

    async fn holds(to: SocketAddr) {
        let answer = Request::unsigned(event("evt_1")).send(to).await.unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
        let answer = Request::signed(event("evt_1")).send(to).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    #[tokio::test]
    async fn under_axum() {
        let watched = Watched::start().await;
        holds(watched.receiver.address()).await;
        let one_run = ["claim id:evt_1", "begin evt_1", "end evt_1", "commit id:evt_1"];
        assert_eq!(watched.journal.take(), one_run);
    }

    #[tokio::test]
    async fn under_hyper_alone() {
        holds(crate::under_hyper_alone().await).await;
    }
}

/// RUSTSEC-2024-0010 (svix).
#[tokio::test]
async fn a_prefix_an_empty_and_an_extended_value_never_match() {
    let watched = Watched::start().await;
    let good = sign(&secret(), Timestamp::now(), &event("evt_1"));
    let (t, hash) = good.split_once(",v1=").unwrap();
    let lengths = [0, 1, 2, 31, 32, 62, 63];
    let shortened = lengths.map(|length| format!("{t},v1={}", &hash[..length]));
    let extended = ["0", "00", "=", " 0", hash].map(|more| format!("{good}{more}"));
    for value in shortened.into_iter().chain(extended) {
        assert_eq!(watched.status_of(with_header(&*value)).await, 401, "{value}");
    }
    assert_eq!(watched.journal.take(), [""; 0]);
}

/// CVE-2025-53548 (Clerk).
#[tokio::test]
async fn of_a_list_of_signatures_one_must_match() {
    let watched = Watched::start().await;
    // Another event each time, or the second would be a duplicate.
    let values = |id: &str| {
        let good = sign(&secret(), Timestamp::now(), &event(id));
        let (t, hash) = good.split_once(',').unwrap();
        let wrong = format!("v1={}", "0".repeat(64));
        [
            (401, t.to_owned()),
            (200, format!("{t},{wrong},{hash}")),
            (200, format!("{t},v1=potato,{hash},{wrong}")),
            (401, format!("{t},{wrong},{wrong}")),
            (401, format!("{t},v1=,v1=potato,v1")),
            (401, format!("{t},v0{},v2{}", &hash[2..], &hash[2..])),
            (401, format!("{t},{}", vec![&*wrong; 17].join(","))),
        ]
    };
    for number in 0..values("").len() {
        let id = format!("evt_{number}");
        let (status, value) = values(&id)[number].clone();
        let request = Request::unsigned(event(&id)).header(SIGNATURE_HEADER, &*value);
        assert_eq!(watched.status_of(request).await, status, "{value}");
    }
}

/// CVE-2026-34505.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_signatures_never_reaches_the_store() {
    let watched = Watched::start().await;
    let address = watched.receiver.address();
    let wrong = Secret::new("whsec_somebody_elses_secret").unwrap();
    let floods: Vec<_> = (0..16)
        .map(|flood| {
            let wrong = wrong.clone();
            tokio::spawn(async move {
                let mut wire = Wire::connect(address).await.unwrap();
                for number in 0..100 {
                    let body = event(&format!("evt_{flood}_{number}"));
                    wire.send(&Request::signed_with(&wrong, 0, body)).await.unwrap();
                    assert_eq!(wire.answer().await.unwrap().status, 401);
                }
            })
        })
        .collect();
    for flood in floods {
        flood.await.unwrap();
    }
    assert_eq!(watched.journal.take(), [""; 0]);
    assert_eq!(watched.endpoint.counts().rejected(RejectionKind::NoMatch), 1600);
    // And the store is there for who knows the secret.
    assert_eq!(watched.status_of(Request::signed(event("evt_1"))).await, 200);
    assert_eq!(watched.journal.take().len(), 4);
}

/// CVE-2026-45005.
#[tokio::test]
async fn after_a_swap_the_removed_key_stops_working_at_once() {
    let watched = Watched::start().await;
    let next = Secret::new("whsec_the_one_just_made").unwrap();
    // One whose body is under way while the keys are replaced.
    let mut wire = Wire::connect(watched.receiver.address()).await.unwrap();
    let half_sent = Request::signed(event("evt_half"));
    wire.write(&half_sent.head_bytes()).await.unwrap();
    wire.write(&half_sent.body[..10]).await.unwrap();
    assert_eq!(watched.status_of(Request::signed(event("evt_old"))).await, 200);

    watched.endpoint.keys().replace([next.clone()]).unwrap();
    watched.journal.take();
    assert_eq!(watched.status_of(Request::signed(event("evt_removed"))).await, 401);
    wire.write(&half_sent.body[10..]).await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 401);
    assert_eq!(watched.journal.take(), [""; 0]);
    assert_eq!(watched.status_of(Request::signed_with(&next, 0, event("evt_new"))).await, 200);
}
