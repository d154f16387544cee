//! A file of JSON lines as a sink for dead letters.

mod error;
mod index;
mod journal;
mod line;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflow_webhooks::BoxError;
use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetterSink, DeadLetters, SinkFuture};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use journal::Journal;

pub use error::{DeadLetterFileError, UnreadableLines};

/// Keeps dead letters in a file, one line of JSON for each.
///
/// A letter is stored when its line is in the file and the disk has confirmed it
/// (`fdatasync`). What is there can be read with any tool that passes over lines which are no
/// JSON (`fromjson?` below), for a crash may have left one; the members of a line are those of
/// [`DeadLetter`]'s JSON:
///
/// ```sh
/// jq -cR 'fromjson? | select(.body) | [.failed_at, .event_id, .type, .reason]' dead-letters.jsonl
/// ```
///
/// * **A crash** in the middle of a line leaves a part of it. It is passed over from then
///   on, and [reported](Self::unreadable); the next line begins on a new one. A letter
///   that was stored is never touched by that.
/// * **A full disk**, or any other failed write: the file is cut back to where it was,
///   and the letter is not stored.
/// * **One process** has the file, under a lock: opening it a second time is an error. To
///   list, run again and remove letters is that process's affair, too. The lock and the
///   disk's confirmation are worth what the file system makes of them: use a local one.
/// * **Nobody else** reads it: it is created with the permissions 0600 (on Unix), for
///   bodies are your customers' data. One that is there already keeps its permissions.
/// * **Memory**: bodies stay in the file. Of each letter its place is remembered, in about
///   200 bytes.
/// * **Room**: a letter that is removed, or replaced, keeps its line, and a line says so;
///   with the last letter the file is emptied (unless it has unreadable lines, which are
///   for you to look at). A file that was moved away or shortened meanwhile is opened
///   anew, with what is there then.
///
/// Calls need a tokio runtime, whose blocking threads do the work, one call after another.
///
/// ```
/// use dataflow_webhooks::{Endpoint, KeyRing, Secret};
/// use dataflow_webhooks_tokio::DeadLetterFile;
/// use std::sync::Arc;
///
/// # let path = std::env::temp_dir().join(format!("dead-letters-{}.jsonl", std::process::id()));
/// let letters = Arc::new(DeadLetterFile::open(&path)?);
/// if letters.unreadable().count() > 0 {
///     eprintln!("{}: {}", letters.path().display(), letters.unreadable());
/// }
/// # let keys = KeyRing::new(Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?);
/// let endpoint = Endpoint::builder(keys).dead_letters(letters.clone(), 3).build()?;
/// # let _ = (endpoint, std::fs::remove_file(path)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DeadLetterFile {
    path: PathBuf,
    unreadable: UnreadableLines,
    journal: Arc<Mutex<Journal>>,
}

impl DeadLetterFile {
    /// Opens the file, or creates it in a folder that is there, and reads it once. It
    /// works on the thread that calls it: open it when the program starts.
    ///
    /// # Errors
    ///
    /// It is no file, is open elsewhere, or cannot be created, locked, read or written.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DeadLetterFileError> {
        let path = path.into();
        let journal = Journal::open(&path)?;
        let unreadable = journal.unreadable().clone();
        Ok(Self { path, unreadable, journal: Arc::new(Mutex::new(journal)) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lines that held no letter when the file was opened: what crashes in the middle
    /// of one have left.
    #[must_use]
    pub fn unreadable(&self) -> &UnreadableLines {
        &self.unreadable
    }

    /// Takes one step with the file. Calls wait for one another here and not on a thread:
    /// a disk that hangs holds up one thread, however many calls are made.
    fn step<'a, T: Send + 'static>(
        &'a self,
        step: impl FnOnce(&mut Journal) -> Result<T, DeadLetterFileError> + Send + 'static,
    ) -> SinkFuture<'a, T> {
        Box::pin(async move {
            let runtime = Handle::try_current()?;
            let mut journal = Arc::clone(&self.journal).lock_owned().await;
            let step = move || {
                journal.refresh()?;
                step(&mut journal)
            };
            Ok(runtime.spawn_blocking(step).await.map_err(BoxError::from)??)
        })
    }
}

impl DeadLetterSink for DeadLetterFile {
    fn store<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, ()> {
        let letter = letter.clone();
        self.step(move |journal| journal.store(&letter))
    }
}

impl DeadLetters for DeadLetterFile {
    fn list<'a>(
        &'a self,
        after: Option<&'a DeadLetter>,
        limit: usize,
    ) -> SinkFuture<'a, Vec<DeadLetter>> {
        let after = after.map(|letter| (letter.failed_at(), letter.id().to_owned()));
        self.step(move |journal| journal.list(after, limit))
    }

    fn get<'a>(&'a self, event_id: &'a str) -> SinkFuture<'a, Option<DeadLetter>> {
        let event_id = event_id.to_owned();
        self.step(move |journal| journal.get(&event_id))
    }

    fn remove<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, bool> {
        let (failed_at, event_id) = (letter.failed_at(), letter.id().to_owned());
        self.step(move |journal| journal.remove(&event_id, failed_at))
    }
}

impl fmt::Debug for DeadLetterFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterFile")
            .field("path", &self.path)
            .field("unreadable", &self.unreadable)
            .finish_non_exhaustive()
    }
}
