//! The answers: the inner service's own, or a fixed text.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dataflow_webhooks::{Answer, Outcome};
use dataflow_webhooks_tokio::{Refusal, Reply};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of an answer: the inner service's, or one of the fixed texts.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: Option<B>,
        text: Full<Bytes>,
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn inner(body: B) -> Self {
        Self { inner: Some(body), text: Full::default() }
    }
}

/// Empty: what a time-out layer outside answers with.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { inner: None, text: Full::default() }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(body) => body.poll_frame(cx),
            None => Pin::new(this.text).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().map_or_else(|| self.text.is_end_stream(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| self.text.size_hint(), Body::size_hint)
    }
}

/// What the road makes of an `http` response.
pub(crate) struct HttpReply<B>(pub(crate) Response<ResponseBody<B>>);

impl<B> Reply for HttpReply<B> {
    fn fixed(answer: Answer, outcome: Outcome) -> Self {
        let mut response = fixed(answer);
        response.extensions_mut().insert(outcome);
        Self(response)
    }

    fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    fn acknowledge(&mut self) {
        *self.0.status_mut() = StatusCode::OK;
    }
}

pin_project! {
    /// The inner service's response on its way to being a reply. An async block
    /// would hold the future twice.
    pub(crate) struct Answering<F> {
        #[pin]
        pub(crate) response: F,
    }
}

impl<F: Future<Output = Result<Response<B>, E>>, B, E> Future for Answering<F> {
    type Output = Result<HttpReply<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().response.poll(cx))?;
        Poll::Ready(Ok(HttpReply(response.map(ResponseBody::inner))))
    }
}

/// The answer to a refused request.
pub(crate) fn refuse<B>(refusal: Refusal, version: Version) -> Response<ResponseBody<B>> {
    let mut response = fixed(refusal.rejection.answer());
    // HTTP/2 has no such header: a stream ends by itself there.
    if refusal.close && version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.extensions_mut().insert(Outcome::Rejected(refusal.rejection.kind()));
    response.extensions_mut().insert(refusal.rejection);
    response
}

fn fixed<B>(answer: Answer) -> Response<ResponseBody<B>> {
    let text = Full::new(Bytes::from_static(answer.body().as_bytes()));
    let mut response = Response::new(ResponseBody { inner: None, text });
    // Core's statuses are all valid.
    *response.status_mut() =
        StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, value) in answer.headers() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
