//! Medians and percentiles.

/// Some figures of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The figure that this share of them does not exceed; not a number where there are
    /// none.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        sorted.get((last * share).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_figures() {
        let mut figures = Figures::default();
        for figure in (0..=100).rev() {
            figures.add(f64::from(figure));
        }
        assert_eq!((figures.median(), figures.at(0.99), figures.count()), (50.0, 99.0, 101));
        assert!(Figures::default().median().is_nan());
    }
}
