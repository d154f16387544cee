//! The time that each call of a store takes, and how many pairs of them fit into a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::{BoxError, Claim, ClaimOutcome, DedupKey, DedupStore, Held, Terms};
use tokio::task::JoinSet;
use webhook_tests::Chance;

use crate::figures::Figures;

/// Pairs between two looks at the clock.
const BATCH: u64 = 8;

/// A call that is timed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The claim of an event that the store does not know.
    Claim,
    /// The claim of an event that is done.
    Duplicate,
    Renew,
    Commit,
    Release,
}

impl Operation {
    pub(crate) const ALL: [Self; 5] =
        [Self::Claim, Self::Duplicate, Self::Renew, Self::Commit, Self::Release];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Duplicate => "duplicate",
            Self::Renew => "renew",
            Self::Commit => "commit",
            Self::Release => "release",
        }
    }
}

/// What was measured of one store.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Microseconds of single calls, as [`Operation::ALL`].
    calls: [Figures; Operation::ALL.len()],
    /// Microseconds of claim and commit, one pair after the other.
    pub(crate) pair: Figures,
    /// Pairs a second with many under way.
    pub(crate) at_once: Figures,
}

impl Times {
    pub(crate) fn of(&self, operation: Operation) -> &Figures {
        &self.calls[operation as usize]
    }

    /// Measures for four times this long: half of it single calls, of which many are needed
    /// for a percentile.
    pub(crate) async fn measure(
        &mut self,
        store: &Arc<dyn DedupStore>,
        keys: &mut Keys,
        time: Duration,
        at_once: usize,
    ) -> Result<(), BoxError> {
        let end = Instant::now() + 2 * time;
        while Instant::now() < end {
            self.each_call(&**store, &keys.next(), &keys.next()).await?;
        }
        in_a_row(&**store, keys, time, &mut self.pair).await?;
        let began = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..at_once {
            all.spawn(pairs_of(store.clone(), keys.branch(), began + time));
        }
        let mut pairs = 0;
        while let Some(done) = all.join_next().await {
            pairs += done??;
        }
        self.at_once.add(pairs as f64 / began.elapsed().as_secs_f64());
        Ok(())
    }

    /// One of each. The second key is released, for a release after a commit does nothing.
    async fn each_call(
        &mut self,
        store: &dyn DedupStore,
        done: &DedupKey,
        released: &DedupKey,
    ) -> Result<(), BoxError> {
        let terms = Terms::default();
        let claim = self.timed(Operation::Claim, store.claim(done, terms)).await?;
        let claim = new(claim)?;
        held(self.timed(Operation::Renew, store.renew(&claim, terms)).await?)?;
        held(self.timed(Operation::Commit, store.commit(&claim, terms)).await?)?;
        let duplicate = self.timed(Operation::Duplicate, store.claim(done, terms)).await?;
        if duplicate != ClaimOutcome::Done {
            return Err(format!("a duplicate is {duplicate:?}").into());
        }
        let claim = new(store.claim(released, terms).await?)?;
        held(self.timed(Operation::Release, store.release(&claim, terms)).await?)
    }

    async fn timed<T>(&mut self, operation: Operation, call: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = call.await;
        self.calls[operation as usize].add(began.elapsed().as_secs_f64() * 1e6);
        answer
    }
}

/// Claim and commit, one pair after the other, for so long; making the keys does not count.
async fn in_a_row(
    store: &dyn DedupStore,
    keys: &mut Keys,
    time: Duration,
    figures: &mut Figures,
) -> Result<(), BoxError> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let batch: Vec<_> = (0..BATCH).map(|_| keys.next()).collect();
        let began = Instant::now();
        for key in &batch {
            claim_and_commit(store, key).await?;
        }
        figures.add(began.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
    }
    Ok(())
}

async fn pairs_of(
    store: Arc<dyn DedupStore>,
    mut keys: Keys,
    end: Instant,
) -> Result<u64, BoxError> {
    let mut pairs = 0;
    while Instant::now() < end {
        for _ in 0..BATCH {
            claim_and_commit(&*store, &keys.next()).await?;
        }
        pairs += BATCH;
    }
    Ok(pairs)
}

/// Puts so many records into a store, each done, many at once.
pub(crate) async fn fill(
    store: &Arc<dyn DedupStore>,
    keys: &mut Keys,
    records: u64,
    at_once: u64,
) -> Result<(), BoxError> {
    let mut all = JoinSet::new();
    for _ in 0..at_once {
        let (store, mut keys) = (store.clone(), keys.branch());
        all.spawn(async move {
            for _ in 0..records / at_once {
                claim_and_commit(&*store, &keys.next()).await?;
            }
            Ok::<_, BoxError>(())
        });
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(())
}

async fn claim_and_commit(store: &dyn DedupStore, key: &DedupKey) -> Result<(), BoxError> {
    let terms = Terms::default();
    let claim = new(store.claim(key, terms).await?)?;
    held(store.commit(&claim, terms).await?)
}

fn new(outcome: ClaimOutcome) -> Result<Claim, BoxError> {
    match outcome {
        ClaimOutcome::New(claim) => Ok(claim),
        other => Err(format!("the claim of a new event is {other:?}").into()),
    }
}

fn held(held: Held) -> Result<(), BoxError> {
    if held == Held::Yes { Ok(()) } else { Err("a claim was lost".into()) }
}

/// Keys that nobody has had before, of ids of 32 characters as the platform's begin.
pub(crate) struct Keys(Chance);

impl Keys {
    pub(crate) fn new() -> Self {
        Self(Chance::from_seed(Chance::seed_of_this_run()))
    }

    /// Others.
    pub(crate) fn branch(&mut self) -> Self {
        Self(Chance::from_seed(self.0.number()))
    }

    pub(crate) fn next_id(&mut self) -> String {
        let number = u128::from(self.0.number()) << 64 | u128::from(self.0.number());
        format!("evt_{:028x}", number >> 16)
    }

    pub(crate) fn next(&mut self) -> DedupKey {
        DedupKey::from_event_id(&self.next_id())
    }
}
