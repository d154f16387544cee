//! Dead letters: what becomes of an event whose handler always fails.
//!
//! The platform disables a whole webhook after five failed attempts ("Error
//! Handling" in its documentation), so one event that no run gets through can
//! silence all others. With
//! [`EndpointBuilder::dead_letters`](crate::EndpointBuilder::dead_letters), a
//! delivery whose handler has failed often enough goes to a [`DeadLetterSink`], and
//! **only when that has stored it durably** it is recorded as done and answered 200.
//! Where the sink fails, the handler's answer stands and the event comes again.
//!
//! A sink that can also be read is a [`DeadLetters`]: it lists its letters, and
//! [`run_again`] gives one to a handler once more, after the bug is mended.
//! A letter stays until it was run again or is [removed](DeadLetters::remove), also
//! when its event has succeeded meanwhile: forgotten and delivered again, say.
//!
//! What runs is counted by the claim's epoch: a run whose process died counts, and
//! so does one that was cut off at its longest run. A letter is only written at the
//! end of a run that failed. A handler that kills its whole process never gets
//! there: work that may do that belongs behind a queue.
//!
//! A letter holds the whole body. Wherever letters are kept, your customers' data is:
//! guard it, and remove letters that are no longer needed.

mod letter;

use std::pin::Pin;
use std::sync::Arc;

use crate::BoxError;

pub use letter::{DeadLetter, DeadLetterError};

/// The future of one call of a sink.
pub type SinkFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// Keeps the deliveries that no run got through.
///
/// The trait is object-safe. [`DeadLetters`] is what a sink is that can be read.
///
#[doc = include_str!("toy_sink.md")]
pub trait DeadLetterSink: Send + Sync {
    /// Stores the letter. `Ok` means that a crash or a loss of power cannot take it
    /// back: the sender is answered 200 and never sends the event again.
    ///
    /// There is at most one letter of an event: one that is stored again, with more
    /// runs, takes the place of the earlier one.
    ///
    /// The caller drops the future after 2 seconds, and takes the letter as not
    /// stored; should it be stored all the same, the event runs again, and is stored
    /// again or succeeds: then there is a letter of an event that is done.
    ///
    /// # Errors
    /// When the letter is not stored, or that is not known.
    fn store<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, ()>;
}

/// A sink whose letters can be looked at, run again and removed.
pub trait DeadLetters: DeadLetterSink {
    /// The oldest letters first, by [`failed_at`](DeadLetter::failed_at) and then by
    /// id, compared byte by byte; at most `limit` of them, from the first that follows
    /// `after` in this order, whether that one is still there or not.
    ///
    /// ```
    /// # use dataflow_webhooks::{BoxError, dead_letters::DeadLetters};
    /// async fn print(letters: &impl DeadLetters) -> Result<(), BoxError> {
    ///     let mut last = None;
    ///     loop {
    ///         let page = letters.list(last.as_ref(), 100).await?;
    ///         for letter in &page {
    ///             println!("{} {} {}", letter.failed_at(), letter.id(), letter.reason());
    ///         }
    ///         match page.into_iter().next_back() {
    ///             Some(letter) => last = Some(letter),
    ///             None => return Ok(()),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// When the sink cannot be read.
    fn list<'a>(
        &'a self,
        after: Option<&'a DeadLetter>,
        limit: usize,
    ) -> SinkFuture<'a, Vec<DeadLetter>>;

    /// The letter of the event with this id.
    ///
    /// # Errors
    /// When the sink cannot be read.
    fn get<'a>(&'a self, event_id: &'a str) -> SinkFuture<'a, Option<DeadLetter>>;

    /// Removes a letter, and tells whether it was there: a later one of the same
    /// event stays.
    ///
    /// # Errors
    /// When the letter is not removed, or that is not known.
    fn remove<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, bool>;
}

/// Gives the letter of this event to `handler`, and removes it when that has
/// succeeded. Tells whether there was one.
///
/// The event stays done in the dedup store: deliveries of it that are still to come
/// are answered 200 and run nothing. Two that call this at the same time both run the
/// handler; and there may be a letter of an event that a later run got through, where the
/// sink had answered too late. So the handler should do no harm twice here either.
///
/// ```
/// use dataflow_webhooks::dead_letters::{DeadLetters, run_again};
/// use dataflow_webhooks::{BoxError, Event};
///
/// async fn handle(event: Event) -> Result<(), BoxError> {
///     println!("{} is handled", event.id);
///     Ok(())
/// }
///
/// async fn after_the_bug_fix(letters: &impl DeadLetters) -> Result<(), BoxError> {
///     let was_there = run_again(letters, "evt_1", async |letter| handle(letter.event()).await).await?;
///     assert!(was_there);
///     Ok(())
/// }
/// ```
///
/// # Errors
/// What the handler failed with: the letter stays. Or what the sink failed with: where
/// the handler had succeeded, the letter may still be there.
pub async fn run_again<S, H, E>(letters: &S, event_id: &str, handler: H) -> Result<bool, BoxError>
where
    S: DeadLetters + ?Sized,
    H: AsyncFnOnce(&DeadLetter) -> Result<(), E>,
    E: Into<BoxError>,
{
    let Some(letter) = letters.get(event_id).await? else { return Ok(false) };
    handler(&letter).await.map_err(Into::into)?;
    letters.remove(&letter).await?;
    Ok(true)
}

macro_rules! forward_to_pointee {
    ($($pointer:ident)*) => {$(
        impl<S: ?Sized + DeadLetterSink> DeadLetterSink for $pointer<S> {
            fn store<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, ()> {
                (**self).store(letter)
            }
        }

        impl<S: ?Sized + DeadLetters> DeadLetters for $pointer<S> {
            fn list<'a>(
                &'a self,
                after: Option<&'a DeadLetter>,
                limit: usize,
            ) -> SinkFuture<'a, Vec<DeadLetter>> {
                (**self).list(after, limit)
            }

            fn get<'a>(&'a self, event_id: &'a str) -> SinkFuture<'a, Option<DeadLetter>> {
                (**self).get(event_id)
            }

            fn remove<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, bool> {
                (**self).remove(letter)
            }
        }
    )*};
}

forward_to_pointee!(Arc Box);
