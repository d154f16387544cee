//! Tells what happened to an event, for people who look into a broken promise.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Record, Violation, What};

/// So many events are told of; the others are likely more of the same.
const EVENTS: usize = 5;

/// These violations in words, each event with its whole history and with the faults that
/// fell into it. Times are in milliseconds since the event was first heard of.
#[must_use]
pub fn told(violations: &[Violation], records: &[Record]) -> String {
    let mut text = format!("{} broken promises\n", violations.len());
    let ids: BTreeSet<_> = violations.iter().map(Violation::id).collect();
    for id in ids.iter().take(EVENTS) {
        for violation in violations.iter().filter(|violation| violation.id() == *id) {
            let _ = writeln!(text, "{violation}");
        }
        text.push_str(&story(id, records));
    }
    if ids.len() > EVENTS {
        let _ = writeln!(text, "and {} more events", ids.len() - EVENTS);
    }
    text
}

fn story(id: &str, records: &[Record]) -> String {
    let mut own: Vec<_> = records.iter().filter(|record| record.what.id() == Some(id)).collect();
    own.sort_by_key(|record| record.at);
    let (Some(first), Some(last)) = (own.first(), own.last()) else { return String::new() };
    let (begin, end) = (first.at, last.at);
    let falls_into_it = |record: &&Record| match record.what {
        What::Fault { since, .. } => since <= end && record.at >= begin,
        _ => false,
    };
    own.extend(records.iter().filter(falls_into_it));
    own.sort_by_key(|record| record.at);
    let after = |at: u64| {
        let micros = (i128::from(at) - i128::from(begin)) / 1_000;
        format!("{}.{:03}", micros / 1_000, micros.unsigned_abs() % 1_000)
    };
    let mut text = String::new();
    for record in own {
        let what = match &record.what {
            What::Fault { kind, of, since } => {
                let of = of.map_or("the store".into(), |process| process.to_string());
                format!("fault: {kind} of {of}, since {}", after(*since))
            }
            What::Claimed { epoch, called, .. } => {
                format!("Claimed {{ epoch: {epoch} }}, asked for at {}", after(*called))
            }
            What::Renewed { epoch, called, .. } => {
                format!("Renewed {{ epoch: {epoch} }}, asked for at {}", after(*called))
            }
            other => format!("{other:?}").replace(&format!("id: {id:?}, "), ""),
        };
        let _ = writeln!(text, "{:>12} {:>8} {what}", after(record.at), record.process);
    }
    text
}
