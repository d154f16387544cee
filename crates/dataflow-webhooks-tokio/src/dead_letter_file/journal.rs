//! The open file: lines are appended to it and read out of it, one call at a time.
//!
//! Invariant: up to `end` the file holds whole lines that the disk has confirmed, and what
//! a crash has left between them; the index names every letter among them. Beyond `end`
//! there is nothing, or, where `is_unclean`, what a failed write has left.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use dataflow_webhooks::dead_letters::DeadLetter;
use fs4::{FileExt, TryLockError};
use jiff::Timestamp;

use super::error::{DeadLetterFileError, UnreadableLines, What};
use super::index::{Index, Span};
use super::line::{Line, removal};

type Result<T> = std::result::Result<T, DeadLetterFileError>;

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    index: Index,
    unreadable: UnreadableLines,
    end: u64,
    /// The last line has no line break: a crash has cut it off.
    is_open_ended: bool,
    is_unclean: bool,
}

impl Journal {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let fail = |doing, error| DeadLetterFileError::new(path, What::Io(doing, error));
        // A pipe or a device would be opened, and wait or swallow everything.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(DeadLetterFileError::new(path, What::NoFile));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| fail("opened", error))?;
        match FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DeadLetterFileError::new(path, What::InUse));
            }
            Err(TryLockError::Error(error)) => return Err(fail("locked", error)),
        }
        // A file that was created just now is there after a crash only when its folder
        // is confirmed as well.
        #[cfg(unix)]
        sync_folder(path).map_err(|error| fail("confirmed in its folder", error))?;
        let mut this = Self {
            path: path.to_owned(),
            file,
            index: Index::default(),
            unreadable: UnreadableLines::default(),
            end: 0,
            is_open_ended: false,
            is_unclean: false,
        };
        this.load()?;
        Ok(this)
    }

    /// The lines that hold no letter, of when the file was read.
    pub(super) fn unreadable(&self) -> &UnreadableLines {
        &self.unreadable
    }

    /// Reads the file from its beginning. One line at a time is in memory.
    fn load(&mut self) -> Result<()> {
        self.index = Index::default();
        self.unreadable = UnreadableLines::default();
        (self.end, self.is_open_ended, self.is_unclean) = (0, false, false);
        self.file.rewind().map_err(|error| self.failed("read", error))?;
        let mut lines = BufReader::with_capacity(64 * 1024, &self.file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = lines.read_until(b'\n', &mut line);
            let length = read.map_err(|error| self.failed("read", error))?;
            if length == 0 {
                break;
            }
            let at = self.end;
            self.end += length as u64;
            self.is_open_ended = line.pop_if(|last| *last == b'\n').is_none();
            match Line::read(&line) {
                Line::Letter { event_id, failed_at } => {
                    let span = Span { at, length: line.len() };
                    self.index.insert(&event_id, failed_at, span);
                }
                Line::Removal { event_id, failed_at } => self.index.remove(&event_id, failed_at),
                Line::Unreadable => self.unreadable.add(number),
            }
        }
        Ok(())
    }

    /// Sees to it that this is the file at its path, and that all of it is known.
    ///
    /// It may have been moved away or removed, and a letter stored there would be lost; or
    /// written to, which nobody should.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let here = self.file.metadata().map_err(|error| self.failed("looked at", error))?;
        match self.path.metadata() {
            Ok(there) if is_same(&here, &there) => {}
            _ => {
                *self = Self::open(&self.path)?;
                return Ok(());
            }
        }
        // Where it was shortened meanwhile, to cut it back would fill it up with zeros.
        if self.is_unclean && here.len() >= self.end {
            return self.roll_back().map_err(|error| self.failed("cut back", error));
        }
        if here.len() != self.end {
            self.load()?;
        }
        Ok(())
    }

    pub(super) fn store(&mut self, letter: &DeadLetter) -> Result<()> {
        let line = serde_json::to_vec(letter)
            .map_err(|error| self.failed("written", io::Error::from(error)))?;
        let span = self.append(line)?;
        self.index.insert(letter.id(), letter.failed_at(), span);
        Ok(())
    }

    pub(super) fn remove(&mut self, event_id: &str, failed_at: Timestamp) -> Result<bool> {
        if !self.index.has(event_id, failed_at) {
            return Ok(false);
        }
        self.append(removal(event_id, failed_at))?;
        self.index.remove(event_id, failed_at);
        if self.index.is_empty() && self.unreadable.count() == 0 && self.file.set_len(0).is_ok() {
            // Need not be confirmed: each removal is.
            self.end = 0;
        }
        Ok(true)
    }

    pub(super) fn get(&self, event_id: &str) -> Result<Option<DeadLetter>> {
        self.index.get(event_id).map(|span| self.read(span)).transpose()
    }

    pub(super) fn list(
        &self,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        self.index.after(after).take(limit).map(|span| self.read(span)).collect()
    }

    /// Puts a line at the end, all of it or nothing, and has the disk confirm it.
    fn append(&mut self, mut line: Vec<u8>) -> Result<Span> {
        let mut span = Span { at: self.end, length: line.len() };
        line.push(b'\n');
        if self.is_open_ended {
            // In the same write: by itself it would make a line of the half before it.
            line.insert(0, b'\n');
            span.at += 1;
        }
        self.is_unclean = true;
        let written = (&self.file)
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| (&self.file).write_all(&line))
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // At once, for it takes room that the disk may lack; should it fail, it is
            // tried again before anything else.
            let _ = self.roll_back();
            return Err(self.failed("written", error));
        }
        self.is_unclean = false;
        self.is_open_ended = false;
        self.end += line.len() as u64;
        Ok(span)
    }

    fn roll_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.is_unclean = false;
        Ok(())
    }

    fn read(&self, span: Span) -> Result<DeadLetter> {
        let mut line = vec![0; span.length];
        (&self.file)
            .seek(SeekFrom::Start(span.at))
            .and_then(|_| (&self.file).read_exact(&mut line))
            .map_err(|error| self.failed("read", error))?;
        DeadLetter::from_trusted_json(&line)
            .map_err(|_| DeadLetterFileError::new(&self.path, What::Changed(span.at)))
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> DeadLetterFileError {
        DeadLetterFileError::new(&self.path, What::Io(doing, error))
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// A file that is open cannot be moved or removed there.
#[cfg(not(unix))]
fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
