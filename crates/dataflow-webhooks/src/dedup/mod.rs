//! Event-id deduplication: which delivery of an event runs, and which one does not.
//!
//! The platform may deliver an event several times ("Idempotency" in its documentation) and asks
//! the receiver to tell by the event's id. A [`DedupStore`] remembers the ids. It does not only
//! note that an event *was* processed: it hands out a [`Claim`] *before* the handler runs, so that
//! two deliveries of one event never run at once, and an event whose handler failed runs again.
//!
//! [`MemoryStore`] serves one process. A fleet shares a store in a database.
//!
//! # The contract of a store
//!
//! A store keeps one record per [`DedupKey`]:
//!
//! ```text
//!              claim                      commit
//!   absent ───────────▶ Claimed(epoch) ───────────▶ Done(epoch)
//!                        │   ▲                        │
//!                release │   │ claim: epoch + 1       │ forget
//!                        ▼   │                        │
//!                      Released(epoch) ◀──────────────┘
//! ```
//!
//! `Claimed` carries the end of its lease. Each operation is one atomic step, and answers:
//!
//! | the record                       | `claim`         | `renew` | `commit`    | `release`       |
//! |----------------------------------|-----------------|---------|-------------|-----------------|
//! | absent, or past its retention    | New, epoch 1    | No      | No          | No              |
//! | Claimed, lease running           | InFlight        | Yes     | Yes → Done  | Yes → Released  |
//! | Claimed, lease lapsed            | New, next epoch | Yes     | Yes → Done  | Yes → Released  |
//! | Released                         | New, next epoch | No      | No          | Yes, no change  |
//! | Done                             | Done            | No      | Yes, no change | No, no change |
//!
//! The three columns on the right are for a claim with the record's own epoch. For any other
//! epoch, lower or higher, the answer is [`Held::No`] and nothing changes.
//!
//! * **Epochs.** The first claim of a record has epoch 1, and each further one has the next number,
//!   for as long as the record lives: the epoch is a fencing token, and it counts the runs. A
//!   holder that released its claim, or whose lease lapsed and was taken over, can neither renew,
//!   commit nor release any more. That is why release and forget keep the record: if they deleted
//!   it, the epochs would begin again, and a late holder could be taken for the new one. (A record
//!   past its retention may keep counting, too.)
//! * **A lapsed lease** only allows others to take over. While nobody has, its holder still renews,
//!   commits and releases.
//! * **Repeating** a commit or a release is safe, so a caller can try again after a time-out: the
//!   record remembers its epoch, the answer is [`Held::Yes`], and nothing changes.
//! * **A release** leaves `Done` as it is and answers [`Held::No`].
//! * **`forget`** turns a record into `Released`, keeping its epoch and the end of its retention,
//!   so that the next delivery of that event runs. Forgetting a record in flight takes the claim
//!   from its holder, whose renewals and commits are refused from then on. Forgetting an absent
//!   record is not an error.
//! * **Retention.** A record is kept for the retention from its last change, whatever its state.
//!   A claim that was granted, a renewal, a commit and a release are changes; a claim answered
//!   `Done` or `InFlight`, a refused or repeated call and `forget` are none. After that time the
//!   record counts as absent, even if it is still stored.
//! * **Cancellation.** Any call may be dropped at any point. It then has either happened or not,
//!   and the store works on. A claim that was made but never heard of lapses by itself.
//! * **Errors** mean that the store does not know, or could not do it. The caller treats the step
//!   as not done, and may repeat it.
//! * **Keys** are compared byte by byte: case counts, nothing is trimmed, normalised or cut.
//!
//! The suite `testing::StoreContract` (feature `testing`) holds a store to every line above.

mod claim;
mod key;
mod memory;
mod scope;

use std::pin::Pin;
use std::sync::Arc;

pub use self::claim::{Claim, ClaimOutcome, Held, Terms};
pub use self::key::DedupKey;
pub use self::memory::{MemoryStore, StoreFull};
pub use self::scope::{Scope, ScopeError};

/// Any error, boxed: what a store answers when it cannot say.
///
/// Box the source itself, not its text, so that `source()` still leads to it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The future of one store call.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// Remembers which events were claimed and which are done.
///
/// The [module's documentation](self) states what each operation answers in each state. Only
/// verified deliveries reach a store. The caller bounds the time of every call; a store needs no
/// time-out of its own.
///
/// The trait is object-safe, and no method has a default body: each operation is an atomic step
/// that only the store itself can take.
///
#[doc = include_str!("toy_store.md")]
pub trait DedupStore: Send + Sync {
    /// Takes the event for one run, if it is neither done nor in flight.
    ///
    /// The claim is held for [`Terms::lease`] from now.
    ///
    /// # Errors
    /// When the store cannot say, or has no room. Whether the claim was made is then unknown; if it
    /// was, it lapses by itself.
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome>;

    /// Extends the lease to [`Terms::lease`] from now.
    ///
    /// # Errors
    /// When the store cannot say.
    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held>;

    /// Marks the event as done. It is safe to repeat.
    ///
    /// # Errors
    /// When the store cannot say. The commit may have happened: repeat it.
    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held>;

    /// Gives the event back, so that its next delivery runs. It is safe to repeat.
    ///
    /// # Errors
    /// When the store cannot say. If the release did not happen, the lease lapses by itself.
    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held>;

    /// Lets the next delivery of this event run again, done or not: for the repair after a bug.
    ///
    /// A handler that holds the event at this moment loses its claim.
    ///
    /// # Errors
    /// When the store cannot say.
    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()>;
}

macro_rules! forward_to_pointee {
    ($($pointer:ident)*) => {$(
        impl<S: ?Sized + DedupStore> DedupStore for $pointer<S> {
            fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
                (**self).claim(key, terms)
            }

            fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
                (**self).renew(claim, terms)
            }

            fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
                (**self).commit(claim, terms)
            }

            fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
                (**self).release(claim, terms)
            }

            fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
                (**self).forget(key)
            }
        }
    )*};
}

forward_to_pointee!(Arc Box);
