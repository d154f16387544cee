//! A dedup store that does to each call what a test has told it to.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use dataflow_webhooks::StoreOperation;
use dataflow_webhooks::dedup::{
    Claim, ClaimOutcome, DedupKey, DedupStore, Held, MemoryStore, StoreFuture, Terms,
};
use tokio::time::{Instant, sleep};

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The memory store answers.
    Pass,
    /// The memory store answers, after this time.
    PassAfter(Duration),
    /// The memory store does it, and then there is an error all the same.
    PassUnheard,
    /// An error, and nothing is changed.
    Fail,
    /// No answer, ever, and nothing is changed.
    Hang,
    /// The future panics when it is polled.
    Panic,
    /// The call itself panics.
    PanicInCall,
}

type Script = Box<dyn FnMut(usize) -> Fate + Send>;

/// A [`MemoryStore`] on tokio's clock (which a test may pause), behind a script
/// for each operation.
pub(crate) struct Scripted {
    /// Never fails: for looking at the records and for taking a claim away.
    pub(crate) inner: MemoryStore,
    born: Instant,
    scripts: Mutex<HashMap<StoreOperation, Script>>,
    calls: Mutex<Vec<(StoreOperation, Duration)>>,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        let born = Instant::now();
        Self {
            inner: MemoryStore::new().with_clock(move || born.elapsed()),
            born,
            scripts: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    /// Decides the fate of each call of this operation, counted from 0.
    pub(crate) fn on(
        &self,
        operation: StoreOperation,
        script: impl FnMut(usize) -> Fate + Send + 'static,
    ) {
        self.scripts.lock().unwrap().insert(operation, Box::new(script));
    }

    /// The same fate for every call of this operation.
    pub(crate) fn always(&self, operation: StoreOperation, fate: Fate) {
        self.on(operation, move |_| fate);
    }

    /// Every operation fails until this long after the store was made.
    pub(crate) fn down_until(&self, time: Duration) {
        let born = self.born;
        for &operation in StoreOperation::ALL {
            let fate = move |_| if born.elapsed() < time { Fate::Fail } else { Fate::Pass };
            self.on(operation, fate);
        }
    }

    /// When the operation was called, counted from the store's making.
    pub(crate) fn calls(&self, operation: StoreOperation) -> Vec<Duration> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(called, _)| *called == operation).map(|(_, at)| *at).collect()
    }

    /// A claim past the scripts, as another process would make it.
    pub(crate) async fn claim_elsewhere(&self, id: &str) -> ClaimOutcome {
        self.inner.claim(&DedupKey::from_event_id(id), Terms::default()).await.unwrap()
    }

    fn fate(&self, operation: StoreOperation) -> Fate {
        let nth = self.calls(operation).len();
        self.calls.lock().unwrap().push((operation, self.born.elapsed()));
        match self.scripts.lock().unwrap().get_mut(&operation) {
            Some(script) => script(nth),
            None => Fate::Pass,
        }
    }

    fn meet<'a, T>(
        &self,
        operation: StoreOperation,
        answer: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        let fate = self.fate(operation);
        assert_ne!(fate, Fate::PanicInCall, "the script says so");
        Box::pin(async move {
            match fate {
                Fate::Pass => {}
                Fate::PassAfter(time) => sleep(time).await,
                Fate::PassUnheard => {
                    answer().await?;
                    return Err("the answer was lost".into());
                }
                Fate::Fail => return Err("the script says no".into()),
                Fate::Hang => std::future::pending().await,
                Fate::Panic | Fate::PanicInCall => panic!("the script says so"),
            }
            answer().await
        })
    }
}

impl DedupStore for Scripted {
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
        self.meet(StoreOperation::Claim, move || self.inner.claim(key, terms))
    }

    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        self.meet(StoreOperation::Renew, move || self.inner.renew(claim, terms))
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        self.meet(StoreOperation::Commit, move || self.inner.commit(claim, terms))
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        self.meet(StoreOperation::Release, move || self.inner.release(claim, terms))
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        self.inner.forget(key)
    }
}
