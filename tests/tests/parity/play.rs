//! A row in play: what the sender does, and what can be seen of the receiver
//! meanwhile.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::{Endpoint, Outcome, SIGNATURE_HEADER, StoreOperation, sign};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use webhook_tests::{
    Answer, Http2, Receiver, Request, WatchedStore, Wire, delivery, eventually, secret,
};

use crate::came_to::{CameTo, Claim, Connection, ID, Must, Said, counted};
use crate::scene::{Handler, Served};
use crate::stack::{Gone, Stack};

/// How long an answer, a count or the end of a connection is waited for that must
/// come, but not at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A sender's way to the receiver.
enum Line {
    Http1(Wire),
    Http2(Http2),
    Gone,
}

/// A receiver, and a sender with connections to it.
pub(crate) struct Play {
    stack: Stack,
    pub(crate) endpoint: Endpoint,
    pub(crate) store: WatchedStore,
    handler: Handler,
    address: SocketAddr,
    _receiver: Receiver,
    lines: Vec<Line>,
    /// The connection in use.
    line: usize,
    answers: Vec<Said>,
    sent: Sent,
    draining: Option<JoinHandle<()>>,
}

impl Play {
    pub(crate) fn new(stack: Stack, served: Served, receiver: Receiver) -> Self {
        Self {
            stack,
            endpoint: served.endpoint,
            store: served.store,
            handler: served.handler,
            address: receiver.address(),
            _receiver: receiver,
            lines: Vec::new(),
            line: 0,
            answers: Vec::new(),
            sent: Sent::default(),
            draining: None,
        }
    }

    /// Uses the connection with this number, from 0, from now on.
    pub(crate) fn on(&mut self, line: usize) -> &mut Self {
        self.line = line;
        self
    }

    async fn line(&mut self) -> &mut Line {
        while self.lines.len() <= self.line {
            let wire = Wire::connect(self.address).await.expect("a connection");
            self.lines.push(Line::Http1(wire));
        }
        &mut self.lines[self.line]
    }

    async fn wire(&mut self) -> &mut Wire {
        match self.line().await {
            Line::Http1(wire) => wire,
            _ => panic!("there is no HTTP/1 connection"),
        }
    }

    /// The next connection, which becomes the one in use, speaks HTTP/2.
    pub(crate) async fn http2(&mut self) -> &mut Self {
        let http2 = Http2::connect(self.address).await;
        self.lines.push(Line::Http2(http2));
        self.line = self.lines.len() - 1;
        self
    }

    /// The HTTP/2 connection in use.
    pub(crate) async fn streams(&mut self) -> &mut Http2 {
        match self.line().await {
            Line::Http2(http2) => http2,
            _ => panic!("there is no HTTP/2 connection"),
        }
    }

    /// Writes a request. That the server has closed before its end shows when the
    /// answer is read.
    pub(crate) async fn send(&mut self, request: &Request) {
        self.sent.note(request);
        let _ = self.wire().await.send(request).await;
    }

    /// Writes these bytes.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.sent.bodies.push(Bytes::copy_from_slice(bytes.as_ref()));
        let _ = self.wire().await.write(bytes.as_ref()).await;
    }

    /// Reads an answer.
    pub(crate) async fn read(&mut self) {
        let answer = self.wire().await.answer().await;
        self.note(answer);
    }

    /// Reads an answer, which may be an interim one.
    pub(crate) async fn read_any(&mut self) {
        let answer = self.wire().await.any_answer().await;
        self.note(answer);
    }

    /// Reads the answer to a HEAD.
    pub(crate) async fn read_head(&mut self) {
        let answer = self.wire().await.answer_to_head().await;
        self.note(answer);
    }

    /// Writes an answer down, or that there was none.
    pub(crate) fn note(&mut self, answer: io::Result<Answer>) {
        self.answers.push(answer.map_or_else(|_| Said::new(0, ""), Said::from));
    }

    /// Is the last answer a `100 Continue`?
    pub(crate) fn was_told_to_go_on(&self) -> bool {
        self.answers.last().is_some_and(|answer| answer.status == 100)
    }

    /// Puts the answers into an order of their own, where they came in any.
    pub(crate) fn sort_answers(&mut self) {
        self.answers
            .sort_by(|one, other| (one.status, &one.body).cmp(&(other.status, &other.body)));
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: &Request) {
        if let Line::Http2(http2) = self.line().await {
            let answer = http2.send(request).await;
            self.sent.note(request);
            self.note(answer.map_err(io::Error::other));
        } else {
            self.send(request).await;
            self.read().await;
        }
    }

    /// Delivers the event with this id.
    pub(crate) async fn deliver(&mut self, id: &str) {
        self.ask(&delivery(id)).await;
    }

    /// Closes the sending half: FIN.
    pub(crate) async fn finish(&mut self) {
        let _ = self.wire().await.finish().await;
    }

    /// Closes the connection.
    pub(crate) async fn close(&mut self) {
        match std::mem::replace(self.line().await, Line::Gone) {
            Line::Http2(http2) => http2.close().await,
            line => drop(line),
        }
    }

    /// Resets the connection: RST.
    pub(crate) async fn reset(&mut self) {
        if let Line::Http1(wire) = std::mem::replace(self.line().await, Line::Gone) {
            let _ = wire.reset();
        }
    }

    /// Leaves a handler that runs, and waits until the layer has heard of it,
    /// where the server tells it.
    pub(crate) async fn leave(&mut self, gone: Gone) {
        let before = self.endpoint.counts().outcome(Outcome::HungUp);
        match gone {
            Gone::Half => self.finish().await,
            Gone::Closed => self.close().await,
            Gone::Reset => self.reset().await,
            // The row has dropped what it had of the stream.
            Gone::Stream => {}
        }
        if self.stack.tells(gone) {
            self.counted("hung_up", before + 1).await;
        }
    }

    /// Waits until the handler has begun so often.
    pub(crate) async fn begun(&self, times: usize) {
        eventually("the handler begins", || self.handler.runs.all().0 == times).await;
    }

    /// Lets so many gated runs go.
    pub(crate) fn let_go(&self, runs: usize) {
        self.handler.gate.add_permits(runs);
    }

    /// Waits until no handler runs and no settlement is pending.
    pub(crate) async fn settled(&self) {
        eventually("all is settled", || {
            let counts = self.endpoint.counts();
            (counts.running, counts.pending_commits) == (0, 0)
        })
        .await;
    }

    /// Waits until an answer to a sender that is gone like this would be late, or
    /// has been.
    pub(crate) async fn it_is_late(&self, gone: Gone) {
        if self.stack.tells(gone) {
            sleep(self.endpoint.limits().answer_within()).await;
        } else {
            self.counted("late", 1).await;
        }
    }

    /// Waits until this count is there.
    pub(crate) async fn counted(&self, what: &str, times: u64) {
        eventually(what, || counted(&self.endpoint.counts()).get(what) == Some(&times)).await;
    }

    /// Waits until the store was asked for more claims than this: a duplicate is
    /// waiting.
    pub(crate) async fn claimed_more_than(&self, times: usize) {
        let claims = || self.store.calls(StoreOperation::Claim);
        eventually("a duplicate waits", || claims() > times).await;
    }

    /// Begins to drain the endpoint.
    pub(crate) async fn drain(&mut self) {
        let draining = self.endpoint.drain();
        self.draining = Some(tokio::spawn(draining));
        eventually("the gate is closed", || self.endpoint.is_draining()).await;
    }

    /// Is it drained?
    pub(crate) fn is_drained(&self) -> bool {
        self.draining.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Waits until it is.
    pub(crate) async fn drained(&self) {
        eventually("it is drained", || self.is_drained()).await;
    }

    /// What came of it all. What is not as it must be is given a moment to become
    /// so: the receiver may count after the sender has read. Then the connection
    /// is tried, and all the rest has to be the same as before.
    pub(crate) async fn came_to(mut self, must: &Must) -> (CameTo, Sent) {
        let patience = Instant::now() + PATIENCE;
        let connection = must.came_to.connection;
        while self.look(must, connection).await != must.came_to && Instant::now() < patience {
            sleep(Duration::from_millis(5)).await;
        }
        let connection = self.try_connection().await;
        let mut came_to = self.look(must, connection).await;
        if connection == Connection::LivesOn {
            came_to.forget_a_probe();
        }
        (came_to, self.sent)
    }

    async fn look(&self, must: &Must, connection: Connection) -> CameTo {
        let mut claims = std::collections::BTreeMap::new();
        for id in must.came_to.claims.keys() {
            let claim = match self.store.all_calls() {
                0 => Claim::Untouched,
                _ => self.store.state(id).await.into(),
            };
            claims.insert(id.clone(), claim);
        }
        CameTo {
            answers: self.answers.clone(),
            connection,
            runs: self.handler.runs.all(),
            claims,
            counts: must.counts(&self.endpoint.counts()),
        }
    }

    /// Sends one more request, whose answer tells what became of the connection.
    async fn try_connection(&mut self) -> Connection {
        let probe = Request::unsigned("").method("OPTIONS");
        let answered = match self.lines.get_mut(self.line) {
            None | Some(Line::Gone) => return Connection::Gone,
            Some(Line::Http2(http2)) => http2.send(&probe).await.is_ok(),
            Some(Line::Http1(wire)) => {
                let _ = wire.send(&probe).await;
                wire.answer().await.is_ok_and(|answer| answer.status == 405)
            }
        };
        if answered { Connection::LivesOn } else { Connection::Ends }
    }
}

impl CameTo {
    /// Takes out what the probe has added.
    fn forget_a_probe(&mut self) {
        let refused = self.counts.entry("method_not_allowed").or_default();
        *refused = refused.saturating_sub(1);
        if *refused == 0 {
            self.counts.remove("method_not_allowed");
        }
    }
}

/// What a sender has written.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) bodies: Vec<Bytes>,
    /// The signatures that it did not have: those of its bodies at its times.
    pub(crate) macs: Vec<String>,
}

impl Sent {
    fn note(&mut self, request: &Request) {
        self.bodies.push(request.body.clone());
        let of_signature = |name: &str| name.eq_ignore_ascii_case(SIGNATURE_HEADER);
        let lines = request.headers.iter().filter(|(name, _)| of_signature(name));
        let lines: Vec<_> = lines.map(|(_, value)| String::from_utf8_lossy(value)).collect();
        let time = |line: &str| line.strip_prefix("t=")?.split(',').next()?.parse().ok();
        for at in lines.iter().filter_map(|line| Timestamp::from_second(time(line)?).ok()) {
            let value = sign(&secret(), at, &request.body);
            let mac = value.split("v1=").last().unwrap_or_default().to_owned();
            if !lines.iter().any(|line| line.to_lowercase().contains(&mac)) {
                self.macs.push(mac);
            }
        }
    }
}

/// Delivers the event that most rows are about.
pub(crate) fn event_1() -> Request {
    delivery(ID)
}
