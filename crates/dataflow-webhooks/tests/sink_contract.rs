//! The contract suite of sinks itself: it must see a sink that breaks a rule, and say which.

#[path = "common/sink.rs"]
mod sink;

use std::panic::{AssertUnwindSafe, catch_unwind};

use dataflow_webhooks::testing::SinkContract;
use pollster::block_on;
use sink::{Fault, VecSink};

/// The suite on sinks with this fault.
fn contract(
    fault: Fault,
) -> SinkContract<impl AsyncFn() -> VecSink, impl AsyncFn(VecSink) -> VecSink> {
    SinkContract::new(async move || VecSink::with(fault), async |sink: VecSink| sink.reopened())
}

/// What a part of the suite found; `None` when it is content.
fn finding(part: impl Future<Output = ()>) -> Option<String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| block_on(part)));
    outcome.err().map(|panic| *panic.downcast::<String>().unwrap())
}

mod a_sound_sink {
    use super::*;

    dataflow_webhooks::sink_contract_tests!(block_on, contract(Fault::None));
}

#[test]
fn each_fault_breaks_the_rule_about_it() {
    for (fault, rule) in [
        (Fault::KeepsEarlier, "a_later_letter_takes_the_place_of_the_earlier_one"),
        (Fault::Unsorted, "the_oldest_letter_comes_first"),
        (Fault::IgnoresIds, "letters_of_one_moment_are_in_the_order_of_their_ids"),
        (Fault::RepeatsLast, "pages_hold_each_letter_once"),
        (Fault::StopsAtGap, "a_page_goes_on_after_a_letter_that_is_gone"),
        (Fault::IgnoresLimit, "pages_hold_each_letter_once"),
        (Fault::RemovesAny, "removing_an_earlier_letter_leaves_the_later_one"),
        (Fault::RemovesNothing, "a_removed_letter_is_gone"),
        (Fault::IgnoresCase, "odd_ids_are_kept_apart"),
        (Fault::ManglesBodies, "odd_bodies_come_back_byte_for_byte"),
        (Fault::Forgets, "a_removed_letter_can_be_stored_again"),
        (Fault::Away, "a_stored_letter_is_listed_and_got"),
    ] {
        let found = finding(contract(fault).run()).unwrap();
        assert!(found.starts_with(&format!("sink contract, {rule}: ")), "{fault:?}: {found}");
    }
}

#[test]
fn a_failing_call_is_shown_with_its_cause() {
    let found = finding(contract(Fault::Away).run()).unwrap();
    assert!(found.ends_with("store failed: the sink is away"), "{found}");
}

#[test]
fn the_rules_are_listed_by_name() {
    let names = SinkContract::<(), ()>::RULES;
    assert!(names.contains(&"a_reopened_sink_has_everything"));
}
