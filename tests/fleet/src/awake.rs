//! Owns what becomes of a test during which the machine stood still, as a virtual one does now and
//! then, for seconds, while all clocks go on: then leases lapse and calls take too long, and it is
//! nobody's doing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use webhook_tests::undisturbed;

/// Runs a test on a runtime of its own. Where it fails and the machine stood still meanwhile, all of
/// it runs again: a server's clock, a lease and a client's limit went on.
///
/// # Panics
///
/// As the test, when the machine ran all the time, or at the sixth stall.
pub fn unless_stalled(test: impl AsyncFn()) {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let run = || {
        let run = || runtime().expect("a runtime").block_on(test());
        catch_unwind(AssertUnwindSafe(run))
    };
    undisturbed(run, Result::is_err).unwrap_or_else(|failed| resume_unwind(failed));
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
