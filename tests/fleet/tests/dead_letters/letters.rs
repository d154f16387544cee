//! Letters, and what is said of them again and again.

use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetters};
use serde_json::json;

/// The letter of an event of this type, whose last run of so many failed at so many milliseconds,
/// less than a second.
pub(crate) fn letter_of(
    id: &str,
    event_type: &str,
    runs: u64,
    failed_at: u32,
    reason: &str,
) -> DeadLetter {
    let time = format!("2025-01-24T10:30:00.{failed_at:03}Z");
    let body = json!({"id": id, "type": event_type, "data": {"said": "\"\\\u{1}ü"}}).to_string();
    let kept = json!({
        "failed_at": time, "runs": runs, "reason": reason, "key": "current",
        "signed_at": time, "received_at": time, "body": body,
    });
    DeadLetter::from_trusted_json(kept.to_string().as_bytes()).unwrap()
}

/// A letter whose last run of three failed at so many milliseconds.
pub(crate) fn letter(id: &str, failed_at: u32) -> DeadLetter {
    letter_of(id, "pipeline.run.failed", 3, failed_at, "answered 500")
}

/// All that a letter says.
pub(crate) fn text(letter: &DeadLetter) -> String {
    serde_json::to_string(letter).unwrap()
}

/// The ids of all letters, in the order in which they are listed.
pub(crate) async fn ids(letters: &impl DeadLetters) -> Vec<String> {
    let listed = letters.list(None, 1_000).await.unwrap();
    listed.iter().map(|letter| letter.id().to_owned()).collect()
}
