//! Real Redis servers: one of them, and a replica. Beside it, a Cluster of three, and a
//! primary with a replica under sentinels.

mod cluster;
mod sentinels;

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::kept::{Folder, Kept, free_port, within};

pub use self::cluster::Cluster;
pub use self::sentinels::Sentinels;

/// How long a server may take to do what it was told, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a port of its own, which it keeps through [`kill`](Self::kill) and
/// [`restart`](Self::restart), as it does its data: every write is on disk before it is answered.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    /// What redis-cli needs to speak to it, beside the port.
    speak: Vec<String>,
    arguments: Vec<String>,
    process: Option<Kept>,
    folder: Folder,
    /// Certificates, if it speaks TLS.
    _files: Option<Folder>,
}

impl Redis {
    /// Starts a server with these further options, such as `&["--maxmemory", "3mb"]`.
    ///
    /// # Panics
    ///
    /// When there is no redis-server, with the line that installs it, or it does not start.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        Self::prepare("--port", options, &[])
    }

    /// Starts a server that speaks TLS alone, with the files of these PEM texts.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_tls(certificate: &str, key: &str, options: &[&str]) -> Self {
        let folder = Folder::new("fleet-redis-tls");
        let place = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (certificate, key) = (place("cert.pem", certificate), place("key.pem", key));
        let mut all = vec!["--port", "0", "--tls-auth-clients", "no"];
        all.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
        all.extend(["--tls-ca-cert-file", &certificate]);
        all.extend(options);
        let server = Self::prepare("--tls-port", &all, &["--tls", "--insecure"]);
        Self { _files: Some(folder), ..server }
    }

    fn prepare(port_option: &str, options: &[&str], speak: &[&str]) -> Self {
        // A free port may be taken by somebody else before the server has it: then another one.
        for _ in 0..5 {
            let (port, folder) = (free_port(), Folder::new("fleet-redis"));
            let mut arguments: Vec<String> = [port_option, &port.to_string()]
                .into_iter()
                .chain(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
                .chain(["--appendfsync", "always", "--enable-debug-command", "local"])
                .chain(["--dir", folder.path().to_str().unwrap()])
                .map(str::to_owned)
                .collect();
            arguments.extend(options.iter().map(|&option| option.to_owned()));
            let speak = speak.iter().map(|&option| option.to_owned()).collect();
            let mut server = Self { port, speak, arguments, process: None, folder, _files: None };
            if server.run() {
                return server;
            }
        }
        panic!("redis-server did not start");
    }

    /// Whether it runs and answers.
    fn run(&mut self) -> bool {
        let log = self.folder.path().join("log");
        let mut process = Kept::start("redis-server", &self.arguments, &log, "redis-server");
        let is_up = within(PATIENCE, || process.has_ended() || self.answers());
        let runs = is_up && !process.has_ended();
        self.process = runs.then_some(process);
        if !runs {
            eprintln!("{}", fs::read_to_string(log).unwrap_or_default());
        }
        runs
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a server without TLS and password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// When it was killed.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP: it is there, and does nothing.
    ///
    /// # Panics
    ///
    /// When it was killed.
    pub fn pause(&self) {
        self.process.as_ref().expect("it runs").pause();
    }

    /// SIGCONT.
    ///
    /// # Panics
    ///
    /// When it was killed.
    pub fn resume(&self) {
        self.process.as_ref().expect("it runs").resume();
    }

    /// Starts it again, on the same port and with the same data, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "redis-server did not start again on port {}", self.port);
    }

    /// What redis-cli prints for this command.
    ///
    /// # Panics
    ///
    /// When there is no redis-cli.
    pub fn cli(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(&self.speak)
            .args(command)
            .output()
            .unwrap_or_else(|error| panic!("{error}: run `apt-get install redis-tools`"));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The URL for a user who may do what the documentation of the store says, and these rules of
    /// an ACL besides.
    ///
    /// # Panics
    ///
    /// When there is no such user then.
    #[must_use]
    pub fn url_with_rights(&self, rules: &[&str]) -> String {
        let mut command = vec!["ACL", "SETUSER", "limited", "on", ">pa55word", "~dfwh:*"];
        command.extend(["+eval", "+evalsha", "+get", "+set", "+time"]);
        command.extend(rules);
        assert_eq!(self.cli(&command), "OK");
        self.url().replace("redis://", "redis://limited:pa55word@")
    }

    /// Lets redis-cli give this command in the background.
    ///
    /// # Panics
    ///
    /// When there is no redis-cli.
    pub fn cli_in_background(&self, command: &[&str]) {
        let log = self.folder.path().join("cli");
        let mut arguments = vec!["-p".to_owned(), self.port.to_string()];
        arguments.extend(command.iter().map(|&word| word.to_owned()));
        std::thread::spawn(move || {
            let mut cli = Kept::start("redis-cli", &arguments, &log, "redis-tools");
            within(PATIENCE, || cli.has_ended());
        });
    }

    fn answers(&self) -> bool {
        // A password that we do not have is an answer too; a server that loads its data is not up.
        let answer = self.cli(&["PING"]);
        answer == "PONG" || answer.starts_with("NOAUTH")
    }

    /// Waits until redis-cli's output for this command holds this text.
    ///
    /// # Panics
    ///
    /// When it does not within a minute.
    pub fn until(&self, command: &[&str], text: &str) {
        let mut last = String::new();
        let came = within(PATIENCE, || {
            last = self.cli(command);
            last.contains(text)
        });
        assert!(came, "{command:?} does not come to {text:?}: {last}");
    }
}

/// A replica of this server, once it has all its data.
///
/// # Panics
///
/// When it does not come to it.
#[must_use]
pub fn replica_of(primary: &Redis) -> Redis {
    replica_with(primary, Redis::start)
}

fn replica_with(primary: &Redis, server: impl Fn(&[&str]) -> Redis) -> Redis {
    let port = primary.port().to_string();
    let replica = server(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
    replica.until(&["INFO", "replication"], "master_link_status:up");
    replica
}
