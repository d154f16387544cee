//! Running handlers, pending commits and draining, without any runtime.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::{builder, good_header, kind};
use dataflow_webhooks::adapter::RunPermit;
use dataflow_webhooks::{Drain, Endpoint, RejectionKind};

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn endpoint(max_running: usize) -> Endpoint {
    builder().max_running(max_running).build().unwrap()
}

fn poll(drain: &mut Drain, bell: &Arc<Bell>) -> Poll<()> {
    let waker = Waker::from(bell.clone());
    pin!(drain).poll(&mut Context::from_waker(&waker))
}

fn counts(endpoint: &Endpoint) -> (usize, usize) {
    let counts = endpoint.counts();
    (counts.running, counts.pending_commits)
}

mod permits {
    use super::*;

    #[test]
    fn a_permit_counts_until_it_is_dropped() {
        let endpoint = endpoint(10);
        let one = endpoint.enter().unwrap();
        let two = endpoint.clone().enter().unwrap();
        assert_eq!(counts(&endpoint), (2, 0));
        drop(one);
        assert_eq!(counts(&endpoint), (1, 0));
        drop(two);
        assert_eq!(counts(&endpoint), (0, 0));
    }

    #[test]
    fn there_are_as_many_as_handlers_may_run() {
        let endpoint = endpoint(2);
        let (_one, two) = (endpoint.enter().unwrap(), endpoint.enter().unwrap());
        let error = endpoint.enter().unwrap_err();
        assert_eq!(error.kind(), RejectionKind::TooManyRunning);
        assert!(error.to_string().contains("2 handlers run, 2 are allowed"), "{error}");
        assert_eq!(counts(&endpoint), (2, 0), "the refused one was counted");
        drop(two);
        assert!(endpoint.enter().is_ok());
    }

    #[test]
    fn a_pending_commit_no_longer_counts_as_running() {
        let endpoint = endpoint(1);
        let pending = endpoint.enter().unwrap().into_pending();
        assert_eq!(counts(&endpoint), (0, 1));
        let running = endpoint.enter().unwrap();
        assert_eq!(counts(&endpoint), (1, 1));
        drop(pending);
        assert_eq!(counts(&endpoint), (1, 0));
        drop(running);
        assert_eq!(counts(&endpoint), (0, 0));
    }

    #[test]
    fn none_is_given_while_as_many_commits_are_pending_as_may_be() {
        let endpoint = builder().max_pending_commits(2).build().unwrap();
        let pending = [(); 2].map(|()| endpoint.enter().unwrap()).map(RunPermit::into_pending);
        let error = endpoint.enter().unwrap_err();
        assert_eq!(error.kind(), RejectionKind::TooManyPending);
        let words = error.to_string();
        assert!(words.contains("2 settlements wait for the dedup store, 2 are allowed"), "{words}");
        assert_eq!(counts(&endpoint), (0, 2), "the refused one was counted");
        drop(pending);
        assert!(endpoint.enter().is_ok());
    }

    #[test]
    fn what_runs_becomes_pending_beyond_the_limit() {
        let endpoint = builder().max_pending_commits(1).build().unwrap();
        let running = [(); 3].map(|()| endpoint.enter().unwrap());
        let _pending = running.map(RunPermit::into_pending);
        assert_eq!(counts(&endpoint), (0, 3));
    }

    #[test]
    fn the_limit_holds_among_threads() {
        let endpoint = endpoint(3);
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let Ok(permit) = endpoint.enter() else { continue };
                        let now = most.fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(now <= 3, "{now} permits at once");
                        most.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(counts(&endpoint), (0, 0));
    }
}

mod draining {
    use super::*;

    #[test]
    fn an_idle_endpoint_is_drained_at_once() {
        let endpoint = endpoint(10);
        assert_eq!(poll(&mut endpoint.drain(), &Arc::default()), Poll::Ready(()));
    }

    #[test]
    fn the_gate_closes_when_drain_is_called_awaited_or_not() {
        let endpoint = endpoint(10);
        assert!(!endpoint.is_draining());
        drop(endpoint.drain());
        assert!(endpoint.is_draining());
        assert_eq!(endpoint.enter().map(drop).map_err(kind), Err(RejectionKind::Draining));
        let begun = endpoint.begin("POST", [good_header()], None);
        assert_eq!(begun.map(drop).map_err(kind), Err(RejectionKind::Draining));
        assert_eq!(counts(&endpoint), (0, 0));
    }

    #[test]
    fn it_waits_for_running_handlers() {
        let endpoint = endpoint(10);
        let (one, two) = (endpoint.enter().unwrap(), endpoint.enter().unwrap());
        let (mut drain, bell) = (endpoint.drain(), Arc::default());
        assert_eq!(poll(&mut drain, &bell), Poll::Pending);
        drop(one);
        assert_eq!((poll(&mut drain, &bell), bell.rung()), (Poll::Pending, 0));
        drop(two);
        assert_eq!(bell.rung(), 1, "nobody was woken");
        assert_eq!(poll(&mut drain, &bell), Poll::Ready(()));
    }

    #[test]
    fn it_waits_for_pending_commits() {
        let endpoint = endpoint(10);
        let running = endpoint.enter().unwrap();
        let (mut drain, bell) = (endpoint.drain(), Arc::default());
        assert_eq!(poll(&mut drain, &bell), Poll::Pending);
        let pending = running.into_pending();
        assert_eq!((poll(&mut drain, &bell), bell.rung()), (Poll::Pending, 0));
        drop(pending);
        assert_eq!(bell.rung(), 1);
        assert_eq!(poll(&mut drain, &bell), Poll::Ready(()));
    }

    #[test]
    fn everybody_who_waits_is_woken() {
        let endpoint = endpoint(10);
        let running = endpoint.enter().unwrap();
        let mut waiting: Vec<_> =
            (0..5).map(|_| (endpoint.drain(), Arc::<Bell>::default())).collect();
        for (drain, bell) in &mut waiting {
            assert_eq!(poll(drain, bell), Poll::Pending);
        }
        drop(running);
        for (drain, bell) in &mut waiting {
            assert_eq!((bell.rung(), poll(drain, bell)), (1, Poll::Ready(())));
        }
    }

    #[test]
    fn the_waker_of_the_last_poll_is_woken() {
        let endpoint = endpoint(10);
        let running = endpoint.enter().unwrap();
        let mut drain = endpoint.drain();
        let (old, new) = (Arc::default(), Arc::<Bell>::default());
        assert_eq!(poll(&mut drain, &old), Poll::Pending);
        assert_eq!(poll(&mut drain, &new), Poll::Pending);
        drop(running);
        assert_eq!(new.rung(), 1);
    }

    #[test]
    fn a_body_that_is_arriving_does_not_hold_it_up() {
        let endpoint = endpoint(10);
        let mut body = endpoint.begin("POST", [good_header()], None).unwrap();
        assert_eq!(poll(&mut endpoint.drain(), &Arc::default()), Poll::Ready(()));
        // It is still verified, and then finds the gate closed.
        body.update(common::BODY).unwrap();
        assert!(body.finish().is_ok());
        assert!(endpoint.enter().is_err());
    }

    #[test]
    fn it_never_misses_the_last_handler_among_threads() {
        for _ in 0..500 {
            let endpoint = endpoint(10);
            let permits: Vec<_> = (0..3).map(|_| endpoint.enter().unwrap()).collect();
            std::thread::scope(|scope| {
                for (number, permit) in permits.into_iter().enumerate() {
                    scope.spawn(move || {
                        if number == 0 {
                            drop(permit.into_pending());
                        }
                    });
                }
                pollster::block_on(endpoint.drain());
                assert_eq!(counts(&endpoint), (0, 0));
            });
        }
    }
}
