//! Owns a sink under test and the words in which rules speak about it.

use super::super::contract::in_full;
use crate::BoxError;
use crate::dead_letters::{DeadLetter, DeadLetters};

/// One rule's sink and name, and how the sink is opened again.
pub(super) struct Check<'a, S, R> {
    rule: &'static str,
    pub(super) sink: S,
    reopen: &'a R,
}

impl<'a, S: DeadLetters, R: AsyncFn(S) -> S> Check<'a, S, R> {
    pub(super) fn new(rule: &'static str, sink: S, reopen: &'a R) -> Self {
        Self { rule, sink, reopen }
    }

    /// The same with its sink opened again.
    pub(super) async fn reopened(self) -> Self {
        let Self { rule, sink, reopen } = self;
        Self { rule, sink: reopen(sink).await, reopen }
    }

    pub(super) async fn store(&self, letter: &DeadLetter) {
        self.answer("store", self.sink.store(letter).await);
    }

    pub(super) async fn remove(&self, letter: &DeadLetter) -> bool {
        self.answer("remove", self.sink.remove(letter).await)
    }

    pub(super) async fn list(&self, after: Option<&DeadLetter>, limit: usize) -> Vec<DeadLetter> {
        self.answer("list", self.sink.list(after, limit).await)
    }

    /// The sink lists exactly these, in this order, and gets each by its id.
    pub(super) async fn expect_all(&self, letters: &[&DeadLetter], when: &str) {
        let listed = self.list(None, letters.len() + 10).await;
        self.expect_same(&listed, letters, &format!("list {when}"));
        for letter in letters {
            let got = self.answer("get", self.sink.get(letter.id()).await);
            let got: Vec<_> = got.into_iter().collect();
            self.expect_same(&got, &[letter], &format!("get {when}"));
        }
    }

    pub(super) async fn expect_none(&self, id: &str, when: &str) {
        let got = self.answer("get", self.sink.get(id).await);
        self.expect(got.is_none(), &format!("get {when} must find nothing, found {got:?}"));
    }

    /// Every member is the same, the body byte for byte.
    pub(super) fn expect_same(&self, were: &[DeadLetter], must_be: &[&DeadLetter], call: &str) {
        let same = |(was, must_be): (&DeadLetter, &&DeadLetter)| json(was) == json(must_be);
        let all = were.len() == must_be.len() && were.iter().zip(must_be).all(same);
        // Debug leaves out the body: 1 MiB of it would help nobody.
        self.expect(all, &format!("{call} must be {must_be:?}, was {were:?}"));
    }

    pub(super) fn expect(&self, holds: bool, what: &str) {
        if !holds {
            self.broken(what);
        }
    }

    pub(super) fn answer<T>(&self, call: &str, result: Result<T, BoxError>) -> T {
        result.unwrap_or_else(|error| self.broken(&format!("{call} failed: {}", in_full(&*error))))
    }

    #[allow(clippy::panic)] // What a suite of tests is for.
    fn broken(&self, what: &str) -> ! {
        panic!("sink contract, {}: {what}", self.rule)
    }
}

/// Whatever there is to a letter. Nothing in one fails to serialize.
fn json(letter: &DeadLetter) -> Option<String> {
    serde_json::to_string(letter).ok()
}
