//! Dead letters, and the rules of every sink in SQL.

use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetters, run_again};
use serde_json::json;

/// The letter of an event of this type, whose last run of so many failed at so many milliseconds.
///
/// # Panics
///
/// When that is no letter.
#[must_use]
pub fn letter_of(
    id: &str,
    event_type: &str,
    runs: u64,
    failed_at: i64,
    reason: &str,
) -> DeadLetter {
    let time = format!(
        "2025-01-24T10:{:02}:{:02}.{:03}Z",
        failed_at / 60_000,
        failed_at / 1_000 % 60,
        failed_at % 1_000
    );
    let body = json!({"id": id, "type": event_type, "data": {"said": "\"\\\u{1}ü"}}).to_string();
    let kept = json!({
        "failed_at": time, "runs": runs, "reason": reason, "key": "current",
        "signed_at": time, "received_at": time, "body": body,
    });
    DeadLetter::from_trusted_json(kept.to_string().as_bytes()).unwrap()
}

/// A letter whose last run of three failed at so many milliseconds.
#[must_use]
pub fn letter(id: &str, failed_at: i64) -> DeadLetter {
    letter_of(id, "pipeline.run.failed", 3, failed_at, "answered 500")
}

/// All that a letter says.
///
/// # Panics
///
/// When it cannot be serialized.
#[must_use]
pub fn text(letter: &DeadLetter) -> String {
    serde_json::to_string(letter).unwrap()
}

/// The ids of all letters, in the order in which they are listed.
///
/// # Panics
///
/// When they cannot be read.
pub async fn ids(letters: &impl DeadLetters) -> Vec<String> {
    let listed = letters.list(None, 1_000).await.unwrap();
    listed.iter().map(|letter| letter.id().to_owned()).collect()
}

/// What is stored in one scope is neither seen nor removed nor replaced in another one.
///
/// # Panics
///
/// When it is.
pub async fn scopes_do_not_see_each_other(orders: &impl DeadLetters, billing: &impl DeadLetters) {
    let ours = letter("evt_1", 1);
    orders.store(&ours).await.unwrap();
    assert!(billing.get("evt_1").await.unwrap().is_none());
    assert_eq!(ids(billing).await, [""; 0]);
    assert!(!billing.remove(&ours).await.unwrap());
    billing.store(&letter("evt_1", 2)).await.unwrap();
    billing.store(&letter("evt_2", 3)).await.unwrap();
    assert_eq!(ids(orders).await, ["evt_1"]);
    assert_eq!(text(&orders.get("evt_1").await.unwrap().unwrap()), text(&ours));
}

/// A letter with more runs, or of a later failure, takes the place of the one that is there; one
/// that is earlier in both does not.
///
/// # Panics
///
/// When it is otherwise.
pub async fn an_earlier_letter_that_comes_late_changes_nothing(letters: &impl DeadLetters) {
    let kept = async || {
        let letter = letters.get("evt_1").await.unwrap().unwrap();
        (letter.runs(), letter.failed_at().subsec_millisecond())
    };
    let stored =
        |runs, failed_at| letter_of("evt_1", "pipeline.created", runs, failed_at, "failed");
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
        letters.store(&stored(runs, failed_at)).await.unwrap();
        assert_eq!(kept().await, then, "after {runs} runs, at {failed_at} ms");
    }
    assert_eq!(ids(letters).await, ["evt_1"]);
}

/// JSON can have it in a string; a text of PostgreSQL cannot.
///
/// # Panics
///
/// When the letter does not come back as it was.
pub async fn u_0000_in_a_type_or_a_reason_is_kept(letters: &impl DeadLetters) {
    let odd = letter_of("evt_1", "odd\0type", 3, 1, "odd\0reason");
    letters.store(&odd).await.unwrap();
    let back = letters.get("evt_1").await.unwrap().unwrap();
    assert_eq!(text(&back), text(&odd));
    assert_eq!((back.event_type().as_str(), back.reason()), ("odd\0type", "odd\0reason"));
    // No event has it in its id, and asking for it is no error.
    assert!(letters.get("evt\0").await.unwrap().is_none());
}

/// # Panics
///
/// When a handler that fails takes the letter away, or one that succeeds leaves it.
pub async fn a_letter_run_again_goes_when_the_handler_has_succeeded(letters: &impl DeadLetters) {
    for number in 1..=3 {
        letters.store(&letter(&format!("evt_{number}"), number)).await.unwrap();
    }
    let failed = run_again(letters, "evt_2", async |_| Err("it still fails")).await.unwrap_err();
    assert_eq!(failed.to_string(), "it still fails");
    assert_eq!(ids(letters).await, ["evt_1", "evt_2", "evt_3"]);

    let mut handled = None;
    let was_there = run_again(letters, "evt_2", async |letter| {
        handled = Some(letter.event().id);
        Ok::<_, std::io::Error>(())
    });
    assert!(was_there.await.unwrap());
    assert_eq!(handled.as_deref(), Some("evt_2"));
    assert_eq!(ids(letters).await, ["evt_1", "evt_3"]);
}
