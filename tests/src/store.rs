//! A dedup store that a test can watch, break and hold up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use dataflow_webhooks::dedup::{ClaimOutcome, Held, StoreFuture};
use dataflow_webhooks::{
    BoxError, Claim, DedupKey, DedupStore, MemoryStore, StoreOperation, Terms,
};
use tokio::sync::watch;

const OPERATIONS: usize = StoreOperation::ALL.len();

/// A [`MemoryStore`] that counts its calls, and fails or delays those it is
/// told to. Clones are one store.
#[derive(Debug, Clone, Default)]
pub struct WatchedStore(Arc<Watched>);

#[derive(Debug, Default)]
struct Watched {
    records: MemoryStore,
    calls: [AtomicUsize; OPERATIONS],
    /// How many further calls fail.
    failing: [AtomicUsize; OPERATIONS],
    /// Are answers held back?
    held: [watch::Sender<bool>; OPERATIONS],
}

impl WatchedStore {
    /// A store that watches over these records.
    #[must_use]
    pub fn over(records: MemoryStore) -> Self {
        Self(Arc::new(Watched { records, ..Watched::default() }))
    }

    /// How often this operation was called.
    #[must_use]
    pub fn calls(&self, operation: StoreOperation) -> usize {
        self.0.calls[operation as usize].load(SeqCst)
    }

    /// How often any operation was called.
    #[must_use]
    pub fn all_calls(&self) -> usize {
        StoreOperation::ALL.iter().map(|operation| self.calls(*operation)).sum()
    }

    /// The next calls of this operation fail, so many of them, before they do
    /// anything.
    pub fn fail(&self, operation: StoreOperation, calls: usize) {
        self.0.failing[operation as usize].store(calls, SeqCst);
    }

    /// From now on this operation does its work and does not answer.
    pub fn hold(&self, operation: StoreOperation) {
        self.0.held[operation as usize].send_replace(true);
    }

    /// Lets all held answers of this operation go.
    pub fn let_go(&self, operation: StoreOperation) {
        self.0.held[operation as usize].send_replace(false);
    }

    /// What the store says of an event, asked past all counts and faults. The
    /// claim that this makes, where it makes one, is released at once; the
    /// event's epochs go on from there.
    ///
    /// # Panics
    ///
    /// Never: the memory store has room.
    pub async fn state(&self, id: &str) -> State {
        let (key, terms) = (DedupKey::from_event_id(id), Terms::default());
        match self.0.records.claim(&key, terms).await.expect("room") {
            ClaimOutcome::Done => State::Done,
            ClaimOutcome::InFlight => State::InFlight,
            ClaimOutcome::New(claim) => {
                let _ = self.0.records.release(&claim, terms).await.expect("it answers");
                State::Free
            }
        }
    }

    async fn asked(&self, operation: StoreOperation) -> Result<(), BoxError> {
        self.0.calls[operation as usize].fetch_add(1, SeqCst);
        let one_less = |left: usize| left.checked_sub(1);
        match self.0.failing[operation as usize].fetch_update(SeqCst, SeqCst, one_less) {
            Ok(_) => Err("told to fail".into()),
            Err(_) => Ok(()),
        }
    }

    async fn answering(&self, operation: StoreOperation) {
        let mut held = self.0.held[operation as usize].subscribe();
        // The sender lives as long as the store does.
        let _ = held.wait_for(|held| !held).await;
    }
}

/// What a store knows of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "tests match it")]
pub enum State {
    /// The next delivery runs it.
    Free,
    /// Claimed, its lease running.
    InFlight,
    /// Done.
    Done,
}

impl DedupStore for WatchedStore {
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(async move {
            self.asked(StoreOperation::Claim).await?;
            let answer = self.0.records.claim(key, terms).await;
            self.answering(StoreOperation::Claim).await;
            answer
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            self.asked(StoreOperation::Renew).await?;
            let answer = self.0.records.renew(claim, terms).await;
            self.answering(StoreOperation::Renew).await;
            answer
        })
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            self.asked(StoreOperation::Commit).await?;
            let answer = self.0.records.commit(claim, terms).await;
            self.answering(StoreOperation::Commit).await;
            answer
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            self.asked(StoreOperation::Release).await?;
            let answer = self.0.records.release(claim, terms).await;
            self.answering(StoreOperation::Release).await;
            answer
        })
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        self.0.records.forget(key)
    }
}
