//! The number of files that a process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and those it starts from now on, hold so many files and
/// sockets open at once.
///
/// # Panics
///
/// When the machine forbids it: what needs so many connections cannot be tested
/// there, and that must not pass for a success.
pub fn allow_open_files(files: u64) {
    let now = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= files);
    if enough(now.current) {
        return;
    }
    // Only a privileged process may raise the second figure.
    let maximum = if enough(now.maximum) { now.maximum } else { Some(files) };
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }) {
        panic!(
            "this test needs {files} open files and this machine allows {:?} ({error}): raise the \
             hard limit, with `ulimit -Hn {files}` as root or in /etc/security/limits.conf",
            now.maximum
        );
    }
}
