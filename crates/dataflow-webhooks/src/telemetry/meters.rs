//! When the series of an endpoint are taken from the recorder.

use std::sync::Arc;
#[cfg(feature = "metrics")]
use std::sync::OnceLock;

use super::series::Series;
#[cfg(feature = "metrics")]
use crate::caught::caught;

/// The series of one endpoint, from the first update on.
///
/// An application may install its recorder after it has made its endpoints, so
/// nothing that is taken when an endpoint is made is kept.
pub(super) struct Meters {
    endpoint: Arc<str>,
    #[cfg(feature = "metrics")]
    series: OnceLock<Series>,
}

impl Meters {
    /// For the endpoint of this name, whose keys have these labels now. Where a
    /// recorder is installed by now, every series of theirs begins at 0.
    pub(super) fn new(endpoint: &str, keys: &[String]) -> Self {
        let endpoint = Arc::from(endpoint);
        #[cfg(feature = "metrics")]
        {
            let series = Series::of(&endpoint);
            keys.iter().for_each(|key| series.with_key(key, |_| ()));
            Self { endpoint, series: OnceLock::new() }
        }
        #[cfg(not(feature = "metrics"))]
        {
            let _ = keys;
            Self { endpoint }
        }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Does something to the series. Without the feature it is not done.
    ///
    /// A recorder is the application's code and may panic. That must cost no more than
    /// the update: this is called between a count that goes up and the guard that takes
    /// it down again, and in drops.
    pub(super) fn update(&self, work: impl FnOnce(&Series)) {
        #[cfg(feature = "metrics")]
        {
            let update = || work(self.series.get_or_init(|| Series::of(&self.endpoint)));
            // No series is left half-way: their locks are taken over when poisoned.
            _ = caught(update);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = work;
    }
}
