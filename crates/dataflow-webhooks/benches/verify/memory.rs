//! The memory store when it is full.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupKey, DedupStore as _, Held, MemoryStore, Terms};

use crate::rounds::{Effort, Quartiles};
use crate::table;

const LIVE: usize = 250_000;
const BATCH: usize = 1000;

/// Time and space of one record among 250 000.
pub(crate) fn store(effort: Effort) {
    table::head(
        "MemoryStore at 250 000 live entries",
        "what                                                 figure          limit     ",
    );
    let store = MemoryStore::with_capacity(NonZeroUsize::new(LIVE).unwrap());
    let mut ids = 0..;
    let before = resident();
    for key in ids.by_ref().take(LIVE).map(key) {
        claim_and_commit(&store, &key);
    }
    let after = resident();
    assert_eq!(store.len(), LIVE);

    // Every further event drops the oldest one.
    let times = (0..effort.rounds.min(200)).map(|_| {
        let keys: Vec<_> = ids.by_ref().take(BATCH).map(key).collect();
        let start = Instant::now();
        keys.iter().for_each(|key| claim_and_commit(&store, key));
        start.elapsed().as_secs_f64() * 1e9 / BATCH as f64
    });
    let Quartiles { lower, median, upper } = Quartiles::of(times.collect());
    let figure = format!("{median:.0} ns");
    table::figure("claim and commit of a new event", &figure, "400 ns", median <= 400.0);
    let (figure, spread) = (format!("{lower:.0}-{upper:.0} ns"), "  its quartiles");
    println!("{spread:<44}{figure:>14}");

    match before.zip(after) {
        Some((before, after)) => {
            let each = after.saturating_sub(before) as f64 / LIVE as f64;
            let figure = format!("{each:.1} bytes");
            table::figure("resident, each", &figure, "104 bytes", each <= 104.0);
        }
        None => println!("resident memory is read from /proc, which is not here"),
    }
}

/// A key as the platform's ids look, of 32 characters.
fn key(number: u64) -> DedupKey {
    DedupKey::from_event_id(&format!("evt_{:028x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn claim_and_commit(store: &MemoryStore, key: &DedupKey) {
    let terms = Terms::default();
    let Ok(ClaimOutcome::New(claim)) = at_once(store.claim(key, terms)) else {
        panic!("the claim is not new");
    };
    let Ok(Held::Yes) = at_once(store.commit(&claim, terms)) else {
        panic!("the claim does not hold");
    };
}

/// The memory store never waits.
pub(crate) fn at_once<T>(mut future: Pin<Box<impl Future<Output = T> + ?Sized>>) -> T {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the memory store waits"),
    }
}

/// The bytes of this process in physical memory.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
