//! An example's program as a child process: its output as it comes, its end.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;
use webhook_tests::SECRET;

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the example programs are. `cargo xtask test` has built them and says
/// so; under a bare `cargo test` they are built here, once.
fn path(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    match std::env::var_os("WEBHOOK_TESTS_BIN_DIR") {
        Some(folder) => Path::new(&folder).join(name),
        None => BUILT.get_or_init(build).join(name),
    }
}

fn build() -> PathBuf {
    // The target folder that this very test was built into.
    let own = std::env::current_exe().expect("the path of this test");
    let target = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.expect("a target folder around this test");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "-p", "rocket-receiver", "-p", "lambda-receiver"])
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

/// The program of this name, with none of the variables that it reads.
pub(crate) fn bare(name: &str) -> Command {
    let mut command = Command::new(path(name));
    for variable in [
        "DATAFLOW_WEBHOOK_SECRET",
        "DATAFLOW_WEBHOOK_SECRET_FILE",
        "ALLOWED_SOURCES",
        "BIND",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    command
}

/// `rocket-receiver` with the secret of the tests and a free port.
pub(crate) fn rocket() -> Command {
    let mut command = bare("rocket-receiver");
    command.env("DATAFLOW_WEBHOOK_SECRET", SECRET).env("BIND", "127.0.0.1:0");
    command
}

/// Runs a program that ends by itself; its exit code, and its one line on stderr.
pub(crate) async fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let mut program = Program::start(command);
    let status = program.ended().await;
    let log = program.log();
    assert_eq!((log.lines().count(), program.printed().len()), (1, 0), "{log}");
    (status.code(), log)
}

/// A program that runs until this is dropped.
pub(crate) struct Program {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with_stdout(command, Stdio::piped())
    }

    pub(crate) fn start_with_stdout(command: &mut Command, stdout: Stdio) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_default();
        let stderr = child.stderr.take().map(Lines::of).unwrap_or_default();
        Self { child, stdout, stderr }
    }

    /// Where it listens, which it says on stderr.
    pub(crate) async fn address(&self) -> SocketAddr {
        let line = self.logged("listening on ").await;
        let (_, address) = line.rsplit_once(' ').expect("an address");
        address.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Waits for a line on stderr with these words.
    pub(crate) async fn logged(&self, words: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(line) = self.stderr.so_far().iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            assert!(started.elapsed() < PATIENCE, "no {words:?} on stderr:\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it wrote to stdout so far.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.stdout.so_far().clone()
    }

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.so_far().join("\n")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process to signal");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it, so that a line which was not flushed is lost; all that it wrote
    /// to stdout.
    pub(crate) async fn killed(&mut self) -> Vec<String> {
        self.signal(Signal::KILL);
        self.ended().await;
        self.printed()
    }

    /// Waits until it has ended and all of its output is here.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            let status = self.child.try_wait().expect("a child to wait for");
            if let Some(status) = status.filter(|_| self.stdout.at_end() && self.stderr.at_end()) {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it runs on:\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, read by a thread so that the program never waits.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    /// Held by the reading thread until the pipe's end.
    open: Arc<()>,
}

impl Lines {
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let this = Self::default();
        let to = this.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                to.so_far().push(line);
            }
        });
        this
    }

    pub(crate) fn so_far(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this many lines.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<String> {
        let started = Instant::now();
        loop {
            let lines = self.so_far().clone();
            if lines.len() >= count {
                return lines;
            }
            assert!(started.elapsed() < PATIENCE, "{} of {count} lines", lines.len());
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn at_end(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }
}
