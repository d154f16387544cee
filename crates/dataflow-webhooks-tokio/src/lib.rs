//! The road of one DataFlow Platform delivery, its way from the request's head
//! to the answer, on tokio, once, for every framework adapter.
//!
//! If you serve with tower, axum or actix-web, use that adapter. This crate is
//! for authors of further ones, and says in which order things happen:
//!
//! 1. [`receive`]: the head is looked at, the body is hashed as it arrives,
//!    under the limits and the clock; out comes a
//!    [`Delivery`](dataflow_webhooks::Delivery), or a [`Refusal`] to be
//!    answered.
//! 2. [`handle`]: the event is claimed, a duplicate of a delivery in flight
//!    waits its turn, the handler runs, its claim is settled. Where the last run
//!    allowed has failed, the delivery goes to the sink for
//!    [dead letters](dataflow_webhooks::dead_letters) before that.
//! 3. [`Detach`] drives that in place, and hands what is not finished to the
//!    runtime when the time is up or the request is dropped.
//!
//! All clocks are one: it starts when the head arrived.
//!
//! Nothing here names `Send`. A future of this crate is `Send` when the body,
//! the handler and its answer are, so one adapter can spawn it on the runtime
//! and another on its worker thread.
//!
//! ```
//! use bytes::Bytes;
//! use dataflow_webhooks::{Answer, Endpoint, KeyRing, Outcome, Secret, sign};
//! use dataflow_webhooks_tokio::{Detach, Head, Reply, Whole, handle, on_runtime, receive};
//! use std::convert::Infallible;
//! use tokio::time::Instant;
//!
//! /// The adapter's own response.
//! struct Response(u16);
//!
//! impl Reply for Response {
//!     fn fixed(answer: Answer, _outcome: Outcome) -> Self {
//!         Self(answer.status())
//!     }
//!     fn status(&self) -> u16 {
//!         self.0
//!     }
//!     fn acknowledge(&mut self) {
//!         self.0 = 200;
//!     }
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?;
//! let endpoint = Endpoint::builder(KeyRing::new(secret.clone())).build()?;
//! let body = Bytes::from(r#"{"id":"evt_1","type":"pipeline.created"}"#);
//! let line = sign(&secret, jiff::Timestamp::now(), &body);
//!
//! let arrived = Instant::now();
//! let head = Head::new("POST", [line]).with_content_length(Some(body.len() as u64));
//! let delivery = receive(&endpoint, head, arrived, Whole::new(body)).await?;
//! let deadline = arrived + endpoint.limits().answer_within();
//!
//! let ready = async |()| Ok::<(), Infallible>(());
//! let call = |(), delivery: dataflow_webhooks::Delivery| async move {
//!     assert_eq!(delivery.id(), "evt_1");
//!     Ok(Response(204))
//! };
//! let work = handle(&endpoint, &delivery, deadline, (), ready, call);
//! let answer = Detach::new(&endpoint, &delivery, deadline, work, on_runtime).await?;
//! assert_eq!(answer.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod admit;
mod dead_letter;
mod dead_letter_file;
mod detach;
mod lease;
mod receive;
mod run;
mod settle;
mod store;
mod timer;

pub use dataflow_webhooks::adapter::Head;
pub use dead_letter_file::{DeadLetterFile, DeadLetterFileError, UnreadableLines};
pub use detach::{Detach, Ended, Spanned, on_runtime};
pub use receive::{Body, BodyError, Refusal, Whole, receive};
pub use run::handle;

use dataflow_webhooks::{Answer, Outcome};

/// An adapter's response, as the road sees it.
pub trait Reply: Sized {
    /// A fixed answer, made of its status, headers and body. Put the outcome
    /// where layers outside can read it.
    fn fixed(answer: Answer, outcome: Outcome) -> Self;

    /// The HTTP status a handler chose.
    fn status(&self) -> u16;

    /// Sets the status to 200, and keeps body and headers.
    fn acknowledge(&mut self);
}
