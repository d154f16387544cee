//! The proxy itself: each mode does what it says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use webhook_fleet_tests::proxy::{Mode, Proxy};

/// Answers each byte with itself, and counts them.
async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    counted.fetch_add(1, SeqCst);
                    if stream.write_u8(byte).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, heard)
}

struct Line(TcpStream);

impl Line {
    async fn to(proxy: &Proxy) -> Self {
        Self(TcpStream::connect(proxy.address()).await.unwrap())
    }

    /// The answer to one byte, if there is one.
    async fn ask(&mut self) -> Option<u8> {
        self.0.write_u8(7).await.ok()?;
        self.0.read_u8().await.ok()
    }
}

#[tokio::test]
async fn everything_passes() {
    let (server, heard) = echo().await;
    let proxy = Proxy::start(server).await.unwrap();
    let mut line = Line::to(&proxy).await;
    for _ in 0..3 {
        assert_eq!(line.ask().await, Some(7));
    }
    assert_eq!(heard.load(SeqCst), 3);
}

#[tokio::test]
async fn what_is_dropped_does_not_reach_the_server_on_open_lines_or_new_ones() {
    let (server, heard) = echo().await;
    let proxy = Proxy::start(server).await.unwrap();
    let mut open = Line::to(&proxy).await;
    assert_eq!(open.ask().await, Some(7));
    proxy.set(Mode::Drop);
    assert_eq!(open.ask().await, None);
    assert_eq!(Line::to(&proxy).await.ask().await, None);
    assert_eq!(heard.load(SeqCst), 1);
    proxy.set(Mode::Pass);
    assert_eq!(Line::to(&proxy).await.ask().await, Some(7));
}

#[tokio::test]
async fn what_is_held_waits_and_passes_later() {
    let (server, heard) = echo().await;
    let proxy = Proxy::start(server).await.unwrap();
    let mut line = Line::to(&proxy).await;
    proxy.set(Mode::Hold);
    let waited = tokio::time::timeout(Duration::from_millis(100), line.ask()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(heard.load(SeqCst), 0);
    proxy.set(Mode::Pass);
    assert_eq!(line.0.read_u8().await.unwrap(), 7);
}

#[tokio::test]
async fn a_delay_counts_both_ways() {
    let (server, _) = echo().await;
    let proxy = Proxy::start(server).await.unwrap();
    let mut line = Line::to(&proxy).await;
    proxy.set(Mode::Delay(Duration::from_millis(50)));
    let begun = Instant::now();
    assert_eq!(line.ask().await, Some(7));
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn cut_after_the_request_the_server_has_heard_it_and_the_answer_is_lost() {
    let (server, heard) = echo().await;
    let proxy = Proxy::start(server).await.unwrap();
    let mut line = Line::to(&proxy).await;
    proxy.set(Mode::CutAfterRequest);
    assert_eq!(line.ask().await, None);
    assert_eq!(heard.load(SeqCst), 1);
}

#[tokio::test]
async fn cut_after_the_reply_the_answer_comes_and_the_line_is_closed() {
    let (server, heard) = echo().await;
    let proxy = Proxy::start(server).await.unwrap();
    let mut line = Line::to(&proxy).await;
    proxy.set(Mode::CutAfterReply);
    assert_eq!(line.ask().await, Some(7));
    assert_eq!(line.ask().await, None);
    assert_eq!(heard.load(SeqCst), 1);
}
