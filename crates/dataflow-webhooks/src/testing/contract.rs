//! Owns the contract of a dedup store as a suite that its author runs.

mod at_once;
mod check;
mod list;
mod model;
mod rules;

use std::time::Duration;

pub(super) use self::check::{drop_after_polls, in_full, join};

use self::check::Check;
use crate::dedup::{DedupStore, Terms};

/// The contract of a [`DedupStore`], as a suite to run against one.
///
/// It needs two things of a store's author: how to make an empty store, and how to let time pass
/// for it – by moving a clock that the store reads, or by sleeping when the store's clock is a
/// server's. Each rule makes a store of its own.
///
/// Run everything in one test:
///
/// ```
/// use dataflow_webhooks::dedup::MemoryStore;
/// use dataflow_webhooks::testing::{ManualClock, StoreContract};
///
/// let clock = ManualClock::new();
/// let contract = StoreContract::new(
///     async || {
///         let clock = clock.clone();
///         MemoryStore::new().with_clock(move || clock.now())
///     },
///     async |time| clock.advance(time),
/// );
/// pollster::block_on(contract.run());
/// ```
///
/// or stamp a test for each rule with [`store_contract_tests!`](crate::store_contract_tests). Then
/// let [`random_ops`](Self::random_ops) look for what no rule names.
///
/// All time is in [ticks](Self::tick): the lease is 2.5 of them and the retention 8.5, and time
/// passes in whole ticks, so that no answer hangs on what happens within half a tick of a limit.
///
/// # Panics
///
/// This is code for tests: every method that checks panics when the store breaks the contract, with
/// the name of the rule and the call that was answered wrongly.
#[derive(Debug)]
pub struct StoreContract<M, A> {
    make_store: M,
    advance: A,
    tick: Duration,
}

impl<S, M, A> StoreContract<M, A>
where
    S: DedupStore,
    M: AsyncFn() -> S,
    A: AsyncFn(Duration),
{
    /// The contract for the stores that `make_store` makes, each of them empty (a scope of its own,
    /// if they share a database). `advance` lets at least the given time pass for them.
    pub const fn new(make_store: M, advance: A) -> Self {
        Self { make_store, advance, tick: Duration::from_secs(10) }
    }

    /// Sets the length of a tick. Default: 10 s, for a clock that is moved by hand.
    ///
    /// When `advance` really sleeps, make it short, but so long that 50 calls to the store
    /// take less than half a tick, and at least four times as long as the smallest step of
    /// the store's clock: 200 ms do for a server on the same machine that answers within 2
    /// ms. The longest rule lets 30 ticks pass.
    #[must_use]
    pub const fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    async fn begin(&self, rule: &'static str) -> Check<'_, S, A> {
        Check::new(rule, (self.make_store)().await, &self.advance, self.tick)
    }

    /// Performs `steps` random operations on a few keys, and compares every answer with that of a
    /// naive model of the contract.
    ///
    /// The same seed gives the same operations. Time passes in about one step of eight, by one or
    /// more ticks: with a clock that really sleeps, mind how long that takes.
    ///
    /// # Panics
    ///
    /// At the first answer that differs; the message has the seed and the steps that led to it.
    pub async fn random_ops(&self, seed: u64, steps: usize) {
        model::run(&self.begin("random_ops").await, seed, steps).await;
    }
}

/// The lease and the retention for a tick of this length.
fn terms(tick: Duration) -> Terms {
    Terms::new(tick * 5 / 2, tick * 17 / 2)
}
