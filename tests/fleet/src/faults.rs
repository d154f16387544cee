//! What is broken on purpose during a run, and when: plans that come from a seed, and
//! those who carry them out and write down what they did.

use std::thread;
use std::time::{Duration, Instant};

use webhook_tests::Chance;

use crate::fleet::{LEASE, Member};
use crate::history::{Recorder, What, now};
use crate::postgres::Postgres;
use crate::proxy::{Mode, Proxy};
use crate::redis::Redis;

/// A server that can be broken.
pub trait Server: Send {
    /// SIGKILL.
    fn kill(&mut self);
    /// Starts it again, and waits until it answers.
    fn restart(&mut self);
}

impl Server for Redis {
    fn kill(&mut self) {
        Redis::kill(self);
    }

    fn restart(&mut self) {
        Redis::restart(self);
    }
}

impl Server for Postgres {
    fn kill(&mut self) {
        Postgres::kill(self);
    }

    fn restart(&mut self) {
        Postgres::restart(self);
    }
}

/// What can happen to the store, or to the way to it. It hits everybody, so it is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a plan is carried out to the letter")]
pub enum OnStore {
    /// The way to it is like this for so long.
    Way(Mode, Duration),
    /// It is killed, and started again so much later.
    Killed(Duration),
}

/// What can happen to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a plan is carried out to the letter")]
pub enum OnReceiver {
    /// It is killed, and started again so much later.
    Killed(Duration),
    /// It is stopped for so long, and goes on as if nothing had been.
    Paused(Duration),
    /// It is told to stop, drains, and is started again: no fault, and it explains nothing.
    Restarted,
}

/// Faults, each with the pause before it.
pub type Plan<T> = Vec<(Duration, T)>;

fn between(chance: &mut Chance, least: usize, most: usize) -> Duration {
    Duration::from_millis((least + chance.below(most - least)) as u64)
}

/// A plan for the store that takes about so long: a kill every few seconds where it has a
/// server, other things in between.
#[must_use]
pub fn plan_for_store(chance: &mut Chance, time: Duration) -> Plan<OnStore> {
    let mut plan = Vec::new();
    let mut planned = Duration::ZERO;
    while planned < time {
        let pause = between(chance, 1_000, 3_000);
        let spell = between(chance, 20, 400);
        let fault = match (plan.len() % 4, chance.below(5)) {
            (1, _) => OnStore::Killed(spell),
            (_, 0) => OnStore::Way(Mode::Drop, spell),
            (_, 1) => OnStore::Way(Mode::Hold, spell),
            (_, 2) => OnStore::Way(Mode::Delay(between(chance, 5, 150)), spell),
            (_, 3) => OnStore::Way(Mode::CutAfterRequest, spell),
            _ => OnStore::Way(Mode::CutAfterReply, spell),
        };
        planned += pause + spell;
        plan.push((pause, fault));
    }
    plan
}

/// A plan for one receiver that takes about so long, with pauses or without.
#[must_use]
pub fn plan_for_receiver(chance: &mut Chance, time: Duration, may_pause: bool) -> Plan<OnReceiver> {
    let mut plan = Vec::new();
    let mut planned = Duration::ZERO;
    while planned < time {
        let pause = between(chance, 500, 3_000);
        let (fault, takes) = match (plan.len(), chance.below(10)) {
            // A kill at least, and a pause.
            (0, _) | (2.., 0..6) => {
                let down = between(chance, 20, 400);
                (OnReceiver::Killed(down), down)
            }
            (1, _) | (_, 6..8) if may_pause => {
                let time = LEASE + between(chance, 200, 1_500);
                (OnReceiver::Paused(time), time)
            }
            _ => (OnReceiver::Restarted, Duration::from_secs(1)),
        };
        planned += pause + takes;
        plan.push((pause, fault));
    }
    plan
}

/// Breaks the store by this plan until the end has come, and leaves it whole.
pub fn break_store(
    plan: &Plan<OnStore>,
    end: Instant,
    proxy: &Proxy,
    server: &mut dyn Server,
    history: &Recorder,
) {
    for (pause, fault) in plan {
        thread::sleep(*pause);
        if Instant::now() >= end {
            return;
        }
        let since = now();
        let kind = match *fault {
            OnStore::Way(mode, time) => {
                proxy.set(mode);
                thread::sleep(time);
                proxy.set(Mode::Pass);
                // What is on its way comes as late as what was before it.
                if let Mode::Delay(late) = mode {
                    thread::sleep(late);
                }
                match mode {
                    Mode::Delay(_) => "way: Delay".into(),
                    other => format!("way: {other:?}"),
                }
            }
            OnStore::Killed(down) => {
                server.kill();
                thread::sleep(down);
                server.restart();
                "server: SIGKILL".into()
            }
        };
        history.record(What::Fault { kind, of: None, since });
    }
}

/// Breaks a receiver by this plan until the end has come, and leaves it running. With
/// `pauses_all`, one that is stopped may hold up the store for the others.
pub fn break_receiver(
    plan: &Plan<OnReceiver>,
    end: Instant,
    member: &mut Member,
    history: &Recorder,
    pauses_all: bool,
) {
    for (pause, fault) in plan {
        thread::sleep(*pause);
        if Instant::now() >= end {
            return;
        }
        match *fault {
            OnReceiver::Killed(down) => {
                member.kill(history);
                thread::sleep(down);
                member.restart();
            }
            OnReceiver::Paused(time) => {
                let (since, process) = (now(), member.id());
                let of = (!pauses_all).then_some(process);
                member.pause();
                thread::sleep(time);
                member.resume();
                history.record(What::Fault { kind: "SIGSTOP".into(), of, since });
            }
            OnReceiver::Restarted => {
                member.stop();
                member.restart();
            }
        }
    }
}
