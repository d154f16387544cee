//! A real PostgreSQL server.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, io};

use dataflow_webhooks_sqlx::PostgresStore;

use crate::calls::at_last;
use crate::kept::{Folder, Kept, free_port, within};

/// How long a server may take to do what it was told, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const FOLDER: &str = "fleet-postgres";
const PACKAGE: &str = "postgresql";

/// A server on a port of its own, which it keeps through [`kill`](Self::kill) and
/// [`restart`](Self::restart), as it does its data. Any user may connect, without a password.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    options: Vec<String>,
    process: Option<Kept>,
    folder: Folder,
}

impl Postgres {
    /// Starts a server with these further settings, such as `&["max_connections=20"]`.
    ///
    /// # Panics
    ///
    /// When there is no PostgreSQL, with the line that installs it, or it does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let mut server = Self::prepare();
        server.options.extend(settings.iter().map(|&setting| setting.to_owned()));
        server.run_somewhere();
        server
    }

    /// Starts a server that also speaks TLS, with these PEM texts.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        let mut server = Self::prepare();
        server.options.push("ssl=on".to_owned());
        for (setting, text) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
            let path = server.folder.path().join(setting);
            fs::write(&path, text).unwrap();
            give_to_postgres(&path, "600");
            server.options.push(format!("{setting}={}", path.display()));
        }
        server.run_somewhere();
        server
    }

    fn prepare() -> Self {
        remove_orphans();
        let folder = Folder::new(FOLDER);
        give_to_postgres(folder.path(), "700");
        let server = Self { port: 0, options: Vec::new(), process: None, folder };
        server.make_data();
        server
    }

    fn run_somewhere(&mut self) {
        // A free port may be taken by somebody else before the server has it: then another one.
        for _ in 0..5 {
            self.port = free_port();
            if self.run() {
                return;
            }
        }
        panic!("postgres did not start: {}", self.log());
    }

    /// The URL of the database that is there from the start.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres", "postgres")
    }

    /// The URL of this database, for this user.
    #[must_use]
    pub fn url_of(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database, and gives its name.
    ///
    /// # Panics
    ///
    /// When the server does not.
    #[must_use]
    pub fn create_database(&self) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("made_{}", MADE.fetch_add(1, Ordering::Relaxed));
        let port = self.port.to_string();
        let mut createdb = Command::new(program("createdb"));
        run(createdb.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port, &name]));
        name
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A store on a database of its own, with its table. The scope is `orders`.
    ///
    /// # Panics
    ///
    /// When there is none within a minute.
    pub async fn store(&self) -> PostgresStore {
        let store = self.store_without_table().await;
        at_last(async || store.migrate().await).await;
        store
    }

    /// The same before its migration.
    ///
    /// # Panics
    ///
    /// When there is none within a minute.
    pub async fn store_without_table(&self) -> PostgresStore {
        let url = self.url_of("postgres", &self.create_database());
        self::store(&url, "orders").await
    }

    /// Its process id; its backends are the children of that.
    ///
    /// # Panics
    ///
    /// When it was killed.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// SIGKILL. Its backends end a moment later, by themselves.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, on the same port and with the same data, and waits until it takes
    /// connections.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        // While a backend of the killed one is there, the memory that they share is in use.
        assert!(within(PATIENCE, || self.run()), "postgres did not start again: {}", self.log());
    }

    /// Whether it runs and takes connections.
    fn run(&mut self) -> bool {
        let data = self.folder.path().join("data");
        let mut arguments = as_postgres();
        arguments.extend([program("postgres"), "-D".to_owned(), text(&data)]);
        arguments.extend(["-p".to_owned(), self.port.to_string()]);
        let sockets = format!("unix_socket_directories={}", self.folder.path().display());
        let fixed = ["listen_addresses=127.0.0.1", "max_connections=200", &sockets];
        // A kill of the server leaves what it has written to the system: only a loss of power
        // would need the disk to be waited for.
        let fixed = fixed.into_iter().chain(["fsync=off", "max_wal_size=64MB"]);
        for setting in fixed.chain(self.options.iter().map(String::as_str)) {
            arguments.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let log = self.folder.path().join("log");
        let mut process = Kept::start("setpriv", &arguments, &log, "util-linux");
        let is_up = within(PATIENCE, || process.has_ended() || self.is_ready());
        let runs = is_up && !process.has_ended();
        self.process = runs.then_some(process);
        runs
    }

    fn is_ready(&self) -> bool {
        let port = self.port.to_string();
        let output = Command::new(program("pg_isready"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
            .output();
        output.is_ok_and(|output| output.status.success())
    }

    fn make_data(&self) {
        let data = self.folder.path().join("data");
        let mut initdb = Command::new("setpriv");
        initdb.args(as_postgres()).arg(program("initdb")).arg("-D").arg(&data);
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
        run(initdb.args(["--no-locale", "--no-sync", "--wal-segsize=1"]));
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let end = log.len().saturating_sub(4_000);
        String::from_utf8_lossy(log.split_at(end).1).into_owned()
    }
}

/// A store on this database. The machine may be so loaded that the first connections take too long.
///
/// # Panics
///
/// When there is none within a minute.
pub async fn store(url: &str, scope: &str) -> PostgresStore {
    at_last(async || PostgresStore::connect(url, scope).await).await
}

/// The URL of the database that a store is on, for others than that store.
#[must_use]
pub fn url(store: &PostgresStore) -> String {
    let options = store.pool().connect_options();
    let database = options.get_database().expect("a database");
    format!("postgres://postgres@127.0.0.1:{}/{database}", options.get_port())
}

/// It refuses to run as root.
fn as_postgres() -> Vec<String> {
    let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
    let user = if is_root() { user.as_slice() } else { &[] };
    user.iter().copied().chain(["--pdeathsig", "KILL"]).map(str::to_owned).collect()
}

fn give_to_postgres(path: &Path, mode: &str) {
    if is_root() {
        run(Command::new("chown").arg("postgres:").arg(path));
    }
    run(Command::new("chmod").arg(mode).arg(path));
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// The newest installed version of a program that Debian keeps off the path.
fn program(name: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let path = version.path().join("bin").join(name);
            let number = version.file_name().to_str()?.parse().ok()?;
            path.is_file().then_some((number, path))
        })
        .collect();
    found.sort();
    match found.pop() {
        Some((_, path)) => text(&path),
        None => panic!("these tests need {name}: run `apt-get install {PACKAGE}`"),
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a temporary folder's name is UTF-8").to_owned()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// Removes the folders of test processes that are gone: a server in a `static` is never dropped.
fn remove_orphans() {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten();
    for entry in entries.filter_map(io::Result::ok) {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER)?.strip_prefix('-')?.split('-').next())
            .and_then(|id| id.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            // Another test process may be at it as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
