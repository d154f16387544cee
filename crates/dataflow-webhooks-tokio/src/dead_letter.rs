//! A delivery that no run got through goes to the sink: within a time, its panics
//! caught, under a lease that holds meanwhile.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use dataflow_webhooks::adapter::HandlerEnd;
use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetterSink};
use dataflow_webhooks::{Delivery, Endpoint};

use crate::admit::Admission;
use crate::lease::still_held;
use crate::store::in_full;
use crate::timer::{Guarded, Panicked, within};

/// The longest a sink may take to store a letter.
const SINK_CALL: Duration = Duration::from_secs(2);

/// What there is to do where this run's end asks for a dead letter: it says whether
/// that is stored, and the event done. Boxed, for it is rare and would take its room in
/// the work of every delivery.
pub(crate) fn keep_if_due<'a>(
    endpoint: &'a Endpoint,
    delivery: &'a Delivery,
    admission: &'a mut Admission,
    end: HandlerEnd,
    status: Option<u16>,
) -> Option<Pin<Box<impl Future<Output = bool> + use<'a>>>> {
    let (letter, sink) = endpoint.dead_letter_due(delivery, end, status)?;
    Some(Box::pin(keep(endpoint, delivery, admission, letter, sink)))
}

/// Stores the letter, and says whether it is stored: then the event is done.
///
/// The lease is renewed first. It holds for the sink's time then, however little of
/// it the run has left; and where it is lost, the event is another run's by now and
/// there is no letter. A dedup store that does not answer is no reason against one: a
/// commit that fails later is made in the background, as after a success.
async fn keep(
    endpoint: &Endpoint,
    delivery: &Delivery,
    admission: &mut Admission,
    letter: DeadLetter,
    sink: &dyn DeadLetterSink,
) -> bool {
    if !still_held(endpoint, delivery, admission).await {
        return false;
    }
    match store(sink, &letter).await {
        Ok(()) => {
            endpoint.telemetry().dead_lettered(&letter);
            true
        }
        Err(why) => {
            endpoint.telemetry().dead_letter_failed(&letter, &why);
            false
        }
    }
}

/// One call of the sink. An error says in words why the letter is not stored.
async fn store(sink: &dyn DeadLetterSink, letter: &DeadLetter) -> Result<(), String> {
    let mut call = pin!(Guarded::vacant());
    let end = match call.as_mut().start(|| sink.store(letter)) {
        Ok(()) => within(SINK_CALL, call.as_mut()).await,
        Err(Panicked) => Some(Err(Panicked)),
    };
    // Whatever the call has come to stands; that it panics on its way out, too, is
    // only to be caught.
    let _ = call.vacate();
    match end {
        Some(Ok(Ok(()))) => Ok(()),
        Some(Ok(Err(error))) => Err(in_full(&*error)),
        Some(Err(Panicked)) => Err("it panicked".to_owned()),
        None => Err("it did not answer within 2 s".to_owned()),
    }
}
