//! Owns the list of rules, and what is stamped from it.

use super::{SinkContract, rules};
use crate::dead_letters::DeadLetters;

/// The one list of rules. It is handed to a macro, after that macro's own arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __sink_contract_rules {
    ([$($callback:tt)+] $($arguments:tt)*) => {
        $($callback)+! {
            { $($arguments)* }
            /// A letter that was stored is listed, and got by its id.
            a_stored_letter_is_listed_and_got;
            /// Bodies come back byte for byte, whatever JSON allows in them.
            odd_bodies_come_back_byte_for_byte;
            /// So does one of 1 MiB, most of which has to be escaped.
            a_body_of_a_mebibyte_comes_back_byte_for_byte;
            /// Ids of any characters are kept as they are, and apart from similar ones.
            odd_ids_are_kept_apart;
            /// A letter of the same event takes the place of the earlier one.
            a_later_letter_takes_the_place_of_the_earlier_one;
            /// A letter that is stored again, as after a time-out, is there once.
            a_letter_stored_twice_is_there_once;
            /// The list is in the order of the time of failure, whatever the order of storing.
            the_oldest_letter_comes_first;
            /// Letters of one moment are in the order of their ids, byte by byte.
            letters_of_one_moment_are_in_the_order_of_their_ids;
            /// Pages of any size together hold each letter once, in order.
            pages_hold_each_letter_once;
            /// A page goes on where the last one ended, when that letter was removed meanwhile.
            a_page_goes_on_after_a_letter_that_is_gone;
            /// A removed letter is gone; the others stay.
            a_removed_letter_is_gone;
            /// Removing a letter that a later one has replaced leaves the later one.
            removing_an_earlier_letter_leaves_the_later_one;
            /// After its removal an event can have a letter again.
            a_removed_letter_can_be_stored_again;
            /// An empty sink has nothing to list, to get, or to remove.
            an_empty_sink_is_no_error;
            /// Letters that are stored at once are all there.
            letters_stored_at_once_are_all_there;
            /// A call that was dropped half-way can be repeated.
            a_dropped_call_can_be_repeated;
            /// A sink that is opened again has what was stored, and not what was removed.
            a_reopened_sink_has_everything;
        }
    };
}

macro_rules! stamp_methods {
    ({} $($(#[$doc:meta])* $rule:ident;)*) => {
        impl<M, R> SinkContract<M, R> {
            /// The names of the rules, in the order in which [`run`](Self::run) checks them.
            ///
            /// Each is a method of the same name.
            pub const RULES: &[&str] = &[$(stringify!($rule)),*];
        }

        impl<S, M, R> SinkContract<M, R>
        where
            S: DeadLetters,
            M: AsyncFn() -> S,
            R: AsyncFn(S) -> S,
        {
            /// Checks all rules, one after the other, each on a sink of its own.
            ///
            /// # Panics
            ///
            /// At the first rule that the sink breaks.
            pub async fn run(&self) {
                $(self.$rule().await;)*
            }

            $(
                $(#[$doc])*
                ///
                /// # Panics
                ///
                /// When the sink breaks this rule.
                pub async fn $rule(&self) {
                    rules::$rule(self.begin(stringify!($rule)).await).await;
                }
            )*
        }
    };
}

__sink_contract_rules!([stamp_methods]);

/// Stamps one `#[test]` for each rule of the contract of a sink, named after it.
///
/// The arguments are what runs a future to its end (a path or a closure), and an expression
/// that makes the [`SinkContract`](crate::testing::SinkContract); it is evaluated in each
/// test.
#[macro_export]
macro_rules! sink_contract_tests {
    ($block_on:expr, $contract:expr $(,)?) => {
        $crate::__sink_contract_rules!([$crate::__store_contract_stamp] $block_on, $contract);
    };
}
