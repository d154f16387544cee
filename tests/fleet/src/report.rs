//! What a run with faults came to: its figures, and its broken promises.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::history::{Record, Violation, What, check, told};

/// What a run came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    records: Vec<Record>,
    must_have: Vec<String>,
    /// The promises that were broken.
    pub violations: Vec<Violation>,
    /// Events that were sent.
    pub events: usize,
    /// Those of them into whose life no fault of the store fell: what happened to them has
    /// to be explained by their own handler or their own process.
    pub events_without_store_fault: usize,
    /// Attempts, by what they were answered; 0 for no answer.
    pub answers: BTreeMap<u16, usize>,
    /// Runs of handlers.
    pub runs: usize,
    /// Runs beyond an event's first.
    pub second_runs: usize,
    /// Those of them in events into whose life no fault of the store fell.
    pub second_runs_without_store_fault: usize,
    /// Commits that were heard of.
    pub commits: usize,
    /// The faults by what was done: how often, and how long altogether.
    pub faults: BTreeMap<String, (usize, Duration)>,
}

/// What is counted of one event.
#[derive(Default)]
struct Life {
    is_sent: bool,
    begin: u64,
    end: u64,
    runs: usize,
}

impl Report {
    /// Reads it out of a history, in which faults of these kinds must be.
    #[must_use]
    pub fn of(records: Vec<Record>, kinds: &[&str]) -> Self {
        let mut report = Self {
            must_have: kinds.iter().map(|&kind| kind.to_owned()).collect(),
            violations: check(&records),
            events: 0,
            events_without_store_fault: 0,
            answers: BTreeMap::new(),
            runs: 0,
            second_runs: 0,
            second_runs_without_store_fault: 0,
            commits: 0,
            faults: BTreeMap::new(),
            records: Vec::new(),
        };
        let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
        let mut store_faults = Vec::new();
        let mut committed = BTreeSet::new();
        for record in &records {
            match &record.what {
                What::Answered { status, .. } => {
                    *report.answers.entry(status.unwrap_or(0)).or_default() += 1;
                }
                What::Committed { id, .. } => {
                    committed.insert(id);
                }
                What::Fault { kind, of, since } => {
                    let faults = report.faults.entry(kind.clone()).or_default();
                    faults.0 += 1;
                    faults.1 += Duration::from_nanos(record.at.saturating_sub(*since));
                    if of.is_none() {
                        store_faults.push((*since, record.at));
                    }
                }
                _ => {}
            }
            let Some(id) = record.what.id() else { continue };
            let life = lives.entry(id).or_insert(Life { begin: record.at, ..Life::default() });
            life.end = life.end.max(record.at);
            life.begin = life.begin.min(record.at);
            life.is_sent |= matches!(record.what, What::Sent { .. });
            life.runs += usize::from(matches!(record.what, What::RunBegan { .. }));
        }
        for life in lives.values().filter(|life| life.is_sent) {
            let is_hit =
                store_faults.iter().any(|&(since, until)| since <= life.end && until >= life.begin);
            let second_runs = life.runs.saturating_sub(1);
            report.events += 1;
            report.runs += life.runs;
            report.second_runs += second_runs;
            if !is_hit {
                report.events_without_store_fault += 1;
                report.second_runs_without_store_fault += second_runs;
            }
        }
        report.commits = committed.len();
        Self { records, ..report }
    }

    /// Every promise was kept, and enough was broken, and enough left whole, for that to
    /// mean something.
    ///
    /// # Panics
    ///
    /// When it is not so, with the histories of the events concerned.
    pub fn assert_kept(&self) {
        assert!(self.violations.is_empty(), "{self}\n{}", told(&self.violations, &self.records));
        let acknowledged = self.answers.get(&200).copied().unwrap_or(0);
        assert!(acknowledged >= self.events, "{self}");
        assert!(2 * self.events_without_store_fault >= self.events, "too much is broken: {self}");
        assert!(self.second_runs_without_store_fault > 0, "nothing is to be explained: {self}");
        for kind in &self.must_have {
            assert!(self.faults.contains_key(kind), "no {kind}: {self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts: usize = self.answers.values().sum();
        writeln!(
            f,
            "{} events, {} of them without a fault of the store in their life",
            self.events, self.events_without_store_fault
        )?;
        write!(f, "{attempts} attempts:")?;
        for (status, count) in &self.answers {
            match status {
                0 => write!(f, " no answer {count}")?,
                _ => write!(f, " {status} {count}")?,
            }
        }
        writeln!(
            f,
            "\n{} runs, {} of them not an event's first, {} of these without a fault of the store",
            self.runs, self.second_runs, self.second_runs_without_store_fault
        )?;
        writeln!(f, "{} events with a commit that was heard of", self.commits)?;
        for (kind, (count, time)) in &self.faults {
            writeln!(f, "fault {kind}: {count} times, {:.1} s", time.as_secs_f64())?;
        }
        Ok(())
    }
}
