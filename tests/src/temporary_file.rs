//! A file that a test gives to a program.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// Makes a file of its own, whose name ends with this one.
    ///
    /// # Panics
    ///
    /// When the temporary folder takes none.
    #[must_use]
    pub fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("webhook-tests-{}-{nth}-{name}", std::process::id());
        let this = Self(std::env::temp_dir().join(name));
        this.write(content);
        this
    }

    /// Puts this in place of its content.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, content: impl AsRef<[u8]>) {
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
