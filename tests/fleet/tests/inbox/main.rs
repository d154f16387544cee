//! `examples/inbox`: what was answered 200 is worked on, whatever dies when, and what cannot
//! be is kept. The rules are held on each kind of queue.

mod place;

mod crashes;
mod letters;
mod looks;
mod nats;
mod programs;
mod rules;
mod stopping;
mod transactions;
mod written;

/// Makes of `async fn rule(place: Place)` a test on each of these kinds of queue.
macro_rules! on {
    ($kinds:tt $($rule:ident),+ $(,)?) => { $(
        mod $rule {
            use super::$rule;
            use crate::place::Place;

            crate::on! { @ $rule $kinds }
        }
    )+ };
    (@ $rule:ident [$($kind:ident),+]) => { $(
        #[test]
        fn $kind() {
            webhook_fleet_tests::awake::unless_stalled(async || $rule(Place::$kind()).await);
        }
    )+ };
}

use on;
