//! What the tests of the stores in SQL say again and again.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use dataflow_webhooks::dedup::{BoxError, Claim, ClaimOutcome, DedupKey, DedupStore, Held, Terms};
use dataflow_webhooks_sqlx::{SqlStoreError, SqlStoreErrorKind};

/// Lease 30 s, retention 24 h.
#[must_use]
pub fn terms() -> Terms {
    Terms::default()
}

/// These terms with a lease of 50 ms.
#[must_use]
pub fn short_lease() -> Terms {
    Terms::new(Duration::from_millis(50), terms().retention())
}

/// These terms with a retention of 50 ms.
#[must_use]
pub fn short_retention() -> Terms {
    Terms::new(Duration::from_millis(50), Duration::from_millis(50))
}

/// Waits until a lease or a retention of 50 ms has surely lapsed.
pub async fn lapse() {
    tokio::time::sleep(Duration::from_millis(120)).await;
}

/// The key of the event with this id.
#[must_use]
pub fn key(id: &str) -> DedupKey {
    DedupKey::from_event_id(id)
}

/// A claim that must be new.
///
/// # Panics
///
/// When it is not.
pub async fn new_claim(store: &impl DedupStore, id: &str) -> Claim {
    new_claim_for(store, id, terms()).await
}

/// A claim on these terms that must be new.
///
/// # Panics
///
/// When it is not.
pub async fn new_claim_for(store: &impl DedupStore, id: &str, terms: Terms) -> Claim {
    match store.claim(&key(id), terms).await.unwrap() {
        ClaimOutcome::New(claim) => claim,
        other => panic!("{id} must be New, was {other:?}"),
    }
}

/// What a claim of this event is answered.
///
/// # Panics
///
/// When it fails.
pub async fn claimed(store: &impl DedupStore, id: &str) -> ClaimOutcome {
    store.claim(&key(id), terms()).await.unwrap()
}

/// Claims the event and commits it.
///
/// # Panics
///
/// When either is refused.
pub async fn done(store: &impl DedupStore, id: &str) {
    let claim = new_claim(store, id).await;
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
}

/// The store's own error of a call that must fail.
///
/// # Panics
///
/// When it does not.
pub fn failure<E: Error + 'static>(answer: Result<impl Debug, BoxError>) -> E {
    *answer.unwrap_err().downcast().expect("the store's errors are its own")
}

/// Has `clients` stores, each made by `store`, claim `each` of `ids` events at once, in an order of
/// each one's own, and commit what is new.
///
/// # Panics
///
/// When an event has no winner, or two.
pub async fn each_event_has_one_winner<S: DedupStore + 'static>(
    (clients, each, ids): (usize, usize, usize),
    store: impl Fn() -> S,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        let store = store();
        tasks.spawn(async move {
            let mut won = Vec::new();
            for step in 0..each {
                let id = (client * 37 + step * 7) % ids;
                let key = key(&format!("evt_{id}"));
                match store.claim(&key, terms()).await {
                    Ok(ClaimOutcome::New(claim)) => {
                        assert_eq!(claim.epoch(), 1, "{key} was New twice");
                        won.push(id);
                        commit(&store, &claim).await;
                    }
                    Ok(ClaimOutcome::Done | ClaimOutcome::InFlight) => {}
                    // It may have been made all the same.
                    Err(error) if is_too_late(&error) => won.push(id),
                    Err(error) => panic!("{key}: {error:?}"),
                }
            }
            won
        });
    }
    let won: HashSet<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), ids);
}

/// Commits, however often a call takes too long.
async fn commit(store: &impl DedupStore, claim: &Claim) {
    loop {
        match store.commit(claim, terms()).await {
            Ok(held) => return assert_eq!(held, Held::Yes),
            Err(error) if is_too_late(&error) => {}
            Err(error) => panic!("{claim:?}: {error:?}"),
        }
    }
}

/// As happens on a loaded machine.
fn is_too_late(error: &BoxError) -> bool {
    let error = error.downcast_ref::<SqlStoreError>();
    error.is_some_and(|error| error.kind() == SqlStoreErrorKind::TimedOut)
}
