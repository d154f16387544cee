//! Owns the time in which the machine ran. A virtual one stands still now and then, for seconds,
//! while all clocks go on: then leases lapse and calls take too long, and it is nobody's doing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

use crate::history::now;

/// How long a sleep may take beyond its time before the rest counts as a stall: less than what may
/// break a rule, and more than a processor that others want as well costs mostly.
const BEYOND: Duration = Duration::from_millis(50);

/// How long the one who watches for stalls sleeps.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a test is tried that fails while the machine stands still.
const TRIES: u32 = 5;

/// All stalls so far, and when was the last look.
static SEEN: Mutex<Seen> = Mutex::new(Seen { stalled: 0, at: 0 });

struct Seen {
    stalled: u64,
    at: u64,
}

impl Seen {
    /// So much of the time since the last look was a stall.
    fn since_then(&self) -> u64 {
        let late = now().saturating_sub(self.at).saturating_sub(nanos(PAUSE));
        if late > nanos(BEYOND) { late } else { 0 }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds, since the first question, in which this process had no processor.
fn stalled() -> u64 {
    static WATCH: Once = Once::new();
    let seen = || SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    WATCH.call_once(|| {
        seen().at = now();
        thread::spawn(move || {
            loop {
                thread::sleep(PAUSE);
                let mut seen = seen();
                seen.stalled += seen.since_then();
                seen.at = now();
            }
        });
    });
    let seen = seen();
    seen.stalled + seen.since_then()
}

/// A clock that stands still with the machine: for limits that hold where it runs.
#[derive(Debug)]
pub struct Awake {
    began: u64,
    stalled: u64,
}

impl Awake {
    /// Starts at zero.
    #[must_use]
    pub fn now() -> Self {
        // In this order: a stall between the two is in both.
        let (began, stalled) = (now(), stalled());
        Self { began, stalled }
    }

    /// The time since then, without stalls.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        // A stall that comes after the end of the time must not be taken off it.
        let time = Duration::from_nanos(now().saturating_sub(self.began));
        time.saturating_sub(self.stalled())
    }

    /// How long the machine stood still since then.
    #[must_use]
    pub fn stalled(&self) -> Duration {
        Duration::from_nanos(stalled().saturating_sub(self.stalled))
    }
}

/// Runs a test on a runtime of its own. Where it fails and the machine stood still meanwhile, all of
/// it runs again: a server's clock, a lease and a client's limit went on.
///
/// # Panics
///
/// As the test, when the machine ran all the time, or at the fifth stall.
pub fn unless_stalled(test: impl AsyncFn()) {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    for left in (0..TRIES).rev() {
        let awake = Awake::now();
        let run = || runtime().expect("a runtime").block_on(test());
        let Err(failed) = catch_unwind(AssertUnwindSafe(run)) else { return };
        let stalled = awake.stalled();
        if stalled.is_zero() || left == 0 {
            resume_unwind(failed);
        }
        eprintln!("the machine stood still for {stalled:?}: once more");
    }
}

/// Makes of each `async fn rule()` a test that runs again where it fails and the machine stood still.
#[macro_export]
macro_rules! tests_unless_stalled {
    ($($rule:ident),+ $(,)?) => { $(
        mod $rule {
            #[test]
            fn unless_the_machine_stalls() {
                $crate::awake::unless_stalled(async || super::$rule().await);
            }
        }
    )+ };
}

/// Stamps one `#[test]` for each rule of the store contract, on a store whose clock goes on while the
/// machine stands still. The argument makes the contract.
#[macro_export]
macro_rules! store_contract_tests_unless_stalled {
    ($contract:expr) => {
        ::dataflow_webhooks::__store_contract_rules!([$crate::__rule_unless_stalled] $contract);
    };
}

/// The same for the contract of sinks.
#[macro_export]
macro_rules! sink_contract_tests_unless_stalled {
    ($contract:expr) => {
        ::dataflow_webhooks::__sink_contract_rules!([$crate::__rule_unless_stalled] $contract);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __rule_unless_stalled {
    ({ $contract:expr } $($(#[$doc:meta])* $rule:ident;)*) => {$(
        $(#[$doc])*
        #[test]
        fn $rule() {
            // What it needs may have to be made outside of a runtime.
            drop($contract);
            $crate::awake::unless_stalled(async || $contract.$rule().await);
        }
    )*};
}
