//! How a program ends: its exit code, and why in one line.

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};

/// Why a program ends, in one line, and with which exit code.
#[derive(Debug)]
pub struct Failure {
    exit_code: i32,
    message: String,
}

impl Failure {
    /// A variable is missing or wrong. Exit code 2.
    pub fn in_configuration(error: impl ToString) -> Self {
        Self { exit_code: 2, message: error.to_string() }
    }

    /// Anything later. Exit code 1.
    pub fn at_run_time(error: impl ToString) -> Self {
        Self { exit_code: 1, message: error.to_string() }
    }

    /// What the program exits with.
    #[must_use]
    pub const fn exit_code(&self) -> i32 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// Ends the program: with 0, or with the failure's line on stderr and its exit code.
///
/// `program` is the name in that line.
pub fn end(program: &str, result: Result<(), Failure>) -> ! {
    let code = match result {
        Ok(()) => 0,
        Err(failure) => {
            // Not `eprintln!`, which panics when nobody reads stderr any more.
            let _ = writeln!(io::stderr(), "{program}: {failure}");
            failure.exit_code()
        }
    };
    // Not a return, which would wait for a line that stdout does not take.
    std::process::exit(code);
}

/// An error and what caused it, in one line.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.replace(['\r', '\n'], " ")
}
