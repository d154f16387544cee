//! The sender: signs deliveries as the platform does, and some as it would not,
//! and sends them over TCP.

use std::io;
use std::net::SocketAddr;

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::{SIGNATURE_HEADER, Secret, sign};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::receiver::PATH;

/// A request to be sent.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) signature: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    /// Signed now.
    pub(crate) fn signed(secret: &Secret, event: &Sample) -> Self {
        Self::signed_at(secret, event, 0)
    }

    /// Signed so many seconds from now.
    pub(crate) fn signed_at(secret: &Secret, event: &Sample, seconds: i64) -> Self {
        let at = Timestamp::now() + SignedDuration::from_secs(seconds);
        let body = event.body().to_vec();
        Self { signature: Some(sign(secret, at, &body)), body }
    }

    /// Sends it over a connection of its own; the status of the answer.
    pub(crate) async fn send(&self, to: SocketAddr) -> io::Result<u16> {
        let mut head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n",
            self.body.len()
        );
        if let Some(signature) = &self.signature {
            head += &format!("{SIGNATURE_HEADER}: {signature}\r\n");
        }
        head += "\r\n";

        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&self.body).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;

        // HTTP/1.1 200 OK
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
    }
}
