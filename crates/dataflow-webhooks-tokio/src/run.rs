//! The work of one delivery: claim, handler, settlement, as one future.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use dataflow_webhooks::adapter::{HandlerEnd, Telemetry, Verdict};
use dataflow_webhooks::{Delivery, Endpoint, Outcome};
use tokio::time::Instant;

use crate::Reply;
use crate::admit::{Admission, Asked, Turn};
use crate::detach::Ended;
use crate::lease::{Renewal, give_up, renew};
use crate::settle::{conclude, settle};
use crate::timer::{Alarm, Guarded, Panicked, guarded_from, unless};

/// The pause before a renewal that the store did not answer is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// All that is done with a verified delivery: the handler is made ready, the
/// event claimed, the handler run, its claim settled.
///
/// `ready` gets the service ready to be called (a tower service is polled ready;
/// elsewhere there is nothing to do); it is awaited before the claim is made.
/// `call` gets what `ready` came to, and the delivery with its claim. A duplicate
/// that waits for another delivery of its event lets the service go meanwhile, and
/// a clone of it gets ready after that: a place in a limit inside is not held by
/// what only waits.
///
/// The future is meant for [`Detach`](crate::Detach): it must not be dropped
/// half-way, for the event would wait for its lease to lapse.
pub fn handle<S, GetReady, Ready, Call, Run, R, E>(
    endpoint: &Endpoint,
    delivery: &Delivery,
    deadline: Instant,
    mut service: S,
    mut ready: GetReady,
    call: Call,
) -> impl Future<Output = Ended<R, E>> + use<S, GetReady, Ready, Call, Run, R, E>
where
    S: Clone,
    GetReady: FnMut(S) -> Ready,
    Ready: Future<Output = Result<S, E>>,
    Call: FnOnce(S, Delivery) -> Run,
    Run: Future<Output = Result<R, E>>,
    R: Reply,
{
    let (endpoint, mut delivery) = (endpoint.clone(), delivery.clone());
    async move {
        let mut turn = Turn::of(&endpoint, &delivery, deadline);
        let mut admission = loop {
            // Let go at the deadline: nothing is claimed yet, the sender comes
            // again, and no place among the running handlers bounds how many wait
            // here.
            let readied = guarded_from(|| ready(service));
            service = match unless(readied, Alarm::at(deadline)).await {
                Some(Ok(Ok(service))) => service,
                Some(Ok(Err(error))) => return Ended::new(Outcome::Failed, Err(error)),
                Some(Err(Panicked)) => return Ended::fixed(Outcome::Panicked),
                None => return Ended::fixed(Outcome::Late),
            };
            match turn.ask(&endpoint, &delivery).await {
                Asked::Admitted(admission) => break admission,
                Asked::Answered(outcome) => return Ended::fixed(outcome),
                Asked::InFlight => {}
            }
            // The clone is not ready: what was got ready is given back here.
            service = service.clone();
            if let Err(outcome) = turn.wait(&endpoint, &delivery).await {
                return Ended::fixed(outcome);
            }
        };
        drop(turn);
        if let Some(lease) = &admission.lease {
            delivery = delivery.with_claim(lease.claim.clone());
        }
        let end = {
            let mut handler = pin!(Guarded::vacant());
            let mut end = match handler.as_mut().start(|| call(service, delivery.clone())) {
                Ok(()) => attend(&endpoint, &delivery, &mut admission, handler.as_mut()).await,
                Err(Panicked) => End::Panicked,
            };
            if handler.vacate().is_err() {
                end = End::Panicked;
            }
            end
        };
        let (end, verdict, ended) = judge(end);
        let took = Telemetry::TAKES_TIMES.then(|| admission.since.elapsed());
        endpoint.telemetry().handler_ended(&delivery, end, took);
        let status = ended.status();
        // One await, across which the answer is held: with two, it would have a place
        // of its own in the work of every delivery.
        let settling =
            settle(&endpoint, &delivery, &mut admission, (verdict, end, status), deadline);
        let (settled, tried) = settling.await;
        if let Some(tried) = tried {
            conclude(endpoint, delivery, admission, settled, tried);
        }
        ended.unless_kept(settled != verdict)
    }
}

enum End<R, E> {
    Answered(Result<R, E>),
    Panicked,
    CutOff,
}

/// What a handler's end means: for the counts, for the claim, for the sender.
fn judge<R: Reply, E>(end: End<R, E>) -> (HandlerEnd, Verdict, Ended<R, E>) {
    match end {
        End::Answered(Ok(mut reply)) => match Verdict::on_status(reply.status()) {
            verdict @ Verdict::Commit => {
                reply.acknowledge();
                (HandlerEnd::Succeeded, verdict, Ended::new(Outcome::Handled, Ok(reply)))
            }
            verdict @ Verdict::Release => {
                (HandlerEnd::Failed, verdict, Ended::new(Outcome::Failed, Ok(reply)))
            }
        },
        End::Answered(Err(error)) => {
            (HandlerEnd::Failed, Verdict::Release, Ended::new(Outcome::Failed, Err(error)))
        }
        End::Panicked => (HandlerEnd::Panicked, Verdict::Release, Ended::fixed(Outcome::Panicked)),
        End::CutOff => (HandlerEnd::CutOff, Verdict::Release, Ended::fixed(Outcome::Late)),
    }
}

/// Runs the handler to its end, to its panic, or to the longest run, and renews
/// its lease at each third meanwhile. A lease that is lost is taken out of the
/// admission: there is nothing left to settle.
async fn attend<R, E>(
    endpoint: &Endpoint,
    delivery: &Delivery,
    admission: &mut Admission,
    mut handler: Pin<&mut Guarded<impl Future<Output = Result<R, E>>>>,
) -> End<R, E> {
    let third = endpoint.limits().terms().lease() / 3;
    let started = admission.since;
    let cut_off = started + endpoint.limits().longest_run();
    let mut next = started + third;
    loop {
        let alarm = if admission.lease.is_some() { next.min(cut_off) } else { cut_off };
        if let Some(end) = unless(handler.as_mut(), Alarm::at(alarm)).await {
            return ended(end);
        }
        if Instant::now() >= cut_off {
            return End::CutOff;
        }
        let Some(held) = &admission.lease else { continue };
        // The handler goes on while the store answers. Boxed, for it is rare and
        // would take its room in the work of every delivery.
        let renewal = beside(handler.as_mut(), Box::pin(renew(endpoint, held))).await;
        match renewal {
            Beside::Handler(end) => return ended(end),
            Beside::Other(Renewal::Renewed) => next = Instant::now() + third,
            Beside::Other(Renewal::Failed) => next = Instant::now() + RENEW_AGAIN.min(third),
            Beside::Other(Renewal::Lost) => give_up(endpoint, delivery, admission),
        }
    }
}

fn ended<R, E>(end: Result<Result<R, E>, Panicked>) -> End<R, E> {
    match end {
        Ok(answer) => End::Answered(answer),
        Err(Panicked) => End::Panicked,
    }
}

enum Beside<A, B> {
    Handler(A),
    Other(B),
}

/// Polls the handler and one other thing, until either is done. The handler comes
/// second: it may use up every turn, and the other thing would never get its own.
async fn beside<A: Future, B: Future>(
    mut handler: Pin<&mut A>,
    mut other: Pin<Box<B>>,
) -> Beside<A::Output, B::Output> {
    poll_fn(|cx| {
        if let std::task::Poll::Ready(end) = other.as_mut().poll(cx) {
            return std::task::Poll::Ready(Beside::Other(end));
        }
        handler.as_mut().poll(cx).map(Beside::Handler)
    })
    .await
}
