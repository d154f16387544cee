//! Receiver processes that share a store, and may be killed, stopped and started again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use serde_json::Value;
use webhook_tests::{Request, Wire};

use crate::history::{Recorder, What, now};
use crate::kept::{Folder, Kept, free_port, within};

/// The lease that the receivers' claims have: shorter than an endpoint allows, and renewed
/// each 1.67 s as if it were an endpoint's shortest, 5 s.
pub const LEASE: Duration = Duration::from_secs(3);

/// The longest that a handler of theirs runs.
pub const LONGEST_RUN: Duration = Duration::from_millis(5_000);

/// The scope of the receivers' stores.
pub const SCOPE: &str = "fleet";

/// How long a process may take to start or to stop, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the receivers of a fleet are started.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "tests set it up")]
pub struct Setup {
    /// The program, `env!("CARGO_BIN_EXE_fleet-receiver")`.
    pub program: String,
    /// The URL of the store that they share.
    pub store: String,
    /// What their handlers do comes from this.
    pub seed: u64,
    /// From when on their handlers do nothing odd, on the clock of the histories.
    pub calm_at: u64,
    /// How long an answer may take.
    pub answer_within: Duration,
    /// Whether events are handled while the store is away.
    pub anyway: bool,
}

/// One receiver, on an address that it keeps.
#[derive(Debug)]
pub struct Member {
    setup: Arc<Setup>,
    folder: Arc<Folder>,
    address: SocketAddr,
    histories: Vec<PathBuf>,
    process: Option<Kept>,
}

impl Member {
    /// Starts a receiver, whose log and histories are kept in this folder.
    ///
    /// # Panics
    ///
    /// When it does not start, with its log.
    #[must_use]
    pub fn start(setup: &Arc<Setup>, folder: &Arc<Folder>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (setup, folder) = (setup.clone(), folder.clone());
        let mut member = Self { setup, folder, address, histories: Vec::new(), process: None };
        member.restart();
        member
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id now.
    ///
    /// # Panics
    ///
    /// When it was killed.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process().id()
    }

    fn process(&self) -> &Kept {
        self.process.as_ref().expect("it runs")
    }

    /// The files with what its processes have written down.
    #[must_use]
    pub fn histories(&self) -> &[PathBuf] {
        &self.histories
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.path().join(format!("{}.{kind}", self.address.port()))
    }

    /// SIGKILL, which is written down. Its process id was this.
    ///
    /// # Panics
    ///
    /// When it was killed before.
    pub fn kill(&mut self, history: &Recorder) -> u32 {
        let (id, since) = (self.id(), now());
        self.process = None;
        history.record(What::Fault { kind: "SIGKILL".into(), of: Some(id), since });
        id
    }

    /// SIGSTOP.
    ///
    /// # Panics
    ///
    /// When it was killed.
    pub fn pause(&self) {
        self.process().pause();
    }

    /// SIGCONT.
    ///
    /// # Panics
    ///
    /// When it was killed.
    pub fn resume(&self) {
        self.process().resume();
    }

    /// SIGTERM, and waits until it has drained.
    ///
    /// # Panics
    ///
    /// When it was killed, or does not end.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.terminate();
        let has_ended = within(PATIENCE, || process.has_ended());
        assert!(has_ended, "a receiver does not drain: {}", self.log());
    }

    /// Starts it again, on the same address, and waits until it takes connections.
    ///
    /// # Panics
    ///
    /// When it does not start, with its log.
    pub fn restart(&mut self) {
        self.process = None;
        // A file of its own: the last line of one that was killed may be torn.
        let history = self.file(&format!("{}.history", self.histories.len()));
        let Setup { program, store, seed, calm_at, answer_within, anyway } = &*self.setup;
        let arguments = [
            format!("store={store}"),
            format!("bind={}", self.address),
            format!("history={}", history.display()),
            format!("seed={seed}"),
            format!("calm_at={calm_at}"),
            format!("answer_within={}", answer_within.as_millis()),
            format!("anyway={anyway}"),
        ];
        self.histories.push(history);
        let log = self.file("log");
        let mut process = Kept::start(program, &arguments, &log, "nothing: it is built by cargo");
        let is_up = || std::net::TcpStream::connect(self.address).is_ok();
        let has_started = within(PATIENCE, || process.has_ended() || is_up());
        assert!(has_started && !process.has_ended(), "a receiver does not start: {}", self.log());
        self.process = Some(process);
    }

    /// What its endpoint has counted.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn counts(&self) -> io::Result<Value> {
        let mut request = Request::unsigned("").method("GET");
        request.path = "/counts".into();
        let mut wire = Wire::connect(self.address).await?;
        wire.send(&request).await?;
        let answer = wire.answer().await?;
        serde_json::from_slice(&answer.body).map_err(io::Error::from)
    }
}
