//! The service that AWS Lambda calls for each request. Apart from the program, so
//! that tests call it with recorded events.
//!
//! **The process is frozen as soon as an answer is out.** Elsewhere a handler
//! whose sender was told 503 after 4.5 s runs on to its end. Here it stops where
//! it is, and goes on, if ever, during a later request: its lease lapses
//! meanwhile, and the event is handled again. So a handler must be done well
//! within 4.5 s, or put the event into a queue.

mod peer;

use std::convert::Infallible;

use bytes::Bytes;
use dataflow_webhooks::{Delivery, Endpoint};
use dataflow_webhooks_tower::{ResponseBody, WebhookBody, WebhookLayer};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tower::{Layer as _, Service, service_fn};
use tracing::error;

/// What the service answers.
pub type Answer = Response<ResponseBody<Empty<Bytes>>>;

/// Verifies, claims, handles and answers. Which paths come here is the
/// configuration of whatever calls the function: an API Gateway, a function URL,
/// a load balancer.
///
/// Where the endpoint has a list of allowed sources, the source is who called the
/// gateway or the function URL, as that says; see `peer.rs`.
#[must_use]
pub fn service(
    endpoint: Endpoint,
) -> impl Service<lambda_http::Request, Response = Answer, Error = Infallible, Future: Send> + Clone + Send
{
    WebhookLayer::new(endpoint)
        .peer(|parts| peer::address(parts.extensions.get()?))
        .layer(service_fn(handle))
}

/// Runs for verified deliveries only, and for each event until it succeeds.
///
/// It is called again after a failure, and after it was frozen: what is done with
/// an event should do no harm twice.
async fn handle(request: Request<WebhookBody>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let processed = match request.extensions().get::<Delivery>() {
        Some(delivery) => receiver::process(delivery).await.is_ok(),
        None => {
            error!("there is no WebhookLayer around this service");
            false
        }
    };
    let mut response = Response::new(Empty::new());
    if !processed {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}
