//! Owns a store under test and the words in which rules speak about it.

use std::error::Error;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::terms;
use crate::dedup::{BoxError, Claim, ClaimOutcome, DedupKey, DedupStore, Held, StoreFuture, Terms};

/// One rule's store, clock and name.
pub(super) struct Check<'a, S, A> {
    rule: &'static str,
    pub(super) store: S,
    pub(super) terms: Terms,
    advance: &'a A,
    tick: Duration,
}

/// What the holder of a claim can ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    Renew,
    Commit,
    Release,
}

impl Ask {
    pub(super) const ALL: [Self; 3] = [Self::Renew, Self::Commit, Self::Release];
}

impl<'a, S: DedupStore, A: AsyncFn(Duration)> Check<'a, S, A> {
    pub(super) fn new(rule: &'static str, store: S, advance: &'a A, tick: Duration) -> Self {
        Self { rule, store, terms: terms(tick), advance, tick }
    }

    /// Lets this many ticks pass. A lease is 2.5 ticks long and a retention 8.5.
    pub(super) async fn pass(&self, ticks: u32) {
        (self.advance)(self.tick * ticks).await;
    }

    pub(super) async fn claim(&self, key: &DedupKey) -> ClaimOutcome {
        self.answer("claim", key, self.store.claim(key, self.terms).await)
    }

    pub(super) async fn forget(&self, key: &DedupKey) {
        self.answer("forget", key, self.store.forget(key).await);
    }

    pub(super) async fn ask(&self, ask: Ask, claim: &Claim) -> Held {
        self.answer(&format!("{ask:?}"), claim, self.call(ask, claim).await)
    }

    pub(super) fn call<'s>(&'s self, ask: Ask, claim: &'s Claim) -> StoreFuture<'s, Held> {
        match ask {
            Ask::Renew => self.store.renew(claim, self.terms),
            Ask::Commit => self.store.commit(claim, self.terms),
            Ask::Release => self.store.release(claim, self.terms),
        }
    }

    /// Claims, demands that the answer is New with a claim of this key, and returns that.
    pub(super) async fn new_claim(&self, key: &DedupKey, when: &str) -> Claim {
        let answer = self.claim(key).await;
        self.expect_new(key, answer, when)
    }

    pub(super) fn expect_new(&self, key: &DedupKey, answer: ClaimOutcome, when: &str) -> Claim {
        match answer {
            ClaimOutcome::New(claim) if claim.key() == key => claim,
            other => self.broken(&format!("claim {when} must be New with {key:?}, was {other:?}")),
        }
    }

    pub(super) async fn expect_done(&self, key: &DedupKey, when: &str) {
        self.expect(&format!("claim {when}"), self.claim(key).await, ClaimOutcome::Done);
    }

    pub(super) async fn expect_in_flight(&self, key: &DedupKey, when: &str) {
        self.expect(&format!("claim {when}"), self.claim(key).await, ClaimOutcome::InFlight);
    }

    pub(super) async fn expect_held(&self, ask: Ask, claim: &Claim, when: &str) {
        self.expect(&format!("{ask:?} {when}"), self.ask(ask, claim).await, Held::Yes);
    }

    pub(super) async fn expect_refused(&self, ask: Ask, claim: &Claim, when: &str) {
        self.expect(&format!("{ask:?} {when}"), self.ask(ask, claim).await, Held::No);
    }

    pub(super) async fn expect_all_refused(&self, claim: &Claim, when: &str) {
        for ask in Ask::ALL {
            self.expect_refused(ask, claim, when).await;
        }
    }

    pub(super) fn expect<T: PartialEq + Debug>(&self, call: &str, was: T, must_be: T) {
        if was != must_be {
            self.broken(&format!("{call} must be {must_be:?}, was {was:?}"));
        }
    }

    pub(super) fn answer<T>(&self, call: &str, on: impl Debug, result: Result<T, BoxError>) -> T {
        result.unwrap_or_else(|error| {
            self.broken(&format!("{call} of {on:?} failed: {}", in_full(&*error)))
        })
    }

    #[allow(clippy::panic)] // What a suite of tests is for.
    pub(super) fn broken(&self, what: &str) -> ! {
        panic!("store contract, {}: {what}", self.rule)
    }
}

/// An error with all that caused it.
pub(in crate::testing) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// Polls all futures until each is done: as many calls at once as one task can have.
pub(in crate::testing) async fn join<T>(
    futures: Vec<StoreFuture<'_, T>>,
) -> Vec<Result<T, BoxError>> {
    let mut waiting: Vec<_> = futures.into_iter().map(Some).collect();
    let mut answers: Vec<_> = waiting.iter().map(|_| None).collect();
    poll_fn(move |context| {
        for (future, answer) in waiting.iter_mut().zip(&mut answers) {
            if let Some(Poll::Ready(result)) = future.as_mut().map(|f| f.as_mut().poll(context)) {
                *answer = Some(result);
                *future = None;
            }
        }
        if waiting.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        Poll::Ready(answers.drain(..).flatten().collect())
    })
    .await
}

/// Polls a future a number of times, and drops it.
pub(in crate::testing) async fn drop_after_polls<F: Future>(future: F, polls: u32) {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        if future.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Polls two futures until both are done; which one is polled first can be chosen.
pub(super) async fn both<T, U>(
    first: impl Future<Output = T>,
    second: impl Future<Output = U>,
    in_order: bool,
) -> (T, U) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut one, mut two) = (None, None);
    poll_fn(move |context| {
        for turn in [in_order, !in_order] {
            if turn && one.is_none() {
                one = ready(first.as_mut().poll(context));
            }
            if !turn && two.is_none() {
                two = ready(second.as_mut().poll(context));
            }
        }
        match (one.take(), two.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            unfinished => {
                (one, two) = unfinished;
                Poll::Pending
            }
        }
    })
    .await
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
