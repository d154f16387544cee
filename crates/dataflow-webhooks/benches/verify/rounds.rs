//! Two pieces of work in turns.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// How long each side of a round takes, about.
    pub(crate) micros: u64,
}

/// Quartiles of what was measured in all rounds.
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Quartiles {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values[part * (values.len() - 1) / 4];
        Self { lower: at(1), median: at(2), upper: at(3) }
    }
}

/// What came of one comparison.
pub(crate) struct Compared {
    /// Ours by the bare one's, round by round.
    pub(crate) ratio: Quartiles,
    /// The fastest round of ours by the fastest one of the bare.
    pub(crate) best: f64,
    /// Nanoseconds of one piece of our work, median.
    pub(crate) ours: f64,
}

/// Lets both take turns; which one begins alternates.
pub(crate) fn compare<A, B>(
    effort: Effort,
    mut ours: impl FnMut() -> A,
    mut bare: impl FnMut() -> B,
) -> Compared {
    // As often in a round as makes up the time, found out while warming up.
    let mut repeats = 1_u32;
    while time(repeats, &mut bare) < Duration::from_micros(effort.micros) {
        repeats *= 2;
    }
    time(repeats, &mut ours);

    let mut both = Vec::with_capacity(effort.rounds);
    for round in 0..effort.rounds {
        let (ours, bare) = if round % 2 == 0 {
            let ours = time(repeats, &mut ours);
            (ours, time(repeats, &mut bare))
        } else {
            let bare = time(repeats, &mut bare);
            (time(repeats, &mut ours), bare)
        };
        both.push((ours.as_secs_f64(), bare.as_secs_f64()));
    }
    let fastest = |side: fn(&(f64, f64)) -> f64| both.iter().map(side).fold(f64::MAX, f64::min);
    let nanos = |seconds: f64| seconds * 1e9 / f64::from(repeats);
    Compared {
        ratio: Quartiles::of(both.iter().map(|(ours, bare)| ours / bare).collect()),
        best: fastest(|(ours, _)| *ours) / fastest(|(_, bare)| *bare),
        ours: Quartiles::of(both.iter().map(|(ours, _)| nanos(*ours)).collect()).median,
    }
}

fn time<T>(repeats: u32, work: &mut impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        black_box(work());
    }
    start.elapsed()
}
