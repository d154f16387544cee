//! The lines that come out of a pipe, as they come.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The lines of a pipe, read by a thread so that whoever writes never waits.
#[derive(Debug, Default)]
pub struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    /// Held by the reading thread until the pipe's end.
    open: Arc<()>,
}

impl Lines {
    /// Reads this pipe to its end.
    #[must_use]
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let this = Self::default();
        let (lines, open) = (Arc::clone(&this.lines), Arc::clone(&this.open));
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lock(&lines).push(line);
            }
            drop(open);
        });
        this
    }

    /// The lines that have come, but for those that were taken.
    #[must_use]
    pub fn so_far(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// Waits for this many lines.
    ///
    /// # Panics
    ///
    /// When they do not come within 30 s.
    pub async fn wait_for(&self, count: usize) -> Vec<String> {
        let enough = || Some(self.so_far()).filter(|lines| lines.len() >= count);
        until(enough, || format!("{} of {count} lines", self.lock().len())).await
    }

    /// Takes out the first line with these words.
    pub(crate) fn take(&self, words: &str) -> Option<String> {
        let mut lines = self.lock();
        let at = lines.iter().position(|line| line.contains(words))?;
        Some(lines.remove(at))
    }

    /// Whether all of it is here.
    pub(crate) fn at_end(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.lines)
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until there is one, and panics with `otherwise` when there is none in time.
pub(crate) async fn until<T>(
    mut what: impl FnMut() -> Option<T>,
    otherwise: impl FnOnce() -> String,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(what) = what() {
            return what;
        }
        if started.elapsed() > PATIENCE {
            panic!("not within {PATIENCE:?}: {}", otherwise());
        }
        sleep(Duration::from_millis(5)).await;
    }
}
