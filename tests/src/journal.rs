//! A store that writes down what it is asked, and a journal that others may
//! write into as well.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataflow_webhooks::dedup::{ClaimOutcome, Held, StoreFuture};
use dataflow_webhooks::{Claim, DedupKey, DedupStore, MemoryStore, Terms};

/// What happened, in order. Clones are one journal.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    /// Adds a line.
    pub fn write(&self, line: impl Into<String>) {
        self.lines().push(line.into());
    }

    /// Takes all lines out.
    #[allow(clippy::must_use_candidate, reason = "to empty it is a reason to call it")]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines())
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`MemoryStore`] that writes each call into its journal: the operation and
/// the key, as in `claim id:evt_1`. Calls are written down when they are
/// answered.
#[derive(Debug, Clone, Default)]
pub struct JournalStore {
    store: MemoryStore,
    journal: Journal,
}

impl JournalStore {
    /// A store that writes into this journal.
    #[must_use]
    pub fn new(journal: &Journal) -> Self {
        Self { store: MemoryStore::new(), journal: journal.clone() }
    }
}

impl DedupStore for JournalStore {
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(async move {
            let answer = self.store.claim(key, terms).await;
            self.journal.write(format!("claim {key}"));
            answer
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let answer = self.store.renew(claim, terms).await;
            self.journal.write(format!("renew {}", claim.key()));
            answer
        })
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let answer = self.store.commit(claim, terms).await;
            self.journal.write(format!("commit {}", claim.key()));
            answer
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let answer = self.store.release(claim, terms).await;
            self.journal.write(format!("release {}", claim.key()));
            answer
        })
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let answer = self.store.forget(key).await;
            self.journal.write(format!("forget {key}"));
            answer
        })
    }
}
