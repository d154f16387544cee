//! What the tests of the stores say again and again.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use dataflow_webhooks::dedup::{BoxError, Claim, ClaimOutcome, DedupKey, DedupStore, Held, Terms};
use dataflow_webhooks_redis::{RedisStoreError, RedisStoreErrorKind};
use dataflow_webhooks_sqlx::{SqlStoreError, SqlStoreErrorKind};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

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
    sleep(Duration::from_millis(120)).await;
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

/// The error of a call of a store in SQL that must fail.
///
/// # Panics
///
/// When it does not.
pub fn sql_error(answer: Result<impl Debug, BoxError>) -> SqlStoreError {
    own_error(answer)
}

/// The error of a call of a store in Redis that must fail.
///
/// # Panics
///
/// When it does not.
pub fn redis_error(answer: Result<impl Debug, BoxError>) -> RedisStoreError {
    own_error(answer)
}

fn own_error<E: Error + 'static>(answer: Result<impl Debug, BoxError>) -> E {
    *answer.unwrap_err().downcast().expect("the store's errors are its own")
}

/// Calls until one succeeds, for at most a minute; for servers that need time to come to
/// themselves, and machines under load.
///
/// # Panics
///
/// When none does.
pub async fn at_last<T, E: Debug>(mut call: impl AsyncFnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) if Instant::now() > end => panic!("it never did: {error:?}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Runs all of these at once, on this thread.
///
/// # Panics
///
/// When one of them does.
pub async fn side_by_side<F: Future<Output = ()> + 'static>(all: impl IntoIterator<Item = F>) {
    let each = async {
        let mut tasks = JoinSet::new();
        for one in all {
            tasks.spawn_local(one);
        }
        // A `LocalSet` that is awaited by itself keeps their panics to itself.
        tasks.join_all().await;
    };
    LocalSet::new().run_until(each).await;
}

/// Has `clients`, each with the next one of these stores, claim `each` of `ids` events at once, in
/// an order of each one's own, and commit what is new.
///
/// # Panics
///
/// When an event has no winner, or two.
pub async fn each_event_has_one_winner<S: DedupStore + Clone + 'static>(
    (clients, each, ids): (usize, usize, usize),
    stores: &[S],
) {
    let mut tasks = JoinSet::new();
    for (client, store) in stores.iter().cycle().take(clients).cloned().enumerate() {
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
    let sql = error.downcast_ref().map(SqlStoreError::kind);
    let redis = error.downcast_ref().map(RedisStoreError::kind);
    matches!(sql, Some(SqlStoreErrorKind::TimedOut | SqlStoreErrorKind::Locked))
        || redis == Some(RedisStoreErrorKind::TimedOut)
}

/// Makes of each `async fn rule(place: impl Place)` a test on each kind of database. The test program
/// has a module `place` with these two, and their trait.
#[allow(clippy::crate_in_macro_def, reason = "each test program has a place of its own")]
#[macro_export]
macro_rules! on_each_database {
    ($($rule:ident),+ $(,)?) => { $(
        mod $rule {
            use super::$rule;
            use crate::place::{OnPostgres, OnSqlite, Place as _};

            #[test]
            fn on_postgresql() {
                $crate::awake::unless_stalled(async || $rule(OnPostgres::new().await).await);
            }

            #[test]
            fn on_sqlite() {
                $crate::awake::unless_stalled(async || $rule(OnSqlite::new().await).await);
            }
        }
    )+ };
}
