//! Real Redis servers: one, a Cluster of three, a primary with a replica under sentinels.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::kept::{Folder, Kept, free_port, within};

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

/// Three primaries that share the slots.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cluster {
    /// The servers.
    pub nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts the servers and joins them, each as this makes it from its options.
    ///
    /// # Panics
    ///
    /// When they do not become a Cluster.
    #[must_use]
    pub fn start(server: impl Fn(&[&str]) -> Redis) -> Self {
        let nodes: Vec<Redis> = (0..3)
            .map(|_| {
                // The default, the port and 10 000, may be no port at all.
                let bus = free_port().to_string();
                server(&[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus,
                    "--cluster-node-timeout",
                    "2000",
                    "--cluster-require-full-coverage",
                    "no",
                ])
            })
            .collect();
        let addresses: Vec<String> =
            nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.extend(["--cluster-yes"]);
        let said = nodes[0].cli(&create);
        for node in &nodes {
            let came = within(PATIENCE, || {
                let info = node.cli(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            });
            assert!(came, "no Cluster: {said}\n{}", node.cli(&["CLUSTER", "INFO"]));
        }
        Self { nodes }
    }

    /// The hosts and ports of the nodes, as a URL has them.
    #[must_use]
    pub fn hosts(&self) -> String {
        let hosts = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
        hosts.collect::<Vec<_>>().join(",")
    }
}

/// A primary, its replica, and three sentinels that watch them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sentinels {
    /// The primary at the beginning.
    pub primary: Redis,
    /// Its replica.
    pub replica: Redis,
    sentinels: Vec<(u16, Kept)>,
    is_tls: bool,
    _folder: Folder,
}

impl Sentinels {
    /// The name under which the sentinels know the primary.
    pub const NAME: &'static str = "orders-db";

    /// Starts all five, and waits until the sentinels know of each other and of the replica.
    ///
    /// # Panics
    ///
    /// When they do not find each other.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Folder::new("fleet-sentinels"), Redis::start, None)
    }

    /// The same five, which speak TLS alone, with the files of these PEM texts.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        let folder = Folder::new("fleet-sentinels");
        let (certificate_file, key_file) =
            (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        fs::write(&certificate_file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        let (certificate_file, key_file) = (certificate_file.display(), key_file.display());
        let tls = format!(
            "tls-replication yes\ntls-auth-clients no\ntls-cert-file {certificate_file}\n\
             tls-key-file {key_file}\ntls-ca-cert-file {certificate_file}\n"
        );
        let server = |options: &[&str]| {
            let all = [&["--tls-replication", "yes"], options].concat();
            Redis::start_tls(certificate, key, &all)
        };
        Self::start_with(folder, server, Some(&tls))
    }

    fn start_with(folder: Folder, server: impl Fn(&[&str]) -> Redis, tls: Option<&str>) -> Self {
        let primary = server(&[]);
        let replica = replica_with(&primary, server);
        let sentinels: Vec<(u16, Kept)> = (0..3)
            .map(|number| {
                let port = free_port();
                let name = Self::NAME;
                let file = folder.path().join(format!("{number}.conf"));
                let watched = primary.port();
                let listening = match tls {
                    None => format!("port {port}\n"),
                    Some(files) => format!("port 0\ntls-port {port}\n{files}"),
                };
                let text = format!(
                    "{listening}bind 127.0.0.1\ndir {}\n\
                     sentinel monitor {name} 127.0.0.1 {watched} 2\n\
                     sentinel down-after-milliseconds {name} 1000\n\
                     sentinel failover-timeout {name} 5000\n",
                    folder.path().display(),
                );
                fs::write(&file, text).unwrap();
                let log = folder.path().join(format!("{number}.log"));
                let arguments = [file.to_str().unwrap().to_owned(), "--sentinel".to_owned()];
                (port, Kept::start("redis-server", &arguments, &log, "redis-server"))
            })
            .collect();
        let all = Self { primary, replica, sentinels, is_tls: tls.is_some(), _folder: folder };
        for (port, _) in &all.sentinels {
            let came = within(PATIENCE, || {
                let info = all.ask(*port, &["SENTINEL", "MASTER", Self::NAME]);
                has(&info, "num-slaves", "1") && has(&info, "num-other-sentinels", "2")
            });
            assert!(came, "sentinel on {port} is not ready");
        }
        all
    }

    /// Waits until all sentinels name this server the primary.
    ///
    /// # Panics
    ///
    /// When they do not within a minute.
    pub fn until_all_name(&self, server: &Redis) {
        let port = server.port().to_string();
        for (sentinel, _) in &self.sentinels {
            let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME];
            let came = within(PATIENCE, || self.ask(*sentinel, &ask).contains(&port));
            assert!(came, "sentinel on {sentinel} does not name {port}");
        }
    }

    /// The URL of the primary, wherever it is.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> =
            self.sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        format!("{scheme}+sentinel://{}/{}", hosts.join(","), Self::NAME)
    }

    fn ask(&self, port: u16, command: &[&str]) -> String {
        let speak: &[&str] = if self.is_tls { &["--tls", "--insecure"] } else { &[] };
        let output = Command::new("redis-cli")
            .args(["-p", &port.to_string()])
            .args(speak)
            .args(command)
            .output();
        String::from_utf8_lossy(&output.expect("redis-cli runs").stdout).into_owned()
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

/// Whether a line of this name is followed by one of this value.
fn has(lines: &str, name: &str, value: &str) -> bool {
    let mut lines = lines.lines();
    lines.any(|line| line == name) && lines.next() == Some(value)
}
