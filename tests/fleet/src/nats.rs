//! A real NATS server with JetStream.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use crate::kept::{Folder, Kept, free_port, within};

/// How long a server may take to do what it was told, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a port of its own, which it keeps through [`kill`](Self::kill) and
/// [`restart`](Self::restart), as it does its streams.
#[derive(Debug)]
pub struct Nats {
    scheme: &'static str,
    port: u16,
    process: Option<Kept>,
    folder: Folder,
    arguments: Vec<String>,
}

impl Nats {
    /// Starts a server.
    ///
    /// # Panics
    ///
    /// When there is no nats-server, with the line that installs it, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with these arguments, too.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::prepare("nats", arguments, &[])
    }

    /// Starts a server that speaks TLS only, with this certificate and its key, both PEM.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        Self::prepare("tls", &["--tls"], &[("--tlscert", certificate), ("--tlskey", key)])
    }

    fn prepare(scheme: &'static str, arguments: &[&str], files: &[(&str, &str)]) -> Self {
        // A free port may be taken by somebody else before the server has it: then another one.
        for _ in 0..5 {
            let folder = Folder::new("fleet-nats");
            let mut arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
            for (option, text) in files {
                let path = folder.path().join(option);
                fs::write(&path, text).unwrap();
                arguments.extend([(*option).to_owned(), path.display().to_string()]);
            }
            let port = free_port();
            let mut server = Self { scheme, port, process: None, folder, arguments };
            if server.run() {
                return server;
            }
        }
        panic!("nats-server did not start");
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, on the same port and with the same streams, and waits until it takes
    /// connections.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "nats-server did not start again");
    }

    /// Whether it runs and takes connections.
    fn run(&mut self) -> bool {
        let (log, streams) = (self.folder.path().join("log"), self.folder.path().join("streams"));
        let mut arguments = vec!["-js".to_owned(), "-sd".to_owned(), streams.display().to_string()];
        arguments.extend(["-a".to_owned(), "127.0.0.1".to_owned()]);
        arguments.extend(["-p".to_owned(), self.port.to_string()]);
        arguments.extend_from_slice(&self.arguments);
        let mut process = Kept::start("nats-server", &arguments, &log, "nats-server");
        let is_up = || TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        let is_up = within(PATIENCE, || process.has_ended() || is_up());
        let runs = is_up && !process.has_ended();
        self.process = runs.then_some(process);
        if !runs {
            eprintln!("{}", fs::read_to_string(log).unwrap_or_default());
        }
        runs
    }
}
