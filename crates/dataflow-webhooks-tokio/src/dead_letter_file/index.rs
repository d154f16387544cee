//! Where each letter is in the file, in the order of the list.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;

/// Where a line is, in bytes, its line break left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) length: usize,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    in_order: BTreeMap<(Timestamp, Arc<str>), Span>,
    by_id: HashMap<Arc<str>, Timestamp>,
}

impl Index {
    /// This letter takes the place of an earlier one of the event.
    pub(super) fn insert(&mut self, event_id: &str, failed_at: Timestamp, span: Span) {
        let event_id: Arc<str> = event_id.into();
        if let Some(earlier) = self.by_id.insert(event_id.clone(), failed_at) {
            self.in_order.remove(&(earlier, event_id.clone()));
        }
        self.in_order.insert((failed_at, event_id), span);
    }

    /// Takes out this letter, and not a later one of the event.
    pub(super) fn remove(&mut self, event_id: &str, failed_at: Timestamp) {
        if self.has(event_id, failed_at) {
            self.by_id.remove(event_id);
            self.in_order.remove(&(failed_at, event_id.into()));
        }
    }

    pub(super) fn has(&self, event_id: &str, failed_at: Timestamp) -> bool {
        self.by_id.get(event_id) == Some(&failed_at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn get(&self, event_id: &str) -> Option<Span> {
        let failed_at = self.by_id.get(event_id)?;
        self.in_order.get(&(*failed_at, event_id.into())).copied()
    }

    /// All that follow this place in the list.
    pub(super) fn after(&self, place: Option<(Timestamp, String)>) -> impl Iterator<Item = Span> {
        let from = match place {
            Some((failed_at, event_id)) => Bound::Excluded((failed_at, event_id.into())),
            None => Bound::Unbounded,
        };
        self.in_order.range((from, Bound::Unbounded)).map(|(_, span)| *span)
    }
}
