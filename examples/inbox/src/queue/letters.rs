//! The events that were given up on, out of a table: a page of places at a time, and each event
//! by itself, so that neither their number nor their size is a matter of memory, and no
//! transaction is open while a person reads.

use std::collections::VecDeque;

use dataflow_webhooks_axum::BoxError;
use futures_util::stream::{Stream, try_unfold};

use super::Dead;

/// How many places are read at once.
pub(super) const PAGE: i64 = 1_000;

/// Where a row is in their order: by when it was given up on, and by its id.
pub(super) struct Place {
    pub(super) at: i64,
    pub(super) id: String,
}

/// The rows of a table that were given up on.
pub(super) trait Letters {
    /// The places of at most [`PAGE`] of them that come after this one, in order.
    async fn after(&self, place: &Place) -> Result<Vec<Place>, BoxError>;

    /// The one with this id, if it is one of them still.
    async fn letter(&self, id: &str) -> Result<Option<Dead>, BoxError>;
}

/// All of them, the oldest first.
pub(super) fn all(rows: &impl Letters) -> impl Stream<Item = Result<Dead, BoxError>> {
    let before_all = Place { at: -1, id: String::new() };
    try_unfold((VecDeque::new(), before_all), async |(mut page, mut last)| {
        loop {
            if page.is_empty() {
                page = rows.after(&last).await?.into();
            }
            let Some(place) = page.pop_front() else { return Ok(None) };
            let letter = rows.letter(&place.id).await?;
            last = place;
            // Somebody may have had it run again meanwhile.
            if let Some(letter) = letter {
                return Ok(Some((letter, (page, last))));
            }
        }
    })
}
