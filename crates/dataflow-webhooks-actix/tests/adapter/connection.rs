//! What becomes of the connection of a refused request.

use std::time::Duration;

use crate::support::{Server, endpoint, head, sample, signature};
use dataflow_webhooks_actix::Webhook;

async fn ok(_: Webhook) -> &'static str {
    "done"
}

const BAD: &str = "X-DataFlow-Signature: t=1,v1=00";

#[actix_web::test]
async fn it_lives_on_after_a_refusal_whose_whole_body_has_come() {
    let server = Server::of(&endpoint(), ok);
    let mut wire = server.connect().await;
    for _ in 0..2 {
        wire.write(head(&[BAD, "Content-Length: 100000"])).await.unwrap();
        wire.write(vec![b'x'; 100_000]).await.unwrap();
        let refused = wire.answer().await;
        assert_eq!(refused.status, 401);
        assert!(!refused.has("connection: close"), "{refused:?}");
    }
    assert_eq!(wire.deliver(&sample().body()).await.status, 200);
}

#[actix_web::test]
async fn it_lives_on_after_a_request_without_a_body() {
    let server = Server::of(&endpoint(), ok);
    let mut wire = server.connect().await;
    wire.write(head(&["X-Nothing: 1"]).replace("POST", "GET")).await.unwrap();
    let refused = wire.answer().await;
    assert_eq!(refused.status, 405);
    assert!(!refused.has("connection: close"), "{refused:?}");
    assert_eq!(wire.deliver(&sample().body()).await.status, 200);
}

#[actix_web::test]
async fn a_declared_length_over_the_limit_is_413_and_closes() {
    let server = Server::of(&endpoint(), ok);
    let mut wire = server.connect().await;
    wire.write(head(&[&signature(b"{}"), "Content-Length: 2000000"])).await.unwrap();
    // All of it is written before a byte is read.
    wire.write(vec![b'x'; 2_000_000]).await.unwrap();
    let refused = wire.answer().await;
    assert_eq!(refused.status, 413);
    assert!(refused.has("connection: close"), "{refused:?}");
    assert!(wire.is_closed_within(Duration::from_secs(5)).await);
}

#[actix_web::test]
async fn a_refused_chunked_body_without_end_is_answered_and_ends() {
    let server = Server::of(&endpoint(), ok);
    let mut wire = server.connect().await;
    wire.write(head(&[BAD, "Transfer-Encoding: chunked"])).await.unwrap();
    let chunk = [b"4000\r\n".to_vec(), vec![b'x'; 0x4000], b"\r\n".to_vec()].concat();
    // Until the server refuses to read on. Were it to read without end, this
    // would, too.
    let writing = async {
        let mut chunks = 0_usize;
        while wire.write(&chunk).await.is_ok() {
            chunks += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        chunks
    };
    let chunks = tokio::time::timeout(Duration::from_secs(15), writing).await;
    assert!(chunks.is_ok(), "it is still read");
}

#[actix_web::test]
async fn a_refused_chunked_body_is_answered_and_closes() {
    let server = Server::of(&endpoint(), ok);
    let mut wire = server.connect().await;
    wire.write(head(&[BAD, "Transfer-Encoding: chunked"])).await.unwrap();
    wire.write("5\r\nhello\r\n0\r\n\r\n").await.unwrap();
    let refused = wire.answer().await;
    assert_eq!((refused.status, refused.has("connection: close")), (401, true), "{refused:?}");
    assert!(wire.is_closed_within(Duration::from_secs(5)).await);
}

#[actix_web::test]
async fn an_authentic_chunked_body_is_handled_and_keeps_the_connection() {
    let server = Server::of(&endpoint(), ok);
    let mut wire = server.connect().await;
    let body = sample().body();
    wire.write(head(&[&signature(&body), "Transfer-Encoding: chunked"])).await.unwrap();
    let (first, second) = body.split_at(100);
    for chunk in [first, second, b""] {
        wire.write(format!("{:x}\r\n", chunk.len())).await.unwrap();
        wire.write([chunk, b"\r\n"].concat()).await.unwrap();
    }
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(wire.deliver(&body).await.body, "already handled\n");
}

#[actix_web::test]
async fn whoever_expects_to_be_told_to_go_on_is_told_and_refused() {
    let server = Server::of(&endpoint(), ok);
    let mut wire = server.connect().await;
    let lines = [BAD, "Expect: 100-continue", "Content-Length: 5"];
    wire.write(head(&lines)).await.unwrap();
    assert_eq!(wire.answer().await.status, 100, "by actix, before any middleware");
    wire.write("hello").await.unwrap();
    assert_eq!(wire.answer().await.status, 401);
    assert_eq!(wire.deliver(&sample().body()).await.status, 200, "it lives on");
}

#[actix_web::test]
async fn a_body_that_is_cut_off_is_forgotten_and_can_be_sent_again() {
    let server = Server::of(&endpoint(), ok);
    let body = sample().body();
    let mut wire = server.connect().await;
    let length = format!("Content-Length: {}", body.len());
    wire.write(head(&[&signature(&body), &length])).await.unwrap();
    wire.write(&body[..50]).await.unwrap();
    wire.reset();
    assert_eq!(server.deliver(&body).await.body, "done");
}
