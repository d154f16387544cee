//! The number of files that a process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process open so many files, sockets included.
///
/// # Panics
///
/// When the machine forbids it.
pub fn allow_open_files(files: u64) {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|most| most >= files) {
        return;
    }
    let wanted = Rlimit { current: Some(files), maximum: now.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        let most = now.maximum;
        panic!("this test opens {files} files; the limit is {most:?} (ulimit -Hn): {error}");
    }
}
