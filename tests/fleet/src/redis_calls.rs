//! What the tests of the store in Redis say again and again.

use std::time::Duration;

use dataflow_webhooks::dedup::{BoxError, Claim, ClaimOutcome, DedupKey, DedupStore, Held, Terms};
use dataflow_webhooks_redis::{RedisStore, RedisStoreError};

/// Lease 30 s, retention 24 h.
#[must_use]
pub fn terms() -> Terms {
    Terms::default()
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
pub async fn new_claim(store: &RedisStore, id: &str) -> Claim {
    match store.claim(&key(id), terms()).await.unwrap() {
        ClaimOutcome::New(claim) => claim,
        other => panic!("{id} must be New, was {other:?}"),
    }
}

/// Claims the event and commits it.
///
/// # Panics
///
/// When either is refused.
pub async fn done(store: &RedisStore, id: &str) {
    let claim = new_claim(store, id).await;
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
}

/// The store's own error of a call that must fail.
///
/// # Panics
///
/// When it does not.
pub fn failure<T: std::fmt::Debug>(answer: Result<T, BoxError>) -> RedisStoreError {
    *answer.unwrap_err().downcast().expect("the store's errors are its own")
}

/// Calls until one succeeds, for at most half a minute; for servers that need time to come to
/// themselves.
///
/// # Panics
///
/// When none does.
pub async fn at_last<T, E: std::fmt::Debug>(mut call: impl AsyncFnMut() -> Result<T, E>) -> T {
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) if tokio::time::Instant::now() > end => panic!("it never did: {error:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
