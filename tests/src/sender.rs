//! A sender that writes HTTP/1.1 byte by byte.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::{SIGNATURE_HEADER, Secret, sign};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::receiver::secret;

/// A request to be written: what is not set is as an honest sender has it.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "tests set what they are about")]
pub struct Request {
    /// The method; POST.
    pub method: String,
    /// The path; `/webhooks/dataflow`.
    pub path: String,
    /// The protocol's name; `HTTP/1.1`.
    pub version: String,
    /// All header lines but `Host` and those of the framing.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
    /// Is the body sent in chunks of this many bytes, with
    /// `Transfer-Encoding: chunked`?
    pub chunked: Option<usize>,
    /// What `Content-Length` says, where not the body's own length.
    pub content_length: Option<u64>,
}

impl Request {
    /// An authentic delivery of this body, signed now.
    pub fn signed(body: impl Into<Bytes>) -> Self {
        Self::signed_with(&secret(), 0, body)
    }

    /// A delivery of this body, signed with this secret so many seconds from
    /// now.
    pub fn signed_with(secret: &Secret, seconds: i64, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let at = Timestamp::now() + SignedDuration::from_secs(seconds);
        let value = sign(secret, at, &body);
        Self::unsigned(body).header(SIGNATURE_HEADER, value)
    }

    /// A request that nobody has signed.
    pub fn unsigned(body: impl Into<Bytes>) -> Self {
        Self {
            method: "POST".into(),
            path: "/webhooks/dataflow".into(),
            version: "HTTP/1.1".into(),
            headers: vec![("Content-Type".into(), b"application/json".to_vec())],
            body: body.into(),
            chunked: None,
            content_length: None,
        }
    }

    /// The same, with one more header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same, with another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// The same, with the body in chunks of this many bytes.
    #[must_use]
    pub fn chunked(mut self, bytes: usize) -> Self {
        self.chunked = Some(bytes);
        self
    }

    /// The head as written, up to and with the empty line.
    #[must_use]
    pub fn head_bytes(&self) -> Vec<u8> {
        let Self { method, path, version, .. } = self;
        let mut head = format!("{method} {path} {version}\r\nHost: localhost\r\n").into_bytes();
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        let framing = match self.chunked {
            Some(_) => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
            None => {
                let length = self.content_length.unwrap_or(self.body.len() as u64);
                format!("Content-Length: {length}\r\n\r\n")
            }
        };
        head.extend_from_slice(framing.as_bytes());
        head
    }

    /// The body as written, framing included.
    #[must_use]
    pub fn body_bytes(&self) -> Vec<u8> {
        let Some(size) = self.chunked else { return self.body.to_vec() };
        let mut written = Vec::new();
        for chunk in self.body.chunks(size.max(1)) {
            written.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            written.extend_from_slice(chunk);
            written.extend_from_slice(b"\r\n");
        }
        written.extend_from_slice(b"0\r\n\r\n");
        written
    }

    /// Sends it over a connection of its own and reads the answer.
    ///
    /// # Errors
    ///
    /// Whatever the connection says.
    pub async fn send(&self, to: SocketAddr) -> io::Result<Answer> {
        let mut wire = Wire::connect(to).await?;
        wire.send(self).await?;
        wire.answer().await
    }
}

/// What came back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case; of a repeated one, the last.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, `""` where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Is it the one answer that says "come again in a minute"?
    #[must_use]
    pub fn is_try_again(&self) -> bool {
        (self.status, self.header("retry-after"), &*self.text()) == (503, "60", "try again later\n")
    }

    /// Does it announce the end of the connection?
    #[must_use]
    pub fn closes(&self) -> bool {
        self.header("connection").eq_ignore_ascii_case("close")
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    /// No answer takes this long.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

    /// Connects.
    ///
    /// # Errors
    ///
    /// As `TcpStream::connect`.
    pub async fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Writes head and body.
    ///
    /// # Errors
    ///
    /// Whatever the connection says.
    pub async fn send(&mut self, request: &Request) -> io::Result<()> {
        self.write(&request.head_bytes()).await?;
        self.write(&request.body_bytes()).await
    }

    /// Writes these bytes.
    ///
    /// # Errors
    ///
    /// Whatever the connection says.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads one answer, interim ones (1xx) left out.
    ///
    /// # Errors
    ///
    /// Whatever the connection says; `TimedOut` after 30 s; `UnexpectedEof` when
    /// it ends before the answer does.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let answer = self.any_answer().await?;
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
    }

    /// Reads the head of one answer that has no body, whatever its headers say:
    /// the one to a HEAD.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub async fn answer_to_head(&mut self) -> io::Result<Answer> {
        match tokio::time::timeout(Self::PATIENCE, self.read_head()).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 30 s")),
        }
    }

    /// Reads one answer, which may be an interim one.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub async fn any_answer(&mut self) -> io::Result<Answer> {
        match tokio::time::timeout(Self::PATIENCE, self.read_answer()).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 30 s")),
        }
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.read_head().await?;
        let length = answer.headers.get("content-length").and_then(|length| length.parse().ok());
        answer.body = if answer.header("transfer-encoding").contains("chunked") {
            self.read_chunks().await?
        } else if let Some(length) = length {
            self.take(length).await?
        } else {
            Vec::new()
        };
        Ok(answer)
    }

    async fn read_head(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        self.read.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.clone()))?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Answer { status, headers, body: Vec::new() })
    }

    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                    break end;
                }
                self.read_more().await?;
            };
            let size = String::from_utf8_lossy(&self.read[..end]).into_owned();
            self.read.drain(..end + 2);
            let size = usize::from_str_radix(size.trim(), 16)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            body.extend(self.take(size).await?);
            self.take(2).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            self.read_more().await?;
        }
        Ok(self.read.drain(..length).collect())
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Whether the other side has closed the connection, waiting for it at most
    /// this long.
    pub async fn is_closed_within(&mut self, time: Duration) -> bool {
        matches!(
            tokio::time::timeout(time, self.read_more()).await,
            Ok(Err(_)) // FIN or RST
        )
    }

    /// Closes the sending half: FIN.
    ///
    /// # Errors
    ///
    /// Whatever the connection says.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Closes the connection with RST.
    ///
    /// # Errors
    ///
    /// Whatever the connection says.
    pub fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }
}
