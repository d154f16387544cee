//! What one line of the file says: that a letter is there, or was removed.

use dataflow_webhooks::dead_letters::DeadLetter;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) enum Line {
    Letter {
        event_id: String,
        failed_at: Timestamp,
    },
    Removal {
        event_id: String,
        failed_at: Timestamp,
    },
    /// There is nothing in it, or a half.
    Unreadable,
}

impl Line {
    pub(super) fn read(line: &[u8]) -> Self {
        if let Ok(letter) = DeadLetter::from_trusted_json(line) {
            let event_id = letter.id().to_owned();
            return Self::Letter { event_id, failed_at: letter.failed_at() };
        }
        let removal = || {
            let line: Value = serde_json::from_slice(line).ok()?;
            let member = |name| line["removed"][name].as_str();
            let failed_at = member("failed_at")?.parse().ok()?;
            Some(Self::Removal { event_id: member("event_id")?.to_owned(), failed_at })
        };
        removal().unwrap_or(Self::Unreadable)
    }
}

/// The line that says that a letter was removed.
pub(super) fn removal(event_id: &str, failed_at: Timestamp) -> Vec<u8> {
    let line = json!({ "removed": { "event_id": event_id, "failed_at": failed_at.to_string() } });
    line.to_string().into_bytes()
}
