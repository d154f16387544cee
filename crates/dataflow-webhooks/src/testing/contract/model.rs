//! Owns the naive model of the contract that random operations are compared with.

use std::collections::HashMap;
use std::time::Duration;

use super::check::{Ask, Check};
use crate::dedup::{Claim, ClaimOutcome, DedupKey, DedupStore, Held};

/// In half ticks, as `terms` has them in ticks.
const LEASE: u64 = 5;
const RETENTION: u64 = 17;

/// Few keys, so that operations meet; the last one is stored as a hash.
const IDS: [&str; 4] = ["evt_1", "EVT_1", "evt_2", "evt 1"];

/// How many steps a failure shows.
const SHOWN_STEPS: usize = 24;

/// Performs the operations; the first wrong answer is the end.
pub(super) async fn run<S, A>(check: &Check<'_, S, A>, seed: u64, steps: usize)
where
    S: DedupStore,
    A: AsyncFn(Duration),
{
    let mut random = SplitMix(seed);
    let mut model = Model::default();
    let keys = IDS.map(DedupKey::from_event_id);
    let mut given_out: Vec<Vec<Claim>> = vec![Vec::new(); keys.len()];
    let mut log: Vec<String> = Vec::new();

    for step in 1..=steps {
        let which = random.below(keys.len());
        let key = &keys[which];
        let (text, wrong) = match random.below(16) {
            0..=5 => {
                let was = check.claim(key).await;
                let wrong = model.claim(key, &was).err();
                let text = format!("claim {key} -> {was:?}");
                if let ClaimOutcome::New(claim) = was {
                    given_out[which].push(claim);
                }
                (text, wrong)
            }
            kind @ 6..=12 => {
                let ask = Ask::ALL[kind % 3];
                let claim = pick(&mut random, key, &given_out[which]);
                let was = check.ask(ask, &claim).await;
                let must_be = model.ask(ask, &claim);
                let wrong = (was != must_be).then(|| format!("{must_be:?}"));
                (format!("{ask:?} {key} with epoch {} -> {was:?}", claim.epoch()), wrong)
            }
            13 => {
                check.forget(key).await;
                model.forget(key);
                (format!("forget {key}"), None)
            }
            _ => {
                // Mostly one tick, so that leases are renewed; now and then a retention.
                let ticks = [1, 1, 1, 1, 2, 2, 3, 9][random.below(8)];
                check.pass(ticks).await;
                model.now += 2 * u64::from(ticks);
                (format!("{ticks} ticks pass"), None)
            }
        };
        log.push(format!("{step}: {text}"));
        if let Some(must_be) = wrong {
            let from = log.len().saturating_sub(SHOWN_STEPS);
            check.broken(&format!(
                "seed {seed}: the last answer must be {must_be}:\n  {}",
                log[from..].join("\n  ")
            ));
        }
    }
}

/// Mostly the last claim that was given out for the key, often an older one, rarely an
/// invented one.
fn pick(random: &mut SplitMix, key: &DedupKey, given_out: &[Claim]) -> Claim {
    match (given_out, random.below(8)) {
        ([.., last], 0..=4) => last.clone(),
        ([_, ..], 5..=6) => given_out[random.below(given_out.len())].clone(),
        _ => Claim::new(key.clone(), random.below(8) as u64),
    }
}

#[derive(Default)]
struct Model {
    /// In half ticks.
    now: u64,
    records: HashMap<DedupKey, Record>,
}

struct Record {
    epoch: u64,
    state: State,
    lease_until: u64,
    expires_at: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Claimed,
    Released,
    Done,
}

impl Model {
    fn live(&mut self, key: &DedupKey) -> Option<&mut Record> {
        let now = self.now;
        self.records.get_mut(key).filter(|record| now < record.expires_at)
    }

    /// Follows a claim's answer, or says what it must be.
    fn claim(&mut self, key: &DedupKey, was: &ClaimOutcome) -> Result<(), String> {
        let now = self.now;
        let epoch = match self.live(key) {
            Some(record) if record.state == State::Done => return same(was, ClaimOutcome::Done),
            Some(record) if record.state == State::Claimed && now < record.lease_until => {
                return same(was, ClaimOutcome::InFlight);
            }
            Some(record) => record.epoch + 1,
            // A store may go on counting in a record that has expired.
            None => match (self.records.get(key), was) {
                (Some(expired), ClaimOutcome::New(claim)) if claim.epoch() == expired.epoch + 1 => {
                    claim.epoch()
                }
                _ => 1,
            },
        };
        same(was, ClaimOutcome::New(Claim::new(key.clone(), epoch)))?;
        self.records.insert(
            key.clone(),
            Record {
                epoch,
                state: State::Claimed,
                lease_until: now + LEASE,
                expires_at: now + RETENTION,
            },
        );
        Ok(())
    }

    fn ask(&mut self, ask: Ask, claim: &Claim) -> Held {
        let now = self.now;
        let Some(record) = self.live(claim.key()).filter(|r| r.epoch == claim.epoch()) else {
            return Held::No;
        };
        let after = match ask {
            Ask::Renew => State::Claimed,
            Ask::Commit => State::Done,
            Ask::Release => State::Released,
        };
        if record.state == State::Claimed {
            record.state = after;
            record.lease_until = now + LEASE;
            record.expires_at = now + RETENTION;
        }
        Held::from(record.state == after)
    }

    fn forget(&mut self, key: &DedupKey) {
        if let Some(record) = self.live(key) {
            record.state = State::Released;
        }
    }
}

fn same(was: &ClaimOutcome, must_be: ClaimOutcome) -> Result<(), String> {
    if *was == must_be { Ok(()) } else { Err(format!("{must_be:?}")) }
}

/// SplitMix64: every seed will do, and the numbers are the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
