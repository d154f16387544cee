//! A folder of a test's own, letters, and the file's calls without `await`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dataflow_webhooks::BoxError;
use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetterSink as _, DeadLetters as _};
use dataflow_webhooks_tokio::DeadLetterFile;

/// Removed when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("dead-letters-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn open(path: &Path) -> DeadLetterFile {
    DeadLetterFile::open(path).unwrap()
}

/// Runs it to its end on a runtime of its own.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// The letter of an event with this id and, as JSON, this `data`.
pub(crate) fn letter(id: &str, data: &str) -> DeadLetter {
    let kept = serde_json::json!({
        "failed_at": "2025-01-24T10:30:00Z", "runs": 3, "reason": "answered 500",
        "key": "current", "signed_at": "2025-01-24T10:29:58Z",
        "received_at": "2025-01-24T10:29:58.250Z",
        "body": format!(r#"{{"id":"{id}","type":"pipeline.run.failed","data":{data}}}"#),
    });
    DeadLetter::from_trusted_json(kept.to_string().as_bytes()).unwrap()
}

/// The file's calls, each of which must succeed, one after another.
pub(crate) struct Letters<'a>(&'a DeadLetterFile);

pub(crate) fn letters_of(file: &DeadLetterFile) -> Letters<'_> {
    Letters(file)
}

impl Letters<'_> {
    pub(crate) fn store(self, letter: &DeadLetter) -> Self {
        self.try_store(letter).unwrap();
        self
    }

    pub(crate) fn try_store(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        block_on(self.0.store(letter))
    }

    pub(crate) fn remove(self, letter: &DeadLetter) -> Self {
        assert!(block_on(self.0.remove(letter)).unwrap(), "{letter:?} is not there");
        self
    }

    pub(crate) fn get(&self, id: &str) -> Option<DeadLetter> {
        block_on(self.0.get(id)).unwrap()
    }

    /// There are these, in the order of the list.
    #[track_caller]
    pub(crate) fn are(self, ids: &[&str]) -> Self {
        let listed = block_on(self.0.list(None, usize::MAX)).unwrap();
        assert_eq!(listed.iter().map(DeadLetter::id).collect::<Vec<_>>(), ids);
        self
    }
}
