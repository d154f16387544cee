//! A sink for dead letters that does to each call what a test has told it to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetterSink, SinkFuture};
use tokio::time::{Instant, sleep};

use super::store::Fate;

/// Keeps what it is given, once a call has met its fate. Clones are one sink.
#[derive(Clone)]
pub(crate) struct ScriptedSink(Arc<Script>);

struct Script {
    fate: Mutex<Fate>,
    born: Instant,
    calls: Mutex<Vec<Duration>>,
    letters: Mutex<Vec<DeadLetter>>,
}

impl ScriptedSink {
    pub(crate) fn with(fate: Fate) -> Self {
        let born = Instant::now();
        Self(Arc::new(Script {
            fate: Mutex::new(fate),
            born,
            calls: Mutex::default(),
            letters: Mutex::default(),
        }))
    }

    /// From now on, calls meet this fate.
    pub(crate) fn becomes(&self, fate: Fate) {
        *self.0.fate.lock().unwrap() = fate;
    }

    /// When it was called, counted from the sink's making.
    pub(crate) fn calls(&self) -> Vec<Duration> {
        self.0.calls.lock().unwrap().clone()
    }

    /// Event, runs and reason of each letter, in the order of their storing.
    pub(crate) fn letters(&self) -> Vec<(String, u64, String)> {
        let letters = self.0.letters.lock().unwrap();
        letters.iter().map(|it| (it.id().into(), it.runs(), it.reason().into())).collect()
    }
}

impl DeadLetterSink for ScriptedSink {
    fn store<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, ()> {
        self.0.calls.lock().unwrap().push(self.0.born.elapsed());
        let fate = *self.0.fate.lock().unwrap();
        let keep = || self.0.letters.lock().unwrap().push(letter.clone());
        assert_ne!(fate, Fate::PanicInCall, "the script says so");
        Box::pin(async move {
            match fate {
                Fate::Pass => {}
                Fate::PassAfter(time) => sleep(time).await,
                Fate::PassUnheard => {
                    keep();
                    return Err("the answer was lost".into());
                }
                Fate::Fail => return Err("the disk is full".into()),
                Fate::Hang => std::future::pending().await,
                Fate::Panic | Fate::PanicInCall => panic!("the script says so"),
            }
            keep();
            Ok(())
        })
    }
}
