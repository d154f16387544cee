//! What both sinks promise beyond the contract.

use std::error::Error as _;

use dataflow_webhooks::dead_letters::{DeadLetterSink as _, DeadLetters as _, run_again};
use dataflow_webhooks::dedup::ClaimOutcome;
use dataflow_webhooks_sqlx::SqlStoreErrorKind as Kind;
use webhook_fleet_tests::calls::{claimed, done, sql_error};

use crate::letters::{ids, letter, letter_of, text};
use crate::place::Place;
use webhook_fleet_tests::on_each_database;

on_each_database!(
    scopes_do_not_see_each_other,
    a_scope_of_other_characters_is_refused,
    an_earlier_letter_that_comes_late_changes_nothing,
    u_0000_in_a_type_or_a_reason_is_kept,
    a_letter_run_again_goes_when_the_handler_has_succeeded,
    a_row_that_holds_no_letter_is_named_and_not_quoted,
    without_the_table_the_error_says_what_to_run,
    a_database_of_version_1_gets_the_letters_and_keeps_its_records,
    a_database_of_a_later_version_is_left_alone,
);

async fn scopes_do_not_see_each_other(place: impl Place) {
    let (orders, billing) = (place.sink(), place.other_sink("billing").await.unwrap());
    let ours = letter("evt_1", 1);
    orders.store(&ours).await.unwrap();
    assert!(billing.get("evt_1").await.unwrap().is_none());
    assert_eq!(ids(&billing).await, [""; 0]);
    assert!(!billing.remove(&ours).await.unwrap());
    billing.store(&letter("evt_1", 2)).await.unwrap();
    billing.store(&letter("evt_2", 3)).await.unwrap();
    // On a pool of one's own there are the letters of the same scope.
    for orders in [orders, place.other_sink(place.scope()).await.unwrap()] {
        assert_eq!(ids(&orders).await, ["evt_1"]);
        assert_eq!(text(&orders.get("evt_1").await.unwrap().unwrap()), text(&ours));
    }
}

async fn a_scope_of_other_characters_is_refused(place: impl Place) {
    let refused = place.other_sink("a b").await;
    assert_eq!(refused.err().map(|error| error.kind()), Some(Kind::InvalidScope));
}

/// A letter with more runs, or of a later sql_error, takes the place of the one that is there.
async fn an_earlier_letter_that_comes_late_changes_nothing(place: impl Place) {
    let sink = place.sink();
    for (runs, failed_at, then) in [
        (3, 30, (3, 30)),
        // As from a call that was given up and reached the database all the same.
        (2, 20, (3, 30)),
        (3, 30, (3, 30)),
        // By the clock of another machine.
        (4, 10, (4, 10)),
        // After the record of its runs was lost.
        (1, 40, (1, 40)),
    ] {
        let stored = letter_of("evt_1", "pipeline.created", runs, failed_at, "failed");
        sink.store(&stored).await.unwrap();
        let kept = sink.get("evt_1").await.unwrap().unwrap();
        let (runs_kept, failed_at_kept) = (kept.runs(), kept.failed_at().subsec_millisecond());
        assert_eq!((runs_kept, failed_at_kept), then, "after {runs} runs, at {failed_at} ms");
    }
    assert_eq!(ids(&sink).await, ["evt_1"]);
}

/// JSON can have it in a string; a text of PostgreSQL cannot.
async fn u_0000_in_a_type_or_a_reason_is_kept(place: impl Place) {
    let sink = place.sink();
    let odd = letter_of("evt_1", "odd\0type", 3, 1, "odd\0reason");
    sink.store(&odd).await.unwrap();
    let back = sink.get("evt_1").await.unwrap().unwrap();
    assert_eq!(text(&back), text(&odd));
    assert_eq!((back.event_type().as_str(), back.reason()), ("odd\0type", "odd\0reason"));
    // No event has it in its id, and asking for it is no error.
    assert!(sink.get("evt\0").await.unwrap().is_none());
}

async fn a_letter_run_again_goes_when_the_handler_has_succeeded(place: impl Place) {
    let sink = place.sink();
    for number in 1..=3 {
        sink.store(&letter(&format!("evt_{number}"), number)).await.unwrap();
    }
    let failed = run_again(&sink, "evt_2", async |_| Err("it still fails")).await.unwrap_err();
    assert_eq!(failed.to_string(), "it still fails");
    assert_eq!(ids(&sink).await, ["evt_1", "evt_2", "evt_3"]);

    let mut handled = None;
    let was_there = run_again(&sink, "evt_2", async |letter| {
        handled = Some(letter.event().id);
        Ok::<_, std::io::Error>(())
    });
    assert!(was_there.await.unwrap());
    assert_eq!(handled.as_deref(), Some("evt_2"));
    assert_eq!(ids(&sink).await, ["evt_1", "evt_3"]);
}

/// Somebody has mended it by hand, and not well.
async fn a_row_that_holds_no_letter_is_named_and_not_quoted<P: Place>(_: P) {
    let place = P::alone().await;
    let sink = place.sink();
    sink.store(&letter("evt_1", 1)).await.unwrap();
    place.sql("UPDATE dataflow_webhooks_dead_letters SET letter = 'by-hand'").await;
    let error = sql_error(sink.list(None, 10).await);
    assert_eq!(error.kind(), Kind::Other);
    assert!(error.source().is_some());
    let shown = format!("{error} {error:?}");
    assert!(error.to_string().contains("evt_1") && !shown.contains("by-hand"), "{shown}");
}

async fn without_the_table_the_error_says_what_to_run<P: Place>(_: P) {
    let place = P::without_tables().await;
    let sink = place.sink();
    for error in
        [sql_error(sink.store(&letter("evt_1", 1)).await), sql_error(sink.list(None, 10).await)]
    {
        assert_eq!(error.kind(), Kind::NotMigrated);
        assert!(error.to_string().contains("migrate()"), "{error}");
    }
}

/// As while one process after another is updated: the older build goes on beside the newer one.
async fn a_database_of_version_1_gets_the_letters_and_keeps_its_records<P: Place>(_: P) {
    let place = P::without_tables().await;
    place.sql(P::VERSION_1).await;
    place.sql("CREATE TABLE dataflow_webhooks_migrations (version bigint NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)").await;
    place.sql("INSERT INTO dataflow_webhooks_migrations VALUES (1, 0)").await;
    done(place.store(), "evt_1").await;
    place.migrate().await;
    assert_eq!(claimed(place.store(), "evt_1").await, ClaimOutcome::Done);
    done(place.store(), "evt_2").await;
    place.sink().store(&letter("evt_1", 1)).await.unwrap();
    assert_eq!(ids(&place.sink()).await, ["evt_1"]);
}

async fn a_database_of_a_later_version_is_left_alone<P: Place>(_: P) {
    let place = P::alone().await;
    place.sql("INSERT INTO dataflow_webhooks_migrations VALUES (1000, 0)").await;
    place.migrate().await;
    done(place.store(), "evt_1").await;
    place.sink().store(&letter("evt_1", 1)).await.unwrap();
}
