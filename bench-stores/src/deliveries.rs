//! Deliveries a second through one receiver: a process of its own, and its sender.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use dataflow_webhooks::dedup::BoxError;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use receiver::http1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use webhook_tests::{Example, Request, SECRET};

use crate::cpu;
use crate::operations::Keys;

/// A run ends with them, if its time is not up before.
const SIGNED: usize = 60_000;

/// The argument that makes this program a receiver.
pub(crate) const RECEIVE: &str = "receive";

/// The receiver: `examples/axum-receiver` with a handler that does nothing.
pub(crate) async fn receive() -> ExitCode {
    receiver::run("bench-stores", serve).await
}

async fn serve(receiver: receiver::Receiver) -> Result<(), receiver::Failure> {
    let layer = WebhookLayer::new(receiver.endpoint.clone()).peer(http1::peer);
    let webhook = post(async |_: WebhookDelivery| StatusCode::OK).route_layer(layer);
    http1::serve(receiver, Router::new().route(receiver::PATH, webhook)).await
}

/// A receiver process, and where it listens.
pub(crate) struct Receiver {
    process: Example,
    address: SocketAddr,
}

impl Receiver {
    /// One with the store of this URL.
    pub(crate) async fn start(store: &str) -> Result<Self, BoxError> {
        // It ends with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe()?).arg(RECEIVE);
        command.env("BIND", "127.0.0.1:0").env("DATAFLOW_WEBHOOK_SECRET", SECRET);
        command.env("DEDUP_URL", store).env("RUST_LOG", "info");
        let mut process = Example::start_with_stdout(&mut command, Stdio::null());
        let address = process.address().await;
        Ok(Self { process, address })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends distinct events over so many connections for so long, or until there are no
    /// more. All have to be answered 200.
    pub(crate) async fn deliver(
        &self,
        keys: &mut Keys,
        connections: usize,
        time: Duration,
    ) -> Result<Run, BoxError> {
        let requests = (0..SIGNED).map(|_| {
            let sample = Sample::of("pipeline.run.completed").id(&keys.next_id());
            let request = Request::signed(sample.body());
            [request.head_bytes(), request.body_bytes()].concat()
        });
        let requests = Arc::new(Mutex::new(requests.collect::<VecDeque<_>>()));
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let cpu = (cpu::of_tree(self.id()), cpu::own(), cpu::of_all());
        let began = Instant::now();
        let mut all = JoinSet::new();
        for stream in streams {
            all.spawn(send(stream, requests.clone(), began + time));
        }
        let mut answered = 0;
        while let Some(done) = all.join_next().await {
            answered += done??;
        }
        Ok(Run {
            answered,
            took: began.elapsed(),
            receiver: cpu::of_tree(self.id()) - cpu.0,
            sender: cpu::own() - cpu.1,
            all: cpu::of_all() - cpu.2,
        })
    }
}

/// What a run came to.
pub(crate) struct Run {
    pub(crate) answered: u64,
    pub(crate) took: Duration,
    /// The processor time of the receiver.
    pub(crate) receiver: Duration,
    /// The processor time of the sender.
    pub(crate) sender: Duration,
    /// The processor time of all that ran on the machine.
    pub(crate) all: Duration,
}

/// One connection: a request, its answer, the next.
async fn send(
    mut stream: TcpStream,
    requests: Arc<Mutex<VecDeque<Vec<u8>>>>,
    end: Instant,
) -> Result<u64, BoxError> {
    let (mut answered, mut answer) = (0, Vec::with_capacity(1024));
    while Instant::now() < end {
        let next = requests.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(request) = next else { break };
        stream.write_all(&request).await?;
        answer.clear();
        // An empty one: it is here when its head is.
        while !answer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the receiver has closed a connection".into());
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            return Err(format!("the receiver has answered {answer}").into());
        }
        answered += 1;
    }
    Ok(answered)
}
