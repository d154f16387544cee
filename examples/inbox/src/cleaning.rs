//! When that which is remembered no longer is deleted: soon after the start, so that a worker
//! which never lives long does it as well, and then every ten minutes.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use dataflow_webhooks_axum::BoxError;
use receiver::in_full;
use tokio::time::sleep;
use tracing::warn;

/// Before this the queue has other things to do, and may not be there yet.
const EARLIEST: Duration = Duration::from_secs(5);

/// Workers that start together do not clean up together.
const SPREAD: Duration = Duration::from_secs(25);

const PERIOD: Duration = Duration::from_secs(10 * 60);

/// Takes this step again and again. One that fails is logged, and taken again in its turn.
pub(crate) async fn for_ever<F>(mut step: impl FnMut() -> F)
where
    F: Future<Output = Result<(), BoxError>>,
{
    sleep(first_pause()).await;
    loop {
        if let Err(error) = step().await {
            warn!("what was processed long ago was not deleted: {}", in_full(&*error));
        }
        sleep(PERIOD).await;
    }
}

/// Another one in each process.
fn first_pause() -> Duration {
    // Its seed is random.
    let any = RandomState::new().hash_one(());
    EARLIEST + SPREAD.mul_f64(any as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::{Instant, timeout};

    use super::*;

    /// When the steps of so much time were taken.
    async fn steps_within(time: Duration) -> Vec<Duration> {
        let (began, steps) = (Instant::now(), RefCell::new(Vec::new()));
        let step = || {
            steps.borrow_mut().push(began.elapsed());
            async { Err("the queue is away".into()) }
        };
        timeout(time, for_ever(step)).await.unwrap_err();
        steps.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_lives_for_half_a_minute_has_cleaned_up_but_not_at_once() {
        let steps = steps_within(Duration::from_secs(31)).await;
        assert_eq!(steps.len(), 1, "{steps:?}");
        assert!(steps[0] >= Duration::from_secs(5), "{steps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_done_again_every_ten_minutes_whatever_became_of_it() {
        let steps = steps_within(Duration::from_secs(31 * 60)).await;
        assert_eq!(steps.len(), 4, "{steps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn workers_that_start_together_do_not_clean_up_together() {
        let mut firsts = Vec::new();
        for _ in 0..20 {
            firsts.extend(steps_within(Duration::from_secs(31)).await);
        }
        let (least, most) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
        // Of even chances, these are less than one in a hundred million.
        assert!(*most - *least > Duration::from_secs(8), "{firsts:?}");
    }
}
