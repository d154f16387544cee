//! What happened during a run with faults, as each party saw it: the sender, the
//! receivers, and whoever broke things. [`check`] holds it against the rules.
//!
//! Each party appends lines of JSON to a file of its own. A party may be killed at
//! any byte, so a torn last line is left out when they are read. All clocks are one:
//! the machine's monotonic clock.

mod check;
mod story;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

pub use check::{Violation, check};
pub use story::told;

/// Nanoseconds on the machine's monotonic clock, the same for all processes.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "tests make histories up")]
pub struct Record {
    /// When its party knew of it, from [`now`].
    pub at: u64,
    /// The process that it happened in: its pid.
    pub process: u32,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "the checker must know them all")]
pub enum What {
    /// The sender began an attempt, the first one being 1.
    Sent {
        /// The event.
        id: String,
        /// Which attempt it was.
        attempt: u32,
    },
    /// The sender's attempt ended.
    Answered {
        /// The event.
        id: String,
        /// Which attempt it was.
        attempt: u32,
        /// The status; none when there was no answer in time.
        status: Option<u16>,
    },
    /// The store granted a claim.
    Claimed {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
        /// When the store was asked.
        called: u64,
        /// The claim's lease in nanoseconds.
        lease: u64,
    },
    /// The store renewed a lease.
    Renewed {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
        /// When the store was asked.
        called: u64,
        /// The new lease in nanoseconds.
        lease: u64,
    },
    /// A handler began.
    RunBegan {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
    },
    /// A handler came to its own end.
    RunEnded {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
        /// Whether it succeeded.
        ok: bool,
    },
    /// The store was asked to take a claim back, whether it answered or not.
    Releasing {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
    },
    /// The store accepted a completion.
    Committed {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
    },
    /// The store did not say in time whether it did, or could not: it will be asked again.
    CommitFailed {
        /// The event.
        id: String,
        /// The claim's epoch.
        epoch: u64,
    },
    /// Something was broken on purpose, from `since` until the record's own time.
    Fault {
        /// What was done: words for people.
        kind: String,
        /// The process that was killed or stopped; none where the store or the way
        /// to it was broken, for everybody.
        of: Option<u32>,
        /// When it began.
        since: u64,
    },
}

impl What {
    /// The event that it happened to; none for a fault.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Sent { id, .. }
            | Self::Answered { id, .. }
            | Self::Claimed { id, .. }
            | Self::Renewed { id, .. }
            | Self::RunBegan { id, .. }
            | Self::RunEnded { id, .. }
            | Self::Releasing { id, .. }
            | Self::Committed { id, .. }
            | Self::CommitFailed { id, .. } => Some(id),
            Self::Fault { .. } => None,
        }
    }
}

/// Writes a party's records into its file, each with one call of the kernel, so that
/// a killed process has written down all that it has told.
#[derive(Debug)]
pub struct Recorder(Mutex<File>);

impl Recorder {
    /// Appends to this file, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// As opening a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    /// Writes down what has just happened in this process.
    ///
    /// # Panics
    ///
    /// When the file cannot be written: a history with holes proves nothing.
    pub fn record(&self, what: What) {
        let record = Record { at: now(), process: std::process::id(), what };
        let mut line = serde_json::to_vec(&record).expect("a record is JSON");
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line).expect("a history that can be written");
    }
}

/// How long a sleep may take beyond its time before the process counts as stalled.
const STALLED: Duration = Duration::from_millis(500);

/// From now on, writes down as a fault when the machine has left this process without a
/// processor for so long that a lease may lapse: nobody's doing, and it explains as much
/// as a process that was stopped. `of` is the process that it concerns; none where the
/// way to the store leads through this one.
pub fn watch_for_stalls(history: Arc<Recorder>, of: Option<u32>) {
    const PAUSE: Duration = Duration::from_millis(50);
    thread::spawn(move || {
        loop {
            let since = now();
            thread::sleep(PAUSE);
            let slept = Duration::from_nanos(now().saturating_sub(since));
            if slept > PAUSE + STALLED {
                history.record(What::Fault { kind: "stalled".into(), of, since });
            }
        }
    });
}

/// Reads the histories of all parties, in order of time.
///
/// # Errors
///
/// As reading a file; `InvalidData` names a line, other than a torn last one, that
/// is no record.
pub fn read<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    for file in files {
        let text = std::fs::read(&file)?;
        let mut lines = text.split(|byte| *byte == b'\n');
        // What comes after the last line break: nothing, or a torn line.
        lines.next_back();
        for line in lines {
            let record = serde_json::from_slice(line).map_err(|error| {
                let (file, line) = (file.as_ref().display(), String::from_utf8_lossy(line));
                io::Error::new(io::ErrorKind::InvalidData, format!("{file}: {line}: {error}"))
            })?;
            records.push(record);
        }
    }
    records.sort_by_key(|record: &Record| record.at);
    Ok(records)
}

/// The events that were answered 200, and how many attempts there were at all, in the
/// history of a sender.
///
/// # Errors
///
/// As [`read`].
pub fn answered_200(history: &Path) -> io::Result<(BTreeSet<String>, usize)> {
    let (mut done, mut attempts) = (BTreeSet::new(), 0);
    for record in read([history])? {
        match record.what {
            What::Answered { id, status: Some(200), .. } => drop(done.insert(id)),
            What::Sent { .. } => attempts += 1,
            _ => {}
        }
    }
    Ok((done, attempts))
}
