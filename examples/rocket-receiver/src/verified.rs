//! The data guard: a handler that asks for a [`Verified`] runs for authentic
//! deliveries only.

use std::io;
use std::time::Duration;

use dataflow_webhooks::{Delivery, Rejection, RejectionKind, SIGNATURE_HEADER, Verifier};
use rocket::data::{self, Data, DataStream, FromData, Outcome, ToByteUnit as _};
use rocket::http::Status;
use rocket::{Ignite, Request, Rocket, Sentinel};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, warn};

/// The body must be complete this long after the guard began.
const BODY_WITHIN: Duration = Duration::from_secs(4);

/// What is read at a time, in bytes.
const READ: usize = 16 * 1024;

/// A delivery whose signature, time and body have been looked at.
pub(crate) struct Verified {
    pub(crate) delivery: Delivery,
    /// When the guard began. The sender's 5 s are running since a little before.
    pub(crate) arrived: Instant,
}

#[rocket::async_trait]
impl<'r> FromData<'r> for Verified {
    type Error = Rejection;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> data::Outcome<'r, Self> {
        let arrived = Instant::now();
        // Twice: once to be read, once more to be thrown away.
        let mut body = data.open(32.mebibytes());
        let rejection = match verify(request, &mut body, arrived).await {
            Ok(delivery) => return Outcome::Success(Self { delivery, arrived }),
            Err(rejection) => rejection,
        };
        if rejection.kind() == RejectionKind::NotAnEvent {
            error!("refused an authentic delivery: {rejection}");
        } else {
            warn!("refused: {rejection}");
        }
        if rejection.kind() != RejectionKind::BodyTimeout {
            read_on(body).await;
        }
        // For the catcher, which gets the status alone.
        request.local_cache(|| Some(rejection.clone()));
        Outcome::Error((Status::new(rejection.status()), rejection))
    }
}

/// Rocket does not start an application whose routes have this guard, and that
/// manages no [`Verifier`].
impl Sentinel for Verified {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Verifier>().is_none()
    }
}

/// The header before the first byte of the body, each byte hashed as it
/// arrives, and none kept beyond the verifier's limit, 1 MiB.
async fn verify(
    request: &Request<'_>,
    body: &mut DataStream<'_>,
    arrived: Instant,
) -> Result<Delivery, Rejection> {
    let verifier = request.rocket().state::<Verifier>().expect("the sentinel has seen it");
    let headers = request.headers();
    // All lines of the signature: two are refused, and `get_one` would show one.
    // A line that is not UTF-8 is not among them, as Rocket has dropped it.
    let signature_lines = headers.get(SIGNATURE_HEADER);
    let content_length = headers.get_one("content-length").and_then(|text| text.parse().ok());
    let mut verification = verifier.begin(signature_lines, content_length)?;
    let whole = async {
        let mut buffer = vec![0; READ];
        loop {
            match body.read(&mut buffer).await {
                Ok(0) => return Ok(()),
                Ok(bytes) => verification.update(buffer[..bytes].to_vec())?,
                Err(_) => return Err(Rejection::from(RejectionKind::BodyLost)),
            }
        }
    };
    let in_time = timeout_at(arrived + BODY_WITHIN, whole).await;
    in_time.map_err(|_| RejectionKind::BodyTimeout)??;
    verification.finish()
}

/// Reads on what was refused, for 1 s and 32 MiB at most, and keeps nothing. Many
/// senders write all of their body before they read an answer: a connection
/// closed on them would be all they ever see.
async fn read_on(mut body: DataStream<'_>) {
    let mut nowhere = tokio::io::sink();
    let reading: Result<io::Result<u64>, _> =
        timeout(Duration::from_secs(1), tokio::io::copy(&mut body, &mut nowhere)).await;
    // Lost, or too slow: the answer goes out all the same.
    let _ = reading;
}
