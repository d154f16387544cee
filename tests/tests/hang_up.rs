//! Senders that hang up at every moment of a delivery: its event runs once, and
//! is answered 200 in the end. What becomes of the handler is in `parity`.

use std::time::Duration;

use tokio::time::sleep;
use webhook_tests::{Http2, Served, Stack, Wire, delivery, endpoint, eventually, on_each_stack};

on_each_stack! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    however_soon_after_the_body_the_sender_hangs_up_its_event_runs_once,
    #[tokio::test]
    wherever_in_the_request_the_sender_hangs_up_only_a_whole_body_runs,
}

#[derive(Clone, Copy)]
enum End {
    Half,
    Close,
    Reset,
}

/// Hangs up so.
async fn hang_up(mut wire: Wire, end: End) {
    match end {
        End::Half => {
            wire.finish().await.unwrap();
            // The other half stays open for as long as it likes.
            tokio::spawn(
                async move { while !wire.is_closed_within(Duration::from_secs(5)).await {} },
            );
        }
        End::Close => drop(wire),
        End::Reset => wire.reset().unwrap(),
    }
}

/// A handler that takes a few milliseconds.
async fn brief(stack: Stack) -> Served {
    Served::start_on(stack, endpoint(), |_| sleep(Duration::from_millis(5))).await
}

/// The platform's retry of each event: none of them may run again.
async fn each_has_run_once_after_a_retry(served: &Served, ids: &[String]) {
    for id in ids {
        assert_eq!(served.deliver(id).await.status, 200, "{id}");
        assert_eq!((served.runs.begun(id), served.runs.ended(id)), (1, 1), "{id}");
    }
    let counts = served.endpoint.counts();
    assert_eq!((counts.running, counts.unverified_bytes, counts.lease_lost), (0, 0, 0));
}

async fn however_soon_after_the_body_the_sender_hangs_up_its_event_runs_once(stack: Stack) {
    let served = brief(stack).await;
    let mut ids = Vec::new();
    for (end, name) in [(End::Half, "half"), (End::Close, "close"), (End::Reset, "reset")] {
        // From at once to after the answer.
        for tenths in 0..80 {
            let id = format!("evt_{name}_{tenths}");
            let mut wire = served.connect().await;
            wire.send(&delivery(&id)).await.unwrap();
            sleep(Duration::from_micros(100 * tenths)).await;
            hang_up(wire, end).await;
            ids.push(id);
        }
    }
    each_has_run_once_after_a_retry(&served, &ids).await;
}

async fn wherever_in_the_request_the_sender_hangs_up_only_a_whole_body_runs(stack: Stack) {
    let served = brief(stack).await;
    let request = delivery("evt_1");
    let bytes = [request.head_bytes(), request.body_bytes()].concat();
    for end in [End::Half, End::Close, End::Reset] {
        for cut in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
            let mut wire = served.connect().await;
            wire.write(&bytes[..cut]).await.unwrap();
            hang_up(wire, end).await;
        }
    }
    // Behind all of those, one that is whole.
    assert_eq!(served.deliver("evt_2").await.status, 200);
    eventually("all are forgotten", || served.endpoint.counts().unverified_bytes == 0).await;
    assert_eq!((served.runs.begun("evt_1"), served.store.calls(CLAIM)), (0, 1));
    each_has_run_once_after_a_retry(&served, &["evt_1".to_owned()]).await;
}

const CLAIM: dataflow_webhooks::StoreOperation = dataflow_webhooks::StoreOperation::Claim;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_soon_a_stream_is_reset_its_event_runs_once() {
    let served = brief(Stack::Axum).await;
    let mut sender = Http2::connect(served.address()).await;
    let mut ids = Vec::new();
    for tenths in 0..80 {
        let id = format!("evt_{tenths}");
        let answering = sender.send(&delivery(&id));
        sleep(Duration::from_micros(100 * tenths)).await;
        drop(answering);
        ids.push(id);
    }
    each_has_run_once_after_a_retry(&served, &ids).await;
}
