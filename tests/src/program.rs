//! A program of this package as a child process, and the memory it takes.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::child::Owned;

/// A child process that has said where it listens. It is ended when this is
/// dropped; should this process be killed, it ends by itself, for it reads its
/// standard input to the end.
#[derive(Debug)]
pub struct Program {
    child: Owned,
    address: SocketAddr,
}

impl Program {
    /// Starts a program, `env!("CARGO_BIN_EXE_…")`, with one argument, and waits
    /// for its first line of output, the address it listens on.
    ///
    /// # Panics
    ///
    /// When it does not start, or its first line is no address.
    #[must_use]
    pub fn start(path: &str, argument: &str) -> Self {
        let mut child = Command::new(path)
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{path} does not start: {error}"));
        let output = child.stdout.take().expect("its output is a pipe");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        match line.trim_end().parse() {
            Ok(address) => Self { child: Owned(child), address },
            Err(error) => panic!("{path} said {line:?} ({read:?}), no address: {error}"),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its resident memory now, in bytes.
    ///
    /// # Errors
    ///
    /// There is no `/proc` here, or the process is gone.
    pub fn resident(&self) -> io::Result<u64> {
        resident_of(self.child.0.id())
    }

    /// The most resident memory it has had, in bytes.
    ///
    /// # Errors
    ///
    /// There is no `/proc` here, or the process is gone.
    pub fn peak_resident(&self) -> io::Result<u64> {
        status(self.child.0.id(), "VmHWM:")
    }

    /// The processor time that it has taken, all threads together.
    ///
    /// # Errors
    ///
    /// There is no `/proc` here, or the process is gone.
    pub fn processor_time(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.0.id()))?;
        // Behind the program's name, which may hold anything: `utime` and `stime`
        // are the 12th and 13th field, in hundredths of a second.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let hundredths = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        Ok(Duration::from_millis(10 * hundredths.sum::<u64>()))
    }

    /// How many files and sockets it has open.
    ///
    /// # Errors
    ///
    /// There is no `/proc` here, or the process is gone.
    pub fn open_files(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.0.id()))?.count())
    }
}

/// The resident memory of this process now, in bytes.
///
/// # Errors
///
/// There is no `/proc` here, or the process is gone.
pub fn resident_of(process: u32) -> io::Result<u64> {
    status(process, "VmRSS:")
}

fn status(process: u32, name: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok())
        .map(|kib: u64| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("no {name} in /proc/PID/status")))
}
