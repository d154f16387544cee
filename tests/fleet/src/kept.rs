//! Child processes that never outlive the tests, however those end; free ports; folders.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};
use webhook_tests::Chance;

/// A process that is killed when this is dropped, and when the tests' process ends, by whatever
/// cause.
#[derive(Debug)]
pub struct Kept(Child);

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The thread that starts all of them. Linux kills them when the *thread* that started them ends,
/// and a test's thread ends with the test: this one does not.
static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, received) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in received {
            // Whoever asked may be gone, and then the child is killed as it is dropped unkept.
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

impl Kept {
    /// Starts a program. Its output goes to this file.
    ///
    /// # Panics
    ///
    /// When it cannot be started; the message has the line that installs it.
    #[must_use]
    pub fn start(program: &str, arguments: &[String], log: &Path, debian_package: &str) -> Self {
        let output = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output);
        assert!(
            is_installed(program),
            "these tests need {program}: run `apt-get install {debian_package}`"
        );
        let (answer, child) = mpsc::channel();
        STARTER.send((command, answer)).unwrap();
        match child.recv().unwrap() {
            Ok(child) => Self(child),
            Err(error) => panic!("setpriv does not start ({error}): `apt-get install util-linux`"),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// SIGSTOP: it is there, and does nothing.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM. It may take its time.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} is not sent: {error}"));
    }

    /// SIGKILL, and the end of it.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A port of the loopback interface that nobody listens on now.
///
/// It lies below those that the system gives to outgoing connections: one of these could take it
/// while its server is down, and the server could not come back.
///
/// # Panics
///
/// When all that were tried are taken.
#[must_use]
pub fn free_port() -> u16 {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = range.split_whitespace().next().and_then(|first| first.parse().ok());
    let end: u16 = end.filter(|&first| first > 20_000).unwrap_or(32_768);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed);
    let mut chance = Chance::from_seed(u64::from(std::process::id()) << 32 | asked);
    let mut ports = (0..1_000).map(|_| 10_000 + chance.below(usize::from(end) - 10_000));
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.find_map(|port| u16::try_from(port).ok().filter(is_free));
    port.expect("a free port")
}

/// A new folder, removed when this is dropped. What a killed test leaves behind is in the system's
/// temporary folder.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder whose name begins like this.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::inside(&std::env::temp_dir(), name)
    }

    /// A folder in memory, where the system has such: for what is written so often that the disk
    /// would set the pace. What was written survives the writer there as well.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn in_memory(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::inside(memory, name) } else { Self::new(name) }
    }

    fn inside(parent: &Path, name: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{name}-{}-{number}", std::process::id()));
        // One of the same name can only be of a process that is gone.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Asks again and again until the answer is yes, for at most so long; says whether it came.
pub fn within(time: Duration, mut question: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if question() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
