//! A program that is killed and started again, as it was.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use webhook_tests::SECRET;

use crate::kept::{Folder, Kept, free_port, within};

/// How long it may take to start or to stop, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program, killed and started again with the same environment and arguments, and, where
/// it listens, on an address that it keeps. All that it writes goes to one file.
#[derive(Debug)]
pub struct Killed {
    address: Option<SocketAddr>,
    arguments: Vec<String>,
    output: PathBuf,
    process: Option<Kept>,
}

impl Killed {
    /// Starts a program that listens where `BIND` says, with these variables, the secret of
    /// the tests, and nothing else in its environment. What it writes goes to `name` in the
    /// folder.
    ///
    /// # Panics
    ///
    /// When it does not start, with its output.
    #[must_use]
    pub fn start(
        program: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        output: (&Folder, &str),
    ) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let bind = address.to_string();
        let variables = [variables, &[("BIND", &*bind)]].concat();
        Self::with_address(Some(address), program, arguments, &variables, output)
    }

    /// The same for one that does not listen: it runs when it is started.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_silent(
        program: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        output: (&Folder, &str),
    ) -> Self {
        Self::with_address(None, program, arguments, variables, output)
    }

    fn with_address(
        address: Option<SocketAddr>,
        program: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        (folder, name): (&Folder, &str),
    ) -> Self {
        let fixed = ["-i".to_owned(), format!("DATAFLOW_WEBHOOK_SECRET={SECRET}")];
        let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
        let command = std::iter::once(program.as_os_str()).chain(arguments.iter().map(OsStr::new));
        let command = command.map(|word| word.to_str().expect("UTF-8").to_owned());
        let arguments = fixed.into_iter().chain(variables).chain(command).collect();
        let output = folder.path().join(name);
        let mut program = Self { address, arguments, output, process: None };
        program.restart();
        program
    }

    /// Where it listens.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens")
    }

    /// SIGKILL, if it runs, and another one.
    ///
    /// # Panics
    ///
    /// When that does not start, with its output.
    pub fn restart(&mut self) {
        self.process = None;
        let mut process = Kept::start("env", &self.arguments, &self.output, "coreutils");
        let address = self.address;
        let is_up = || address.is_none_or(|address| TcpStream::connect(address).is_ok());
        let has_started = within(PATIENCE, || process.has_ended() || is_up());
        assert!(has_started && !process.has_ended(), "{}", self.log());
        self.process = Some(process);
    }

    /// SIGTERM, and its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.terminate();
        assert!(within(PATIENCE, || process.has_ended()), "{}", self.log());
    }

    /// All that it has written.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// The end of what it has written.
    #[must_use]
    pub fn log(&self) -> String {
        let output = self.output();
        let from = output.len().saturating_sub(4_000);
        let from = (from..).find(|&at| output.is_char_boundary(at)).unwrap_or(0);
        output.split_at(from).1.to_owned()
    }
}
