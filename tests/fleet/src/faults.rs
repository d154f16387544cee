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

impl OnStore {
    /// What a history calls each kind.
    pub const KINDS: [&str; 6] = [
        "server: SIGKILL",
        "way: Drop",
        "way: Hold",
        "way: Delay",
        "way: CutAfterRequest",
        "way: CutAfterReply",
    ];

    /// What a history calls it.
    #[must_use]
    pub fn kind(self) -> String {
        match self {
            Self::Killed(_) => "server: SIGKILL".into(),
            Self::Way(Mode::Delay(_), _) => "way: Delay".into(),
            Self::Way(mode, _) => format!("way: {mode:?}"),
        }
    }
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

/// So many faults of a store's plan have all kinds, and so many of a receiver's plan.
const FIRST_OF_STORE: usize = 7;
const FIRST_OF_RECEIVER: usize = 2;

/// A plan for the store that takes about so long, with a kill every few seconds and the other kinds
/// in between, one after another in an order of chance: the first seven have them all.
#[must_use]
pub fn plan_for_store(chance: &mut Chance, time: Duration) -> Plan<OnStore> {
    let (mut plan, mut ways) = (Vec::new(), Vec::new());
    let mut planned = Duration::ZERO;
    while planned < time || plan.len() < FIRST_OF_STORE {
        let pause = between(chance, 1_000, 2_100);
        let spell = between(chance, 20, 400);
        let fault = match plan.len() % 4 {
            1 => OnStore::Killed(spell),
            _ => OnStore::Way(next_way(&mut ways, chance), spell),
        };
        planned += pause + spell;
        plan.push((pause, fault));
    }
    plan
}

/// The next of these, which are made anew, in an order of chance, when all were.
fn next_way(left: &mut Vec<Mode>, chance: &mut Chance) -> Mode {
    if let Some(way) = left.pop() {
        return way;
    }
    let late = between(chance, 5, 150);
    left.extend([Mode::Hold, Mode::Delay(late), Mode::CutAfterRequest, Mode::CutAfterReply]);
    left.push(Mode::Drop);
    chance.shuffle(left);
    left.pop().unwrap_or(Mode::Drop)
}

/// A plan for one receiver that takes about so long, in which it is stopped so often at most: after
/// it was killed for the first time, if ever.
#[must_use]
pub fn plan_for_receiver(chance: &mut Chance, time: Duration, pauses: usize) -> Plan<OnReceiver> {
    let mut pauses_left = pauses;
    let mut plan = Vec::new();
    let mut planned = Duration::ZERO;
    while planned < time || plan.len() < FIRST_OF_RECEIVER {
        let pause = between(chance, 500, 3_000);
        let (fault, takes) = match (plan.len(), chance.below(10)) {
            // A kill at least, and a pause, or a restart.
            (0, _) | (2.., 0..6) => {
                let down = between(chance, 20, 400);
                (OnReceiver::Killed(down), down)
            }
            (1, _) | (_, 6..8) if pauses_left > 0 => {
                pauses_left -= 1;
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

/// Breaks the store by this plan until the end has come, and leaves it whole. Each kind of fault
/// comes at least once, however slow the machine is.
pub fn break_store(
    plan: &Plan<OnStore>,
    end: Instant,
    proxy: &Proxy,
    server: &mut dyn Server,
    history: &Recorder,
) {
    for (number, (pause, fault)) in plan.iter().enumerate() {
        thread::sleep(*pause);
        if number >= FIRST_OF_STORE && Instant::now() >= end {
            return;
        }
        let since = now();
        match *fault {
            OnStore::Way(mode, time) => {
                proxy.set(mode);
                thread::sleep(time);
                proxy.set(Mode::Pass);
                // What is on its way comes as late as what was before it.
                if let Mode::Delay(late) = mode {
                    thread::sleep(late);
                }
            }
            OnStore::Killed(down) => {
                server.kill();
                thread::sleep(down);
                server.restart();
            }
        }
        history.record(What::Fault { kind: fault.kind(), of: None, since });
    }
}

/// Breaks a receiver by this plan until the end has come, and leaves it running. Each kind of fault
/// comes at least once. With `pauses_all`, one that is stopped may hold up the store for the others.
pub fn break_receiver(
    plan: &Plan<OnReceiver>,
    end: Instant,
    member: &mut Member,
    history: &Recorder,
    pauses_all: bool,
) {
    for (number, (pause, fault)) in plan.iter().enumerate() {
        thread::sleep(*pause);
        if number >= FIRST_OF_RECEIVER && Instant::now() >= end {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// In the time that a run of 10 000 events at 400 a second has.
    const TIME: Duration = Duration::from_millis(18_750);

    fn planned<T>(plan: &[(Duration, T)], takes: impl Fn(&T) -> Duration) -> Duration {
        plan.iter().map(|(pause, fault)| *pause + takes(fault)).sum()
    }

    #[test]
    fn the_first_faults_of_a_store_are_of_all_kinds_and_end_in_time() {
        for seed in 0..1_000 {
            let plan = plan_for_store(&mut Chance::from_seed(seed), TIME);
            let first = plan.get(..FIRST_OF_STORE).expect("a first round");
            let kinds: BTreeSet<_> = first.iter().map(|(_, fault)| fault.kind()).collect();
            assert_eq!(kinds, OnStore::KINDS.map(str::to_owned).into());
            let takes = |fault: &OnStore| match *fault {
                OnStore::Way(Mode::Delay(late), time) => time + late,
                OnStore::Way(_, time) | OnStore::Killed(time) => time,
            };
            assert!(planned(first, takes) < TIME, "{first:?}");
        }
    }

    #[test]
    fn a_receiver_is_killed_and_then_stopped_or_restarted() {
        for seed in 0..1_000 {
            for pauses in [0, 1, 2] {
                let mut chance = Chance::from_seed(seed);
                let plan = plan_for_receiver(&mut chance, TIME, pauses);
                let paused = plan.iter().filter(|it| matches!(it.1, OnReceiver::Paused(_)));
                assert!(paused.count() <= pauses, "{plan:?}");
                assert!(matches!(plan[0].1, OnReceiver::Killed(_)), "{plan:?}");
                match plan[1].1 {
                    OnReceiver::Paused(time) => assert!(time > LEASE, "{plan:?}"),
                    OnReceiver::Restarted => assert!(pauses == 0, "{plan:?}"),
                    OnReceiver::Killed(_) => panic!("{plan:?}"),
                }
            }
        }
    }
}
