//! hyper's own body, over a connection in memory.

use bytes::Bytes;
use dataflow_webhooks_tower::WebhookLayer;
use http::header::CONNECTION;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tower::ServiceBuilder;

use crate::support::{Frames, Handler, Runs, endpoint_with, event, layer, request, text};

type Sent = UnsyncBoxBody<Bytes, std::convert::Infallible>;

struct Client(SendRequest<Sent>);

/// A connection to a server with this layer around this handler.
fn serve(layer: WebhookLayer, runs: &Runs) -> DuplexStream {
    let service = ServiceBuilder::new().layer(layer).service(Handler::new(runs));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(far), TowerToHyperService::new(service));
    tokio::spawn(server);
    near
}

impl Client {
    async fn connect(layer: WebhookLayer, runs: &Runs) -> Self {
        let near = TokioIo::new(serve(layer, runs));
        let (sender, connection) = hyper::client::conn::http1::handshake(near).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn send(&mut self, request: Request<Sent>) -> Response<Incoming> {
        self.0.ready().await.unwrap();
        self.0.send_request(request).await.unwrap()
    }
}

fn whole(bytes: &Bytes) -> Sent {
    Full::new(bytes.clone()).boxed_unsync()
}

fn chunked(bytes: &Bytes, size: usize) -> Sent {
    Frames::cut(bytes, size).boxed_unsync()
}

fn unsigned(body: Sent) -> Request<Sent> {
    Request::post("/").body(body).unwrap()
}

#[tokio::test]
async fn an_authentic_delivery_passes_a_bad_one_does_not_and_the_connection_lives_on() {
    let runs = Runs::default();
    let mut client = Client::connect(layer(), &runs).await;
    for round in 1..=3 {
        let refused = client.send(unsigned(whole(&event()))).await;
        assert_eq!(refused.status(), 401);
        assert!(!refused.headers().contains_key(CONNECTION));
        assert_eq!(text(refused).await, "the signature was not accepted\n");

        let handled = client.send(request(&event()).map(whole)).await;
        assert_eq!(handled.status(), 200);
        assert_eq!(text(handled).await, "done");
        assert_eq!(runs.started(), round);
    }
}

#[tokio::test]
async fn a_chunked_delivery_passes() {
    let runs = Runs::default();
    let mut client = Client::connect(layer(), &runs).await;
    let handled = client.send(request(&event()).map(|body| chunked(body, 7))).await;
    assert_eq!((handled.status().as_u16(), runs.ended()), (200, 1));
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_413_and_closes_the_connection() {
    let runs = Runs::default();
    let endpoint = endpoint_with(|builder| builder.max_body_bytes(1024));
    let mut client = Client::connect(WebhookLayer::new(endpoint), &runs).await;
    let long = Bytes::from(vec![b' '; 4000]);
    let refused = client.send(request(&long).map(|body| chunked(body, 1000))).await;
    assert_eq!((refused.status().as_u16(), runs.started()), (413, 0));
    assert_eq!(refused.headers()[CONNECTION], "close");
}

#[tokio::test]
async fn a_body_declared_over_the_limit_is_413_and_closes_the_connection() {
    let runs = Runs::default();
    let endpoint = endpoint_with(|builder| builder.max_body_bytes(1024));
    let mut client = Client::connect(WebhookLayer::new(endpoint), &runs).await;
    let refused = client.send(request(&Bytes::from(vec![b' '; 4000])).map(whole)).await;
    assert_eq!(refused.status(), 413);
    assert_eq!(refused.headers()[CONNECTION], "close");
}

#[tokio::test]
async fn a_get_without_a_body_is_405_and_keeps_the_connection() {
    let runs = Runs::default();
    let mut client = Client::connect(layer(), &runs).await;
    let get = Request::get("/").body(whole(&Bytes::new())).unwrap();
    let refused = client.send(get).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["allow"]),
        (405, &"POST".parse().unwrap())
    );
    assert!(!refused.headers().contains_key(CONNECTION), "a GET has a body of length 0");
    text(refused).await;
    assert_eq!(client.send(request(&event()).map(whole)).await.status(), 200);
}

#[tokio::test]
async fn who_expects_100_continue_is_refused_and_its_body_not_asked_for() {
    let runs = Runs::default();
    let mut near = serve(layer(), &runs);
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    near.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}
