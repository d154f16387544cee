//! Owns the list of rules, and what is stamped from it.

use std::time::Duration;

use super::{StoreContract, rules};
use crate::dedup::DedupStore;

/// The one list of rules. It is handed to a macro, after that macro's own arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_contract_rules {
    ([$($callback:tt)+] $($arguments:tt)*) => {
        $($callback)+! {
            { $($arguments)* }
            /// The first claim of a key is New, and the next one, within its lease, InFlight.
            a_key_is_claimed_once;
            /// After the commit a claim is Done, also when the lease would have lapsed.
            a_committed_key_is_done;
            /// After the release a claim is New, with the next epoch.
            a_released_key_is_new_again;
            /// Once the key is claimed anew, the holder that had released it can do nothing.
            a_reclaimed_key_refuses_the_holder_that_released_it;
            /// Once the lease has lapsed, a claim is New, with the next epoch.
            a_lapsed_lease_can_be_taken_over;
            /// A holder whose lease lapsed and was taken over can do nothing, then or later.
            a_holder_that_was_taken_over_is_refused;
            /// A lapsed lease that nobody took over is renewed, and then held.
            a_lapsed_lease_nobody_took_still_renews;
            /// A lapsed lease that nobody took over commits.
            a_lapsed_lease_nobody_took_still_commits;
            /// A lapsed lease that nobody took over is released.
            a_lapsed_lease_nobody_took_still_releases;
            /// A commit that is repeated, as after a time-out, is held.
            a_repeated_commit_is_held;
            /// A release that is repeated is held.
            a_repeated_release_is_held;
            /// A release after the commit is refused, and the key stays done.
            a_release_after_the_commit_leaves_it_done;
            /// A commit after the release is refused, and the key can be claimed.
            a_commit_after_the_release_is_refused;
            /// A renewal extends the lease, as often as it is made.
            a_renewal_extends_the_lease;
            /// Neither a done nor a released claim is renewed.
            a_settled_claim_is_not_renewed;
            /// A done key that was forgotten is New, with the next epoch.
            a_forgotten_key_is_new_again;
            /// Forgetting a claim in flight takes it from its holder.
            a_forgotten_claim_is_refused;
            /// Forgetting an absent key is no error, and makes no record.
            forgetting_an_absent_key_changes_nothing;
            /// Nobody holds a key that has no record, and asking makes none.
            an_absent_key_is_not_held;
            /// A claim with an epoch that was never given out is refused, be it lower or higher.
            an_invented_epoch_is_refused;
            /// Epochs begin at 1 and rise by one with each claim, over a hundred runs.
            epochs_count_the_runs;
            /// A done key is New once its retention is over.
            a_done_record_expires;
            /// A claim whose record has expired is refused.
            an_expired_claim_is_refused;
            /// A renewal, a release, a claim and a commit each start the retention anew.
            a_change_starts_the_retention_anew;
            /// A duplicate or a repeated commit does not lengthen the retention.
            a_duplicate_does_not_lengthen_the_retention;
            /// What happens to one key is not seen by another.
            keys_do_not_influence_each_other;
            /// Keys that differ in case, in one character or only as hashes are different keys.
            similar_keys_are_distinct;
            /// Of many claims at once exactly one is New; the others are InFlight.
            one_of_many_claims_at_once_wins;
            /// Of many claims at once of a lapsed lease exactly one is New.
            one_of_many_takeovers_at_once_wins;
            /// A late commit and a takeover at once agree on who was first.
            a_late_commit_and_a_takeover_at_once_agree;
            /// A claim whose call was dropped half-way leaves a key that can be claimed, at the
            /// latest when the lease has lapsed.
            a_dropped_claim_lapses;
            /// A commit whose call was dropped half-way can be repeated.
            a_dropped_commit_can_be_repeated;
        }
    };
}

macro_rules! stamp_methods {
    ({} $($(#[$doc:meta])* $rule:ident;)*) => {
        impl<M, A> StoreContract<M, A> {
            /// The names of the rules, in the order in which [`run`](Self::run) checks them.
            ///
            /// Each is a method of the same name.
            pub const RULES: &[&str] = &[$(stringify!($rule)),*];
        }

        impl<S, M, A> StoreContract<M, A>
        where
            S: DedupStore,
            M: AsyncFn() -> S,
            A: AsyncFn(Duration),
        {
            /// Checks all rules, one after the other, each on a store of its own.
            ///
            /// # Panics
            ///
            /// At the first rule that the store breaks.
            pub async fn run(&self) {
                $(self.$rule().await;)*
            }

            $(
                $(#[$doc])*
                ///
                /// # Panics
                ///
                /// When the store breaks this rule.
                pub async fn $rule(&self) {
                    rules::$rule(&self.begin(stringify!($rule)).await).await;
                }
            )*
        }
    };
}

__store_contract_rules!([stamp_methods]);

/// Stamps one `#[test]` for each rule of the store contract, named after it.
///
/// The arguments are what runs a future to its end (a path or a closure), and an expression that
/// makes the [`StoreContract`](crate::testing::StoreContract); it is evaluated in each test.
///
/// ```
/// use dataflow_webhooks::dedup::{DedupStore, MemoryStore};
/// use dataflow_webhooks::testing::{ManualClock, StoreContract};
///
/// fn contract() -> StoreContract<impl AsyncFn() -> MemoryStore, impl AsyncFn(std::time::Duration)> {
///     let clock = ManualClock::new();
///     let read = clock.clone();
///     StoreContract::new(
///         async move || {
///             let clock = read.clone();
///             MemoryStore::new().with_clock(move || clock.now())
///         },
///         async move |time| clock.advance(time),
///     )
/// }
///
/// dataflow_webhooks::store_contract_tests!(pollster::block_on, contract());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_contract_tests {
    ($block_on:expr, $contract:expr $(,)?) => {
        $crate::__store_contract_rules!([$crate::__store_contract_stamp] $block_on, $contract);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_contract_stamp {
    ({ $block_on:expr, $contract:expr } $($(#[$doc:meta])* $rule:ident;)*) => {$(
        $(#[$doc])*
        #[test]
        fn $rule() {
            let contract = $contract;
            ($block_on)(contract.$rule());
        }
    )*};
}
