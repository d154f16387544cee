//! Thousands of senders of which two in three hang up while their event's handler
//! runs: every handler ends, every claim is settled, and nothing panics.
//!
//! A program of its own, for the panic hook is the whole process's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks::{Delivery, Outcome, StoreOperation};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use webhook_tests::{
    Chance, Served, Stack, State, delivery, endpoint, eventually, on_each_stack, panics,
    watch_for_panics,
};

on_each_stack! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    of_3000_senders_two_in_three_hang_up_and_every_claim_is_settled,
}

const EVENTS: usize = 3000;

/// So many of them at a time.
const AT_A_TIME: usize = 100;

/// One event in so many has a handler that ends only when all senders are through.
const LATE: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Closes,
    Resets,
}

const FATES: [Fate; 3] = [Fate::Stays, Fate::Closes, Fate::Resets];

/// What becomes of one event, and what its handler waits for.
struct Plan {
    id: String,
    fate: Fate,
    is_late: bool,
    /// How long the sender waits before it hangs up, and the handler after.
    pauses: [Duration; 2],
    end: Arc<Semaphore>,
}

fn plans(chance: &mut Chance) -> Vec<Plan> {
    let mut plans: Vec<_> = (0..EVENTS)
        .map(|number| {
            let fate = FATES[number % FATES.len()];
            Plan {
                id: format!("evt_{number}"),
                fate,
                is_late: fate != Fate::Stays && chance.below(LATE) == 0,
                pauses: [(); 2].map(|()| Duration::from_micros(chance.below(4000) as u64)),
                end: Arc::new(Semaphore::new(0)),
            }
        })
        .collect();
    chance.shuffle(&mut plans);
    plans
}

/// Delivers an event, and hangs up or does not while its handler runs.
async fn send(served: &Served, plan: &Plan) {
    let mut wire = served.connect().await;
    wire.send(&delivery(&plan.id)).await.unwrap();
    eventually("its handler begins", || served.runs.begun(&plan.id) == 1).await;
    sleep(plan.pauses[0]).await;
    let stays = match plan.fate {
        Fate::Stays => Some(wire),
        Fate::Closes => None,
        Fate::Resets => {
            wire.reset().unwrap();
            None
        }
    };
    if !plan.is_late {
        sleep(plan.pauses[1]).await;
        plan.end.add_permits(1);
    }
    if let Some(mut wire) = stays {
        assert_eq!(wire.answer().await.unwrap().status, 200, "{}", plan.id);
    }
}

async fn of_3000_senders_two_in_three_hang_up_and_every_claim_is_settled(stack: Stack) {
    watch_for_panics();
    let seed = Chance::seed_of_this_run();
    let mut plans = plans(&mut Chance::from_seed(seed));
    let ends: HashMap<_, _> =
        plans.iter().map(|plan| (plan.id.clone(), plan.end.clone())).collect();
    let served = Served::start_on(stack, endpoint(), move |delivery: Delivery| {
        let end = ends[delivery.id()].clone();
        async move { end.acquire().await.unwrap().forget() }
    });
    let served = Arc::new(served.await);

    let (mut senders, mut sent) = (JoinSet::new(), Vec::new());
    while let Some(plan) = plans.pop() {
        if senders.len() == AT_A_TIME {
            sent.push(senders.join_next().await.unwrap().unwrap());
        }
        let served = served.clone();
        senders.spawn(async move {
            send(&served, &plan).await;
            plan
        });
    }
    sent.extend(senders.join_all().await);

    // Those that end now were given to the runtime for certain, or to the worker.
    let late = |plan: &&Plan| plan.is_late && (plan.fate == Fate::Resets || stack == Stack::Axum);
    let handed_over = sent.iter().filter(late).count() as u64;
    let counts = || served.endpoint.counts();
    let gone = || counts().outcome(Outcome::HungUp) + counts().outcome(Outcome::Late);
    eventually("the senders are missed", || gone() >= handed_over).await;
    sent.iter().filter(|plan| plan.is_late).for_each(|plan| plan.end.add_permits(1));

    let drained = timeout(Duration::from_secs(20), served.endpoint.drain()).await;
    assert!(drained.is_ok(), "{stack} does not drain: {:?}", counts());
    for Plan { id, fate, .. } in &sent {
        let run = (served.runs.begun(id), served.runs.ended(id), served.store.state(id).await);
        assert_eq!(run, (1, 1, State::Done), "{stack}: {id} {fate:?}, WEBHOOK_TESTS_SEED={seed}");
    }
    let commits = served.store.calls(StoreOperation::Commit);
    eprintln!("{stack}: {} hung up, {handed_over} of them late ones", gone());
    assert_eq!((sent.len(), commits), (EVENTS, EVENTS), "{stack}");
    let counts = counts();
    assert_eq!((counts.running, counts.pending_commits), (0, 0), "{stack}");
    assert_eq!((counts.unverified_bytes, counts.lease_lost), (0, 0), "{stack}");
    assert_eq!(counts.handlers_succeeded, EVENTS as u64, "{stack}");
    assert!(handed_over > 0, "nothing has been tested");
    assert_eq!(panics(), [""; 0], "{stack}, WEBHOOK_TESTS_SEED={seed}");
}
