//! Many deliveries of one event at once: one run each, and no answer that is
//! not true.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use dataflow_webhooks::{Delivery, EndpointBuilder, Outcome};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use webhook_tests::{
    Answer, Request, Served, State, Wire, allow_open_files, delivery, endpoint, eventually,
};

/// So many senders deliver one event at the same time.
const SENDERS: usize = 64;

/// So often something is sent again that came too late for being one of so many.
const ROUNDS: usize = 5;

/// Each of the senders delivers each event, all of them at once, event after
/// event, over a connection of its own that it keeps. Gives the answers of each
/// event.
async fn rounds(served: &Served, requests: Vec<Request>) -> Vec<Vec<Answer>> {
    let (barrier, requests) = (Arc::new(Barrier::new(SENDERS)), Arc::new(requests));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (mut wire, barrier) = (served.connect().await, barrier.clone());
        let requests = requests.clone();
        senders.spawn(async move {
            let mut answers = Vec::with_capacity(requests.len());
            for request in &*requests {
                barrier.wait().await;
                wire.write(&whole(request)).await.unwrap();
                answers.push(wire.answer().await.unwrap());
            }
            answers
        });
    }
    let mut of_each_event = vec![Vec::new(); requests.len()];
    for answers in senders.join_all().await {
        for (event, answer) in of_each_event.iter_mut().zip(answers) {
            event.push(answer);
        }
    }
    of_each_event
}

/// Head and body, to be written in one go.
fn whole(request: &Request) -> Vec<u8> {
    [request.head_bytes(), request.body_bytes()].concat()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("evt_{n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_handler_runs_once_for_64_deliveries_at_once_and_each_is_answered_200() {
    // A thousand times over: by turns a handler that ends at once, one that
    // gives way once, and one that takes a moment, so that the duplicates come
    // after it, beside it and have to wait for it.
    let served = Served::start(endpoint(), |delivery: Delivery| async move {
        let number: usize = delivery.id()["evt_".len()..].parse().unwrap();
        match number % 3 {
            0 => {}
            1 => tokio::task::yield_now().await,
            _ => sleep(Duration::from_millis(1)).await,
        }
    })
    .await;
    let ids = ids(1000);
    // Fifty at a time, so that no signature grows old on a slow machine.
    for ids in ids.chunks(50) {
        let requests = ids.iter().map(|id| delivery(id)).collect();
        for (id, answers) in ids.iter().zip(rounds(&served, requests).await) {
            assert_eq!((served.runs.begun(id), served.runs.ended(id)), (1, 1), "{id}");
            assert_eq!(answers.len(), SENDERS);
            for answer in answers {
                assert_eq!(answer.status, 200, "{id}: {}", answer.text());
            }
        }
    }
    let counts = served.endpoint.counts();
    assert_eq!(counts.outcome(Outcome::Handled), 1000);
    assert_eq!(counts.outcome(Outcome::Duplicate), 1000 * (SENDERS as u64 - 1));
    assert_eq!((counts.authentic_refused, counts.lease_lost, counts.running), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_fails_first_runs_once_more_and_never_beside_itself() {
    let running = Arc::new(Semaphore::new(1));
    let served = Served::start(endpoint(), move |delivery: Delivery| {
        let running = running.clone();
        async move {
            let _alone = running.try_acquire().expect("no other run of this event");
            tokio::task::yield_now().await;
            match delivery.epoch() {
                Some(1) => StatusCode::BAD_GATEWAY,
                _ => StatusCode::OK,
            }
        }
    })
    .await;
    for id in ids(50) {
        let answers = rounds(&served, vec![delivery(&id)]).await.remove(0);
        let failed = answers.iter().filter(|answer| answer.status == 502).count();
        let done = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((failed, done), (1, SENDERS - 1), "{id}");
        assert_eq!((served.runs.begun(&id), served.runs.ended(&id)), (2, 2), "{id}");
    }
}

/// 64 deliveries of each of 20 events at once, to a handler that does not end
/// before all of them are answered; then the same again.
async fn twenty_events_to_a_slow_handler(builder: EndpointBuilder) {
    // Both ends of each connection, for two such tests beside each other.
    allow_open_files(8192);
    let go = Arc::new(Semaphore::new(0));
    let going = go.clone();
    let served = Served::start(builder, move |_| {
        let going = going.clone();
        async move { going.acquire().await.unwrap().forget() }
    })
    .await;
    let ids = ids(20);
    let mut wires = Vec::new();
    for _ in 0..ids.len() * SENDERS {
        wires.push(served.connect().await);
    }
    let begun = |id: &String| served.runs.begun(id) == 1;
    for round in 1.. {
        let (answers, back) = all_at_once(wires, &ids).await;
        assert_eq!(answers.len(), 20 * SENDERS);
        for (id, answer) in &answers {
            assert!(answer.is_try_again(), "{id}: {answer:?}");
        }
        wires = back;
        // Of so many at once, all of one event's may be late before one is claimed.
        if ids.iter().all(begun) || round == ROUNDS {
            break;
        }
    }
    for id in &ids {
        assert_eq!((served.runs.begun(id), served.runs.ended(id)), (1, 0), "{id}");
        assert_eq!(served.store.state(id).await, State::InFlight, "{id}");
    }

    go.add_permits(ids.len());
    eventually("all handlers end", || served.endpoint.counts().running == 0).await;
    let (answers, _) = all_at_once(wires, &ids).await;
    for (id, mut answer) in answers {
        // Late for being one of so many: as the platform does, once more.
        for _ in 0..ROUNDS {
            if answer.is_try_again() {
                answer = served.deliver(&id).await;
            }
        }
        let id = &id;
        assert_eq!((answer.status, answer.text().as_str()), (200, "already handled\n"), "{id}");
        assert_eq!((served.runs.begun(id), served.runs.ended(id)), (1, 1), "{id}");
    }
}

/// Each event over 64 of the connections, all at the same time.
async fn all_at_once(wires: Vec<Wire>, ids: &[String]) -> (Vec<(String, Answer)>, Vec<Wire>) {
    let barrier = Arc::new(Barrier::new(wires.len()));
    let requests: Vec<Request> = ids.iter().map(|id| delivery(id)).collect();
    let mut senders = JoinSet::new();
    for (number, mut wire) in wires.into_iter().enumerate() {
        let barrier = barrier.clone();
        let of = number % ids.len();
        let (id, request) = (ids[of].clone(), requests[of].clone());
        senders.spawn(async move {
            barrier.wait().await;
            wire.write(&whole(&request)).await.unwrap();
            let answer = wire.answer().await.unwrap();
            ((id, answer), wire)
        });
    }
    senders.join_all().await.into_iter().unzip()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_slower_than_the_clock_runs_once_for_each_of_20_events() {
    twenty_events_to_a_slow_handler(endpoint()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_does_under_a_clock_of_one_second() {
    let soon = Duration::from_secs(1);
    twenty_events_to_a_slow_handler(endpoint().body_within(soon).answer_within(soon)).await;
}
