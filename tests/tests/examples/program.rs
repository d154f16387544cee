//! An example's program as a child process: its output as it comes, its end.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The example programs that are tested here.
const EXAMPLES: [&str; 5] =
    ["quickstart", "axum-receiver", "actix-receiver", "hyper-receiver", "observability"];

/// Where the example programs are. `cargo xtask test` has built them and says
/// so; under a bare `cargo test` they are built here, once.
pub(crate) fn path(name: &str) -> PathBuf {
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
    pub(crate) async fn address(&mut self) -> SocketAddr {
        let line = self.logged("listening on ").await;
        let (_, address) = line.rsplit_once(' ').expect("an address");
        address.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Waits for a line on stderr with these words, and takes it.
    pub(crate) async fn logged(&mut self, words: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(line) = self.stderr.take(words) {
                return line;
            }
            assert!(started.elapsed() < PATIENCE, "no {words:?} on stderr:\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it wrote to stdout so far.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.stdout.so_far().clone()
    }

    /// What it wrote to stderr so far, but for the lines that were taken.
    pub(crate) fn log(&self) -> String {
        self.stderr.so_far().join("\n")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a process to signal");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
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
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    /// Held by the reading thread until the pipe's end.
    open: Arc<()>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let this = Self::default();
        let to = this.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                to.so_far().push(line);
            }
        });
        this
    }

    fn so_far(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, words: &str) -> Option<String> {
        let mut lines = self.so_far();
        let at = lines.iter().position(|line| line.contains(words))?;
        Some(lines.remove(at))
    }

    fn at_end(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }
}

/// A file that is removed when this is dropped.
pub(crate) struct TemporaryFile(PathBuf);

impl TemporaryFile {
    pub(crate) fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("webhook-tests-{}-{nth}-{name}", std::process::id());
        let this = Self(std::env::temp_dir().join(name));
        this.write(content);
        this
    }

    pub(crate) fn write(&self, content: impl AsRef<[u8]>) {
        std::fs::write(&self.0, content).expect("a file in the temporary folder");
    }
}

impl AsRef<OsStr> for TemporaryFile {
    fn as_ref(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
