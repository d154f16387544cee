//! Head and body of a request, under the limits and the clock, into a verified
//! delivery; and what happens to the body of a refused one.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::adapter::Head;
use dataflow_webhooks::{BoxError, Delivery, Endpoint, Rejection, RejectionKind, Verification};
use tokio::task::consume_budget;
use tokio::time::Instant;

use crate::timer::{Alarm, unless, within};

/// How long the rest of a refused body is read and dropped before the answer
/// goes out: a sender that writes before it reads would otherwise see a broken
/// pipe instead of the status.
const READ_ON: Duration = Duration::from_secs(1);

/// How many bytes of a refused body are read and dropped, at the most.
const READ_ON_BYTES: u64 = 16 * 1024 * 1024;

/// A request's body as it arrives.
pub trait Body {
    /// The next chunk, `None` at the end. Not polled again after an error.
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>>;
}

/// Why there is no next chunk.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "an adapter chooses between the two")]
pub enum BodyError {
    /// A limit outside of this one was reached. 413.
    TooLarge(BoxError),
    /// The connection is gone. 400, if anyone can still read it.
    Lost(BoxError),
}

impl BodyError {
    /// Tells the two apart: `is_limit` says which errors are a limit's, and is
    /// asked about each one down the chain.
    pub fn of(
        error: impl Into<BoxError>,
        is_limit: impl Fn(&(dyn Error + 'static)) -> bool,
    ) -> Self {
        let error = error.into();
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(error_here) = cause {
            if is_limit(error_here) {
                return Self::TooLarge(error);
            }
            // `io::Error::source` leaves out the error that it wraps itself.
            let wrapped = error_here.downcast_ref().and_then(io::Error::get_ref);
            cause = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => error_here.source(),
            };
        }
        Self::Lost(error)
    }
}

/// A body that is all there: for frameworks that hand it over in one piece.
#[derive(Debug)]
pub struct Whole(Option<Bytes>);

impl Whole {
    /// This body.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self(Some(body.into()))
    }
}

impl Body for Whole {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

/// A delivery that was refused while it was received.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// Why, and with it the answer.
    pub rejection: Rejection,
    /// Must the answer say `Connection: close` (HTTP/1)? So it must unless the
    /// declared length was within the limit and all of it came.
    pub close: bool,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rejection.fmt(f)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.rejection.source()
    }
}

/// Receives one request, whose head arrived at this moment: head first, then the body
/// chunk by chunk. Dropping the future forgets it all.
///
/// The head is looked at before this returns, so that nothing of it is borrowed
/// by the future.
///
/// # Errors
///
/// A [`Refusal`], when what is left of its body has been read or given up: after
/// 1 s and 16 MiB at the most.
pub fn receive<'a, L, F, I, B>(
    endpoint: &'a Endpoint,
    head: Head<'_, L, F>,
    arrived: Instant,
    body: B,
) -> impl Future<Output = Result<Delivery, Refusal>> + use<'a, L, F, I, B>
where
    L: IntoIterator,
    L::Item: AsRef<[u8]>,
    F: FnOnce(&'static str) -> I,
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
    B: Body,
{
    let (length, expects_continue) = (head.content_length(), head.expects_continue());
    let mut begun = endpoint.begin_from(head);
    let deadline = arrived + endpoint.limits().body_within();
    async move {
        let mut body = pin!(body);
        // By reference: a verification is too large to be held twice.
        let collected = match &mut begun {
            Ok(verification) => {
                unless(collect(verification, body.as_mut()), Alarm::at(deadline)).await
            }
            Err(_) => None,
        };
        let refused = match (begun, collected) {
            (Ok(verification), Some(Ok(()))) => match verification.finish() {
                Ok(delivery) => return Ok(delivery),
                Err(rejection) => Refused { rejection, rest: Rest::None },
            },
            (Ok(_), Some(Err(refused))) => refused,
            // It has had its time; whatever trickles in later will not be waited
            // for.
            (Ok(_), None) => {
                Refused { rejection: RejectionKind::BodyTimeout.into(), rest: Rest::Unread }
            }
            // Whoever waits for `100 Continue` has sent nothing yet and needs no
            // more than the answer.
            (Err(rejection), _) if expects_continue => Refused { rejection, rest: Rest::Unread },
            (Err(rejection), _) => Refused { rejection, rest: Rest::Readable },
        };
        endpoint.telemetry().rejected(&refused.rejection);
        let all_came = match refused.rest {
            Rest::None => true,
            Rest::Unread => false,
            Rest::Readable => read_on(body).await,
        };
        let most = endpoint.limits().max_body_bytes() as u64;
        let close = !(all_came && length.is_some_and(|length| length <= most));
        Err(Refusal { rejection: refused.rejection, close })
    }
}

struct Refused {
    rejection: Rejection,
    rest: Rest,
}

/// What is left of a refused body.
enum Rest {
    /// Nothing: all of it has been read.
    None,
    /// Something that is not worth reading, or cannot be.
    Unread,
    /// Something that is to be read and dropped.
    Readable,
}

async fn collect<B: Body>(
    verification: &mut Verification,
    body: Pin<&mut B>,
) -> Result<(), Refused> {
    let mut chunks = Chunks::of(body);
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => verification
                .update(chunk)
                .map_err(|rejection| Refused { rejection, rest: Rest::Readable })?,
            Err(error) => {
                let (kind, source) = match error {
                    BodyError::TooLarge(source) => (RejectionKind::BodyTooLarge, source),
                    BodyError::Lost(source) => (RejectionKind::BodyLost, source),
                };
                let rejection = Rejection::new(kind).because(source);
                return Err(Refused { rejection, rest: Rest::Unread });
            }
        }
    }
    Ok(())
}

/// What of a body may be taken before it waits its turn, in bytes.
const A_TURN: usize = 16 * 1024;

/// What a chunk counts beside its length, in bytes.
const A_CHUNK: usize = 32;

/// The chunks of a body. Waits a turn now and then: a body that always has one
/// ready, an empty one at that, would keep the thread to itself and the time from
/// running out.
///
/// Not at every chunk, however: a server may have lined up more chunks of a byte
/// each than there are turns until it reads on, and its line would only grow.
struct Chunks<'a, B> {
    body: Pin<&'a mut B>,
    left_of_turn: usize,
}

impl<'a, B: Body> Chunks<'a, B> {
    fn of(body: Pin<&'a mut B>) -> Self {
        Self { body, left_of_turn: 0 }
    }

    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        if self.left_of_turn == 0 {
            consume_budget().await;
            self.left_of_turn = A_TURN;
        }
        let chunk = poll_fn(|cx| self.body.as_mut().poll_chunk(cx)).await;
        let bytes = chunk.as_ref().and_then(|chunk| chunk.as_ref().ok()).map_or(0, Bytes::len);
        self.left_of_turn = self.left_of_turn.saturating_sub(A_CHUNK).saturating_sub(bytes);
        chunk
    }
}

/// Reads what still comes of a refused body and drops it, within bounds. Says
/// whether its end was reached.
async fn read_on<B: Body>(body: Pin<&mut B>) -> bool {
    let reading = async {
        let (mut chunks, mut bytes) = (Chunks::of(body), 0_u64);
        while bytes <= READ_ON_BYTES {
            match chunks.next().await {
                Some(Ok(chunk)) => bytes = bytes.saturating_add(chunk.len() as u64),
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    };
    within(READ_ON, reading).await.unwrap_or(false)
}
