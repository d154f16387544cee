//! Owns what each store does with its records: how often its database is asked, and what is made of
//! the answers.

use std::num::NonZeroU32;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, ClaimOutcome, DedupKey, Held, Terms};
use tokio::time::sleep;

use crate::error::{CommitError, SqlStoreError, SqlStoreErrorKind};
use crate::record::{Ask, Found, milliseconds, stored_epoch};

/// The pauses before a record that somebody has locked is looked at again: a quarter of a second.
const PAUSES: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
    Duration::from_millis(64),
    Duration::from_millis(128),
];

/// The records of one scope in one database. Each call is one atomic step; the numbers are
/// milliseconds, as the database has them.
pub(crate) trait Records: Send + Sync + 'static {
    /// What a transaction runs on.
    type Connection: Send;

    fn scope(&self) -> &str;

    /// Claims the event if it is free.
    fn take(
        &self,
        key: &DedupKey,
        lease_and_retention: [i64; 2],
    ) -> impl Future<Output = Result<Step, SqlStoreError>> + Send;

    /// Brings a claim into another state. The numbers are its epoch, the state, the lease and the
    /// retention. What is found is the record of this epoch.
    fn change(
        &self,
        key: &DedupKey,
        numbers: [i64; 4],
    ) -> impl Future<Output = Result<Step, SqlStoreError>> + Send;

    /// Commits inside the transaction on this connection. Whether the event is done under this
    /// epoch now, as the transaction sees it.
    fn commit_in(
        &self,
        connection: &mut Self::Connection,
        key: &DedupKey,
        epoch: i64,
        retention: i64,
    ) -> impl Future<Output = Result<bool, SqlStoreError>> + Send;

    fn forget(&self, key: &DedupKey) -> impl Future<Output = Result<(), SqlStoreError>> + Send;

    /// Deletes all expired records, so many in one transaction; tells how many.
    fn delete_expired(
        &self,
        batch: NonZeroU32,
    ) -> impl Future<Output = Result<u64, SqlStoreError>> + Send;
}

/// What a call did to a record, and how it found it.
pub(crate) struct Step {
    /// The record's epoch after the change; `None` when nothing was changed.
    pub(crate) changed: Option<u64>,
    pub(crate) found: Option<Found>,
}

pub(crate) async fn claim(
    records: &impl Records,
    key: &DedupKey,
    terms: Terms,
) -> Result<ClaimOutcome, SqlStoreError> {
    let numbers = [milliseconds(terms.lease()), milliseconds(terms.retention())];
    let mut pauses = PAUSES.into_iter();
    loop {
        let Step { changed, found } = records.take(key, numbers).await?;
        if let Some(epoch) = changed {
            return Ok(ClaimOutcome::New(Claim::new(key.clone(), epoch)));
        }
        // Nothing is found when it was deleted meanwhile.
        if let Some(outcome) = found.and_then(Found::refuses) {
            return Ok(outcome);
        }
        // It can be claimed, and somebody has locked it: another claim, which is quick, or the
        // handler whose lease has lapsed, in the transaction that completes the event. To wait
        // for that one could take longer than the sender waits.
        match pauses.next() {
            Some(pause) => sleep(pause).await,
            None => return Ok(ClaimOutcome::InFlight),
        }
    }
}

pub(crate) async fn ask(
    records: &impl Records,
    ask: Ask,
    claim: &Claim,
    terms: Terms,
) -> Result<Held, SqlStoreError> {
    let Some(epoch) = stored_epoch(claim.epoch()) else { return Ok(Held::No) };
    let (lease, retention) = (milliseconds(terms.lease()), milliseconds(terms.retention()));
    let mut pauses = PAUSES.into_iter();
    loop {
        let numbers = [epoch, ask.state(), lease, retention];
        let Step { changed, found } = records.change(claim.key(), numbers).await?;
        if changed.is_some() {
            return Ok(Held::Yes);
        }
        let Some(found) = found else { return Ok(Held::No) };
        if let Some(held) = found.answers(ask) {
            return Ok(held);
        }
        if let Some(pause) = pauses.next() {
            sleep(pause).await;
            continue;
        }
        // While the lease runs, only the holder has reason to lock the record, in the
        // transaction that completes the event. Nobody else can claim it meanwhile.
        return match ask {
            Ask::Renew if found.leased => Ok(Held::Yes),
            _ => Err(SqlStoreError::new(
                SqlStoreErrorKind::Locked,
                "the event's record is locked by a transaction that has not ended",
            )),
        };
    }
}

pub(crate) async fn commit_in<R: Records>(
    records: &R,
    connection: &mut R::Connection,
    claim: &Claim,
    terms: Terms,
) -> Result<(), CommitError> {
    let Some(epoch) = stored_epoch(claim.epoch()) else { return Err(CommitError::lease_lost()) };
    let retention = milliseconds(terms.retention());
    let is_done = records.commit_in(connection, claim.key(), epoch, retention).await?;
    if is_done { Ok(()) } else { Err(CommitError::lease_lost()) }
}

/// What a store with the field `records` is to others.
macro_rules! dedup_store {
    ($store:ident) => {
        const _: () = {
            use std::fmt;

            use dataflow_webhooks::dedup::{
                Claim, ClaimOutcome, DedupKey, DedupStore, Held, StoreFuture, Terms,
            };
            use $crate::patience::in_time;
            use $crate::record::Ask;
            use $crate::store::{self, Records as _};

            impl fmt::Debug for $store {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    // Not the pool: its options may have a password.
                    f.debug_struct(stringify!($store))
                        .field("scope", &self.records.scope())
                        .finish_non_exhaustive()
                }
            }

            impl $store {
                fn ask<'a>(
                    &'a self,
                    ask: Ask,
                    claim: &'a Claim,
                    terms: Terms,
                ) -> StoreFuture<'a, Held> {
                    let call = store::ask(&*self.records, ask, claim, terms);
                    Box::pin(async move { Ok(in_time(call).await?) })
                }
            }

            impl DedupStore for $store {
                fn claim<'a>(
                    &'a self,
                    key: &'a DedupKey,
                    terms: Terms,
                ) -> StoreFuture<'a, ClaimOutcome> {
                    let call = store::claim(&*self.records, key, terms);
                    Box::pin(async move { Ok(in_time(call).await?) })
                }

                fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
                    self.ask(Ask::Renew, claim, terms)
                }

                fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
                    self.ask(Ask::Commit, claim, terms)
                }

                fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
                    self.ask(Ask::Release, claim, terms)
                }

                fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
                    let call = self.records.forget(key);
                    Box::pin(async move { Ok(in_time(call).await?) })
                }
            }
        };
    };
}
pub(crate) use dedup_store;
