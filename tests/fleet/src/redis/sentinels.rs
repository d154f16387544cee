//! A primary with a replica, under three sentinels.

use std::fs;
use std::process::Command;

use super::{PATIENCE, Redis, replica_with};
use crate::kept::{Folder, Kept, free_port, within};

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

/// Whether a line of this name is followed by one of this value.
fn has(lines: &str, name: &str, value: &str) -> bool {
    let mut lines = lines.lines();
    lines.any(|line| line == name) && lines.next() == Some(value)
}
