//! A service inside the layer that may never get ready, for tower and for actix: a
//! limit that is used up, as the layer sees it.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use actix_web::dev;

/// Is the service around this ever ready?
#[derive(Debug, Clone, Copy)]
pub(super) struct Readiness {
    pub(super) never: bool,
}

/// A service with this in front.
#[derive(Debug, Clone)]
pub(super) struct Unready<S> {
    service: S,
    never: bool,
}

impl<S> tower::Layer<S> for Readiness {
    type Service = Unready<S>;

    fn layer(&self, service: S) -> Unready<S> {
        Unready { service, never: self.never }
    }
}

impl<S, R> tower::Service<R> for Unready<S>
where
    S: tower::Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.never { Poll::Pending } else { self.service.poll_ready(cx) }
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}

impl<S> dev::Transform<S, dev::ServiceRequest> for Readiness
where
    S: dev::Service<dev::ServiceRequest> + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Transform = Unready<S>;
    type InitError = ();
    type Future = Ready<Result<Unready<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(tower::Layer::layer(self, service)))
    }
}

impl<S, R> dev::Service<R> for Unready<S>
where
    S: dev::Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.never { Poll::Pending } else { self.service.poll_ready(cx) }
    }

    fn call(&self, request: R) -> S::Future {
        self.service.call(request)
    }
}
