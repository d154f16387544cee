//! A program of `examples/` as a child process: its output as it comes, its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};

use crate::child::Owned;
use crate::lines::{Lines, until};
use crate::receiver::SECRET;

/// The packages of `examples/` that have a program which tests start.
const EXAMPLES: [&str; 9] = [
    "quickstart",
    "axum-receiver",
    "actix-receiver",
    "hyper-receiver",
    "rocket-receiver",
    "lambda-receiver",
    "observability",
    "transactional",
    "inbox",
];

/// What any of them reads from its environment.
const VARIABLES: [&str; 20] = [
    "ALLOWED_SOURCES",
    "ALLOWED_SOURCES_REPORT_ONLY",
    "BIND",
    "DATABASE_URL",
    "DATAFLOW_WEBHOOK_SECRET",
    "DATAFLOW_WEBHOOK_SECRET_FILE",
    "DEAD_LETTER_FILE",
    "DEDUP_SCOPE",
    "DEDUP_URL",
    "FORWARDED_HEADER",
    "LEASE",
    "MAX_ATTEMPTS",
    "METRICS_BIND",
    "NO_COLOR",
    "QUEUE_NAME",
    "QUEUE_URL",
    "RETRY_AFTER",
    "RUST_LOG",
    "TRUSTED_PROXIES",
    "WORKERS",
];

/// An example's program, which runs until this is dropped.
#[derive(Debug)]
pub struct Example {
    child: Owned,
    stdout: Lines,
    stderr: Lines,
}

impl Example {
    /// Where the program of this example is. `cargo xtask test` has built them all
    /// and says where; under a bare `cargo test` they are built here, all at once,
    /// so that no dependency is built twice for want of a feature.
    ///
    /// # Panics
    ///
    /// When it is none of those that are built, or they do not build.
    #[must_use]
    pub fn path(name: &str) -> PathBuf {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        assert!(EXAMPLES.contains(&name), "{name} is not among {EXAMPLES:?}");
        match std::env::var_os("WEBHOOK_TESTS_BIN_DIR") {
            Some(folder) => Path::new(&folder).join(name),
            None => BUILT.get_or_init(build).join(name),
        }
    }

    /// The program of this example, with nothing set of what it reads but a free
    /// port to listen on.
    ///
    /// # Panics
    ///
    /// As [`path`](Self::path).
    #[must_use]
    pub fn command(name: &str) -> Command {
        let mut command = Command::new(Self::path(name));
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command.env("BIND", "127.0.0.1:0");
        command
    }

    /// The same, and with the secret of the tests.
    ///
    /// # Panics
    ///
    /// As [`path`](Self::path).
    #[must_use]
    pub fn with_secret(name: &str) -> Command {
        let mut command = Self::command(name);
        command.env("DATAFLOW_WEBHOOK_SECRET", SECRET);
        command
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        Self::start_with_stdout(command, Stdio::piped())
    }

    /// Starts it with an output of the test's own.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start_with_stdout(command: &mut Command, stdout: Stdio) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_default();
        let stderr = child.stderr.take().map(Lines::of).unwrap_or_default();
        Self { child: Owned(child), stdout, stderr }
    }

    /// Runs one that ends by itself; its exit code, and its one line on stderr.
    ///
    /// # Panics
    ///
    /// When it does not end, or has more to say.
    pub async fn refusal(command: &mut Command) -> (Option<i32>, String) {
        let mut example = Self::start(command);
        let status = example.ended().await;
        assert_eq!(example.printed(), [""; 0]);
        let log = example.log();
        assert_eq!(log.lines().count(), 1, "{log}");
        (status.code(), log)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Where it listens, which it says on stderr.
    ///
    /// # Panics
    ///
    /// When it does not say so in time.
    pub async fn address(&mut self) -> SocketAddr {
        let line = self.logged("listening on ").await;
        let (_, address) = line.rsplit_once(' ').expect("an address");
        address.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Waits for a line on stderr with these words, and takes it.
    ///
    /// # Panics
    ///
    /// When there is none in time.
    pub async fn logged(&mut self, words: &str) -> String {
        let missing = || format!("{words:?} on stderr:\n{}", self.log());
        until(|| self.stderr.take(words), missing).await
    }

    /// What it wrote to stdout so far.
    #[must_use]
    pub fn printed(&self) -> Vec<String> {
        self.stdout.so_far()
    }

    /// Waits for this many lines on stdout.
    ///
    /// # Panics
    ///
    /// When they do not come in time.
    pub async fn printed_lines(&self, count: usize) {
        self.stdout.wait_for(count).await;
    }

    /// What it wrote to stderr so far, but for the lines that were taken.
    #[must_use]
    pub fn log(&self) -> String {
        self.stderr.so_far().join("\n")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it is gone, and was waited for.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).expect("a process to signal");
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.0.try_wait(), Ok(None))
    }

    /// Waits until it has ended and all of its output is here.
    ///
    /// # Panics
    ///
    /// When it runs on.
    pub async fn ended(&mut self) -> ExitStatus {
        let Self { child, stdout, stderr } = self;
        let ended = || {
            let status = child.0.try_wait().expect("a child to wait for");
            status.filter(|_| stdout.at_end() && stderr.at_end())
        };
        until(ended, || format!("its end:\n{}", stderr.so_far().join("\n"))).await
    }

    /// Kills it, so that a line which was not flushed is lost; all that it wrote
    /// to stdout.
    ///
    /// # Panics
    ///
    /// When it had ended before, and was waited for.
    pub async fn killed(&mut self) -> Vec<String> {
        self.signal(Signal::KILL);
        self.ended().await;
        self.printed()
    }
}

/// Builds all of them into the target folder that this very test was built into;
/// the folder that they are in.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    let target = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.expect("a target folder around this test");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked"])
        .args(EXAMPLES.iter().flat_map(|name| ["-p", *name]))
        .arg("--target-dir")
        .arg(target)
        // So that the programs are where they are looked for.
        .env_remove("CARGO_BUILD_TARGET")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo");
    assert!(status.success(), "the examples do not build: {status}");
    target.join("debug")
}
