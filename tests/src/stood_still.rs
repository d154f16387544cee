//! Real time on a machine that stands still now and then, as a virtual one does
//! that gets no processor for a second or two: then every timer of a test, and of
//! what it tests, is due at once, and in any order.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the machine runs.
const TICK: Duration = Duration::from_millis(5);

/// A thread that is only busy elsewhere is not kept from a tick for longer.
const LATEST: Duration = Duration::from_millis(50);

/// What is tried in less than this was tried on a machine that ran.
const NOTICED: Duration = Duration::from_millis(100);

/// So often something is tried at the most.
const TRIES: usize = 6;

/// How long this process has run since it was first asked, as far as it was looked.
struct Run {
    time: Duration,
    looked: Instant,
}

static RUN: LazyLock<Mutex<Run>> = LazyLock::new(|| {
    thread::spawn(|| {
        loop {
            thread::sleep(TICK);
            look();
        }
    });
    Mutex::new(Run { time: Duration::ZERO, looked: Instant::now() })
});

/// How long it has run until now.
fn look() -> Duration {
    let mut run = RUN.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let since = now - run.looked;
    run.time += since.min(LATEST);
    run.looked = now;
    run.time
}

/// Measures how long something takes, and for how much of it the machine stood still.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
    run: Duration,
}

impl Stopwatch {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Self {
        Self { run: look(), started: Instant::now() }
    }

    /// The time since, without that in which the machine stood still: what must not
    /// take long has not taken longer than this.
    #[must_use]
    pub fn ran(&self) -> Duration {
        look() - self.run
    }

    /// For how long the machine stood still since.
    #[must_use]
    pub fn stood_still(&self) -> Duration {
        let ran = self.ran();
        self.started.elapsed().saturating_sub(ran)
    }
}

/// Does it once, and once more where it failed while the machine stood still: what
/// timers then come to says nothing of what is tested. What fails on a machine that
/// runs has failed.
pub fn undisturbed<T>(mut case: impl FnMut() -> T, failed: impl Fn(&T) -> bool) -> T {
    for _ in 1..TRIES {
        let watch = Stopwatch::start();
        let came_to = case();
        let still = watch.stood_still();
        if !failed(&came_to) || still < NOTICED {
            return came_to;
        }
        eprintln!("the machine stood still for {still:?}: it is tried once more");
    }
    case()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_on_a_machine_that_runs_has_failed() {
        // Should this very machine stand still meanwhile, the last try shows it.
        let mut tries = 0;
        let mut still = Duration::MAX;
        let came_to = undisturbed(
            || {
                tries += 1;
                let watch = Stopwatch::start();
                thread::sleep(Duration::from_millis(20));
                still = watch.stood_still();
                "failed"
            },
            |_| true,
        );
        assert_eq!(came_to, "failed");
        assert!(tries == 1 || still >= NOTICED || tries == TRIES, "{tries} tries, {still:?}");
    }

    #[test]
    fn what_does_not_fail_is_done_once() {
        let mut tries = 0;
        undisturbed(|| tries += 1, |()| false);
        assert_eq!(tries, 1);
    }

    #[test]
    fn time_in_which_the_machine_runs_is_measured() {
        let watch = Stopwatch::start();
        thread::sleep(Duration::from_millis(300));
        assert!(watch.ran() + watch.stood_still() >= Duration::from_millis(299));
        // Were all of it left out, no limit on it would ever be passed.
        assert!(watch.ran() >= LATEST, "{:?}", watch.ran());
    }
}
