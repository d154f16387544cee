//! What can be wrong with the file, in words.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a [`DeadLetterFile`](super::DeadLetterFile) could not be opened, or did not do what
/// it was asked. It names the file and quotes nothing of it; [`source`](Error::source) is
/// the system's error, where there is one.
#[derive(Debug)]
pub struct DeadLetterFileError {
    path: PathBuf,
    what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// What was being done.
    Io(&'static str, io::Error),
    NoFile,
    InUse,
    /// The line that begins at this byte.
    Changed(u64),
}

impl DeadLetterFileError {
    pub(super) fn new(path: &Path, what: What) -> Self {
        Self { path: path.to_owned(), what }
    }
}

impl fmt::Display for DeadLetterFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            What::Io(doing, _) => write!(f, "the file of dead letters {path} cannot be {doing}"),
            What::NoFile => write!(f, "{path} is not a file that dead letters can be kept in"),
            What::InUse => write!(
                f,
                "the file of dead letters {path} is open already, here or in another process: \
                 give each its own"
            ),
            What::Changed(at) => write!(
                f,
                "the line at byte {at} of {path} held a dead letter and does not any more: \
                 somebody else has written to the file"
            ),
        }
    }
}

impl Error for DeadLetterFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.what {
            What::Io(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Lines that hold no letter: how many, and where the first of them are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnreadableLines {
    count: u64,
    first: Vec<u64>,
}

impl UnreadableLines {
    const NAMED: usize = 16;

    pub(super) fn add(&mut self, line: u64) {
        self.count += 1;
        if self.first.len() < Self::NAMED {
            self.first.push(line);
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The numbers of the first 16, counted from 1.
    #[must_use]
    pub fn first(&self) -> &[u64] {
        &self.first
    }
}

/// For people, as `2 lines hold no dead letter: 7, 12`.
impl fmt::Display for UnreadableLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => return f.write_str("each line can be read"),
            1 => f.write_str("1 line holds no dead letter")?,
            count => write!(f, "{count} lines hold no dead letter")?,
        }
        for (nth, line) in self.first.iter().enumerate() {
            write!(f, "{}{line}", if nth == 0 { ": " } else { ", " })?;
        }
        if self.count > Self::NAMED as u64 { f.write_str(", …") } else { Ok(()) }
    }
}
