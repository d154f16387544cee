//! The answers: the inner service's own, or a fixed text.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri, Version};
use actix_web::test::TestRequest;
use actix_web::{Error, HttpResponse};
use bytes::Bytes;
use dataflow_webhooks::{Answer, Outcome};
use dataflow_webhooks_tokio::{Refusal, Reply};
use pin_project_lite::pin_project;

/// What the road makes of a response of actix's.
pub(crate) enum ActixReply<B> {
    Handlers(ServiceResponse<B>),
    /// A response needs its request, which the handler may have.
    Fixed(Answer, Outcome),
}

impl<B> Reply for ActixReply<B> {
    fn fixed(answer: Answer, outcome: Outcome) -> Self {
        Self::Fixed(answer, outcome)
    }

    fn status(&self) -> u16 {
        match self {
            Self::Handlers(response) => response.status().as_u16(),
            Self::Fixed(answer, _) => answer.status(),
        }
    }

    fn acknowledge(&mut self) {
        if let Self::Handlers(response) = self {
            let head = response.response_mut().head_mut();
            (head.status, head.reason) = (StatusCode::OK, None);
        }
    }
}

pin_project! {
    /// The inner service's response on its way to being a reply. An async block
    /// would hold the future twice.
    pub(crate) struct Answering<F> {
        #[pin]
        pub(crate) response: Option<F>,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = Result<ActixReply<B>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().response.as_pin_mut() {
            Some(response) => Poll::Ready(Ok(ActixReply::Handlers(ready!(response.poll(cx))?))),
            // No request was left to call the handler with: the event comes again.
            None => Poll::Ready(Ok(ActixReply::fixed(Outcome::Late.answer(), Outcome::Late))),
        }
    }
}

/// What middleware outside may want to know of a request, for an answer that goes
/// out while the handler still has the request itself.
///
/// A clone of the request is no way: actix wants it alone when it routes it on.
pub(crate) struct Line {
    method: Method,
    uri: Uri,
    version: Version,
    peer: Option<SocketAddr>,
}

impl Line {
    pub(crate) fn of(request: &ServiceRequest) -> Self {
        let head = request.head();
        let (method, uri) = (head.method.clone(), head.uri.clone());
        Self { method, uri, version: head.version, peer: head.peer_addr }
    }

    pub(crate) fn into_request(self) -> ServiceRequest {
        let mut request = TestRequest::default().to_srv_request();
        let head = request.head_mut();
        (head.method, head.uri, head.version) = (self.method, self.uri, self.version);
        head.peer_addr = self.peer;
        request
    }
}

/// The answer to a refused request. `unread` is what is left of its body.
pub(crate) fn refuse(refusal: Refusal, unread: Payload) -> HttpResponse {
    let outcome = Outcome::Rejected(refusal.rejection.kind());
    let mut response = fixed(refusal.rejection.answer(), outcome);
    if refusal.close {
        response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
        response = response.map_body(|_, text| BoxBody::new(Closing { text, _unread: unread }));
    }
    response.extensions_mut().insert(refusal.rejection);
    response
}

/// One of the fixed texts.
pub(crate) fn fixed(answer: Answer, outcome: Outcome) -> HttpResponse {
    // Core's statuses are all valid.
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::with_body(status, BoxBody::new(answer.body()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, value) in answer.headers() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response.extensions_mut().insert(outcome);
    response
}

/// The text after which the connection ends.
///
/// It keeps what is unread of the request: a chunked body that nobody holds any
/// more is read by actix to its end, however long that takes.
struct Closing {
    text: BoxBody,
    _unread: Payload,
}

impl MessageBody for Closing {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.text.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.text).poll_next(cx)
    }
}
