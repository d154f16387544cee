//! A program in another language that answers JSON lines with JSON lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::child::Owned;

/// A script of `peers/`, running.
#[derive(Debug)]
pub struct Peer {
    /// Ended with this.
    _child: Owned,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `node peers/<script>`.
    ///
    /// # Panics
    ///
    /// There is no node.
    #[must_use]
    pub fn node(script: &str) -> Self {
        Self::start("node", &[], script)
    }

    /// Starts `python3 peers/<script>`.
    ///
    /// # Panics
    ///
    /// There is no python3.
    #[must_use]
    pub fn python(script: &str) -> Self {
        // Without leaving compiled files beside the scripts.
        Self::start("python3", &["-B"], script)
    }

    fn start(program: &str, options: &[&str], script: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
        let mut child = Command::new(program)
            .args(options)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("the feature `peers` needs {program}: {error}"));
        let input = child.stdin.take().expect("its input is a pipe");
        let output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        Self { _child: Owned(child), input, output }
    }

    /// Asks one thing and waits for the answer.
    ///
    /// # Panics
    ///
    /// When the script has ended, which it does at an error of its own; what it
    /// said is on standard error.
    pub fn ask(&mut self, request: &Value) -> Value {
        let mut line = format!("{request}\n");
        let asked = self.input.write_all(line.as_bytes()).and_then(|()| self.input.flush());
        line.clear();
        let answered = asked.and_then(|()| self.output.read_line(&mut line));
        match serde_json::from_str(&line) {
            Ok(answer) => answer,
            Err(error) => panic!("the peer said {line:?} ({answered:?}): {error}"),
        }
    }
}

/// Bytes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
