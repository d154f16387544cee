//! What was measured, and what it comes to: medians, quartiles, and
//! differences between rows of one round.

use crate::apps::App;

/// Microseconds of CPU time per request, of every row in every round.
pub(crate) struct Samples {
    rows: Vec<(App, Vec<f64>)>,
}

impl Samples {
    pub(crate) fn new(apps: Vec<App>) -> Self {
        Self { rows: apps.into_iter().map(|app| (app, Vec::new())).collect() }
    }

    /// One row of one round.
    pub(crate) fn add(&mut self, app: App, micros: f64) {
        if let Some((_, samples)) = self.rows.iter_mut().find(|(row, _)| *row == app) {
            samples.push(micros);
        }
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = App> {
        self.rows.iter().map(|(app, _)| *app)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rows.first().map_or(0, |(_, samples)| samples.len())
    }

    /// Microseconds per request.
    pub(crate) fn time(&self, app: App) -> Option<Spread> {
        Spread::of(self.of(app).to_vec())
    }

    /// How many microseconds more than the other row of the same round. Taken
    /// round by round, so that a machine that slows down cancels out.
    pub(crate) fn over(&self, app: App, base: App) -> Option<Spread> {
        Spread::of(self.pairs(app, base).map(|(one, other)| one - other).collect())
    }

    /// How many times the other row of the same round.
    pub(crate) fn ratio(&self, app: App, base: App) -> Option<Spread> {
        Spread::of(self.pairs(app, base).map(|(one, other)| one / other).collect())
    }

    fn pairs(&self, one: App, other: App) -> impl Iterator<Item = (f64, f64)> {
        self.of(one).iter().copied().zip(self.of(other).iter().copied())
    }

    fn of(&self, app: App) -> &[f64] {
        self.rows.iter().find(|(row, _)| *row == app).map_or(&[], |(_, samples)| samples)
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

    #[test]
    fn rows_are_compared_round_by_round() {
        let mut samples = Samples::new(vec![App::Bare, App::WithDedup]);
        // The machine is half as fast in the last two rounds.
        for (bare, ours) in [(2.0, 4.0), (2.0, 4.0), (2.0, 4.0), (4.0, 8.0), (4.0, 8.0)] {
            samples.add(App::Bare, bare);
            samples.add(App::WithDedup, ours);
        }
        let ratio = samples.ratio(App::WithDedup, App::Bare).unwrap();
        assert_eq!(ratio, Spread { lower: 2.0, median: 2.0, upper: 2.0 });
        assert_eq!(samples.over(App::WithDedup, App::Bare).unwrap().median, 2.0);
        assert_eq!(samples.time(App::WithDedup).unwrap().upper, 8.0);
    }

    #[test]
    fn quartiles_of_five_are_the_second_and_the_fourth() {
        let spread = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { lower: 2.0, median: 3.0, upper: 4.0 });
    }
}
