//! What was measured, and what it comes to: medians, quartiles, and
//! differences between rows of one round.

use crate::rows::Row;

/// Microseconds of CPU time per request, of every row in every round.
pub(crate) struct Samples {
    rows: Vec<(Row, Vec<f64>)>,
}

impl Samples {
    pub(crate) fn new(rows: impl IntoIterator<Item = Row>) -> Self {
        Self { rows: rows.into_iter().map(|row| (row, Vec::new())).collect() }
    }

    /// One row of one round.
    pub(crate) fn add(&mut self, row: Row, micros: f64) {
        if let Some((_, samples)) = self.rows.iter_mut().find(|(other, _)| *other == row) {
            samples.push(micros);
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.rows.iter().map(|(row, _)| *row)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rows.first().map_or(0, |(_, samples)| samples.len())
    }

    /// Microseconds per request.
    pub(crate) fn time(&self, row: Row) -> Option<Spread> {
        Spread::of(self.of(row).to_vec())
    }

    /// How many microseconds more than the other row of the same round. Taken
    /// round by round, so that a machine that slows down cancels out.
    pub(crate) fn over(&self, row: Row, base: Row) -> Option<Spread> {
        Spread::of(self.pairs(row, base).map(|(one, other)| one - other).collect())
    }

    /// How many times the other row of the same round.
    pub(crate) fn ratio(&self, row: Row, base: Row) -> Option<Spread> {
        Spread::of(self.pairs(row, base).map(|(one, other)| one / other).collect())
    }

    fn pairs(&self, one: Row, other: Row) -> impl Iterator<Item = (f64, f64)> {
        self.of(one).iter().copied().zip(self.of(other).iter().copied())
    }

    fn of(&self, row: Row) -> &[f64] {
        self.rows.iter().find(|(other, _)| *other == row).map_or(&[], |(_, samples)| samples)
    }
}

/// Where the middle half of some figures lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        if figures.is_empty() {
            return None;
        }
        figures.sort_by(f64::total_cmp);
        let at = |share: f64| figures[((figures.len() - 1) as f64 * share).round() as usize];
        Some(Self { lower: at(0.25), median: at(0.5), upper: at(0.75) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Receiver, Stack};

    #[test]
    fn rows_are_compared_round_by_round() {
        let (bare_row, ours_row) =
            (Stack::Axum.row(Receiver::Bare), Stack::Axum.row(Receiver::WithDedup));
        let mut samples = Samples::new([bare_row, ours_row]);
        // The machine is half as fast in the last two rounds.
        for (bare, ours) in [(2.0, 4.0), (2.0, 4.0), (2.0, 4.0), (4.0, 8.0), (4.0, 8.0)] {
            samples.add(bare_row, bare);
            samples.add(ours_row, ours);
        }
        let ratio = samples.ratio(ours_row, bare_row).unwrap();
        assert_eq!(ratio, Spread { lower: 2.0, median: 2.0, upper: 2.0 });
        assert_eq!(samples.over(ours_row, bare_row).unwrap().median, 2.0);
        assert_eq!(samples.time(ours_row).unwrap().upper, 8.0);
    }

    #[test]
    fn quartiles_of_five_are_the_second_and_the_fourth() {
        let spread = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { lower: 2.0, median: 3.0, upper: 4.0 });
    }
}
