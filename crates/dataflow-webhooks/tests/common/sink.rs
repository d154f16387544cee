//! A sink in memory, with a fault put on top.

use std::cmp::Reverse;
use std::sync::Mutex;

use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetterSink, DeadLetters, SinkFuture};

#[derive(Debug, Default)]
pub(crate) struct VecSink {
    letters: Mutex<Vec<DeadLetter>>,
    pub(crate) fault: Fault,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Each letter of an event stays.
    KeepsEarlier,
    /// In the order of storing.
    Unsorted,
    /// By time alone, the latest of one moment first.
    IgnoresIds,
    /// A page begins with the letter that it is to follow.
    RepeatsLast,
    /// A page ends the list when its beginning is gone.
    StopsAtGap,
    /// Whatever the limit.
    IgnoresLimit,
    /// By the event's id alone.
    RemovesAny,
    /// It says that it has.
    RemovesNothing,
    /// Ids in lower case are one.
    IgnoresCase,
    /// What is no ASCII goes.
    ManglesBodies,
    /// Opened again, it has forgotten.
    Forgets,
    /// Every call fails.
    Away,
}

fn place(letter: &DeadLetter) -> (jiff::Timestamp, String) {
    (letter.failed_at(), letter.id().to_owned())
}

impl VecSink {
    pub(crate) fn with(fault: Fault) -> Self {
        Self { fault, ..Self::default() }
    }

    pub(crate) fn reopened(self) -> Self {
        if self.fault == Fault::Forgets { Self::with(self.fault) } else { self }
    }

    fn same(&self, one: &str, other: &str) -> bool {
        match self.fault {
            Fault::IgnoresCase => one.eq_ignore_ascii_case(other),
            _ => one == other,
        }
    }

    fn kept(&self, letter: &DeadLetter) -> DeadLetter {
        if self.fault != Fault::ManglesBodies {
            return letter.clone();
        }
        let json = serde_json::to_string(letter).unwrap();
        let ascii: String = json.chars().filter(char::is_ascii).collect();
        DeadLetter::from_trusted_json(ascii.as_bytes()).unwrap()
    }

    fn step<'a, T: Send + 'a>(
        &'a self,
        step: impl FnOnce(&mut Vec<DeadLetter>) -> T + Send + 'a,
    ) -> SinkFuture<'a, T> {
        Box::pin(async move {
            if self.fault == Fault::Away {
                return Err("the sink is away".into());
            }
            Ok(step(&mut self.letters.lock().unwrap()))
        })
    }
}

impl DeadLetterSink for VecSink {
    fn store<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, ()> {
        self.step(|letters| {
            if self.fault != Fault::KeepsEarlier {
                letters.retain(|other| !self.same(other.id(), letter.id()));
            }
            letters.push(self.kept(letter));
            match self.fault {
                Fault::Unsorted => {}
                Fault::IgnoresIds => {
                    letters.sort_by_key(|one| (one.failed_at(), Reverse(place(one))))
                }
                _ => letters.sort_by_key(place),
            }
        })
    }
}

impl DeadLetters for VecSink {
    fn list<'a>(
        &'a self,
        after: Option<&'a DeadLetter>,
        limit: usize,
    ) -> SinkFuture<'a, Vec<DeadLetter>> {
        self.step(move |letters| {
            let follows = |letter: &&DeadLetter| match self.fault {
                Fault::RepeatsLast => Some(place(letter)) >= after.map(place),
                Fault::IgnoresIds | Fault::Unsorted => {
                    after.is_none_or(|after| letter.failed_at() > after.failed_at())
                }
                _ => Some(place(letter)) > after.map(place),
            };
            let is_gap = after.is_some_and(|it| !letters.iter().any(|other| other.id() == it.id()));
            let limit = match self.fault {
                Fault::IgnoresLimit => usize::MAX,
                Fault::StopsAtGap if is_gap => 0,
                _ => limit,
            };
            letters.iter().filter(follows).take(limit).cloned().collect()
        })
    }

    fn get<'a>(&'a self, event_id: &'a str) -> SinkFuture<'a, Option<DeadLetter>> {
        self.step(move |letters| {
            letters.iter().find(|letter| self.same(letter.id(), event_id)).cloned()
        })
    }

    fn remove<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, bool> {
        self.step(move |letters| {
            let before = letters.len();
            letters.retain(|other| {
                let same = self.same(other.id(), letter.id());
                !same || (self.fault != Fault::RemovesAny && place(other) != place(letter))
            });
            if self.fault == Fault::RemovesNothing {
                return true;
            }
            letters.len() < before
        })
    }
}
