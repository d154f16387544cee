//! Tests that wait for real seconds, all at once: the whole then takes as long
//! as the longest of them, however few threads the test runner has.

use std::collections::HashMap;
use std::fmt;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::Builder;

use crate::stood_still::undisturbed;

/// Cases that run beside each other, each on a thread of its own.
pub struct AtOnce(Mutex<HashMap<&'static str, JoinHandle<()>>>);

impl AtOnce {
    /// Starts them all. One that fails while the machine stands still is begun anew.
    #[must_use]
    pub fn start(cases: &[(&'static str, fn())]) -> Self {
        let started = cases.iter().map(|&(name, case)| {
            let case = move || {
                let end = undisturbed(|| catch_unwind(case), Result::is_err);
                end.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            };
            (name, std::thread::spawn(case))
        });
        Self(Mutex::new(started.collect()))
    }

    /// Waits for one case, and fails as it has failed.
    ///
    /// # Panics
    ///
    /// When the case did.
    pub fn wait_for(&self, name: &str) {
        let case = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let case = case.expect("each case is waited for once");
        if let Err(panic) = case.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl fmt::Debug for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtOnce")
    }
}

/// Runs a case on a current-thread runtime.
///
/// # Panics
///
/// When the case does.
pub fn on_one_thread(case: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(case);
}

/// Runs a case on a multi-thread runtime.
///
/// # Panics
///
/// When the case does.
pub fn on_many_threads(case: impl Future<Output = ()> + Send + 'static) {
    let runtime =
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(case).await.expect("the case holds") });
}

/// Makes two tests of each `async fn` named, one on each kind of runtime. They
/// all start with the first.
#[macro_export]
macro_rules! at_once {
    ($($case:ident),+ $(,)?) => {
        static AT_ONCE: std::sync::LazyLock<$crate::AtOnce> = std::sync::LazyLock::new(|| {
            $crate::AtOnce::start(&[$(
                (concat!("one ", stringify!($case)), || $crate::on_one_thread($case())),
                (concat!("many ", stringify!($case)), || $crate::on_many_threads($case())),
            )+])
        });

        mod on_a_current_thread_runtime {$(
            #[test]
            fn $case() {
                super::AT_ONCE.wait_for(concat!("one ", stringify!($case)));
            }
        )+}

        mod on_a_multi_thread_runtime {$(
            #[test]
            fn $case() {
                super::AT_ONCE.wait_for(concat!("many ", stringify!($case)));
            }
        )+}
    };
}
