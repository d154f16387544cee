//! The tower crate under plain hyper: a service that looks at the path, and no
//! framework.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use dataflow_webhooks::{Delivery, Endpoint};
use dataflow_webhooks_tower::{ResponseBody, WebhookBody, WebhookLayer};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::util::{BoxCloneService, MapRequestLayer, MapResponseLayer};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::timeout::TimeoutLayer;
use webhook_tests::Receiver;

use super::unready::Readiness;
use super::{PATH, log_answer};
use crate::scene::{Failed, Handler, Says, Served};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Boxed<B> = BoxCloneService<Request<B>, Answer, io::Error>;

pub(super) async fn serve(served: &Served) -> Receiver {
    let readiness = Readiness { never: served.never_ready };
    let handler = BoxCloneService::new(readiness.layer(handler(&served.handler)));
    let peer_known = served.peer_known;
    let app: Boxed<Incoming> = match (&served.outer, &served.inner) {
        (None, Some(inner)) => route(guarded(inner, handler)),
        (None, None) => unreachable!("every scene has a layer"),
        (Some(outer), None) => guarded(outer, route(handler)),
        (Some(outer), Some(inner)) => guarded(outer, route(guarded(inner, handler))),
    };
    let app = app.map_result(|answered: Result<Answer, io::Error>| {
        let answer = answered.unwrap_or_else(|error| {
            let mut answer = plain(Failed::STATUS, error.to_string());
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            answer.headers_mut().insert(CONTENT_TYPE, text);
            answer
        });
        log_answer!(answer, answer.extensions());
        Ok::<_, io::Error>(answer)
    });
    let time_out = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, served.time_out);
    let app = time_out.layer(app);
    Receiver::serve(move |peer: SocketAddr| {
        let with_peer = move |mut request: Request<Incoming>| {
            if peer_known {
                request.extensions_mut().insert(peer.ip());
            }
            request
        };
        MapRequestLayer::new(with_peer).layer(app.clone())
    })
    .await
}

/// What the documentation shows, for the address that the server puts there.
fn guarded<B>(endpoint: &Endpoint, service: Boxed<WebhookBody>) -> Boxed<B>
where
    B: Body<Data = Bytes, Error: Into<dataflow_webhooks::BoxError>> + Send + 'static,
{
    let layer = WebhookLayer::new(endpoint.clone());
    let layer = layer.peer(|parts| parts.extensions.get::<IpAddr>().copied());
    let boxed = MapResponseLayer::new(|answer: Response<ResponseBody<_>>| {
        answer.map(BodyExt::boxed_unsync)
    });
    BoxCloneService::new(boxed.layer(layer.layer(service)))
}

/// The service on its path, and 404 elsewhere.
fn route<B: Send + 'static>(service: Boxed<B>) -> Boxed<B> {
    service_fn(move |request: Request<B>| {
        let service = service.clone();
        async move {
            if request.uri().path() == PATH {
                return service.oneshot(request).await;
            }
            Ok(plain(404, Bytes::new()))
        }
    })
    .boxed_clone()
}

fn handler(handler: &Handler) -> Boxed<WebhookBody> {
    let handler = handler.clone();
    service_fn(move |request: Request<WebhookBody>| {
        let handler = handler.clone();
        async move {
            let delivery = request.extensions().get::<Delivery>().expect("the layer").clone();
            let body = request.into_body().into_bytes();
            let said = handler.run(delivery, body).await;
            let Says { status, headers, body } =
                said.map_err(|Failed| io::Error::other(Failed::TEXT))?;
            let mut answer = plain(status, body);
            for (name, value) in headers {
                answer.headers_mut().append(name, value.parse().expect("a header's value"));
            }
            Ok(answer)
        }
    })
    .boxed_clone()
}

fn plain(status: u16, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}
