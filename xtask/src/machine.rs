//! What has to be on the machine besides Rust, and how it gets there.

use std::path::{Path, PathBuf};

use crate::run::{Outcome, Stop, bold, command, output_of, run};

/// A program that a verb needs.
pub(crate) struct Need {
    /// As a person calls it.
    what: &'static str,
    /// The program; `--version` must succeed.
    program: &'static str,
    /// The first version that will do, by its first number; 0 is any.
    from: u32,
    /// The Debian packages that hold it.
    packages: &'static [&'static str],
}

/// What the tests need: the platform's samples run in node and python3, curl
/// is a sender, promtool checks the alert rules, the stores are tested on servers
/// that setpriv starts and that end with the tests, cc links what is built.
pub(crate) const OF_TESTS: &[Need] = &[
    Need { what: "node (18 or newer)", program: "node", from: 18, packages: &["nodejs"] },
    Need { what: "python3", program: "python3", from: 0, packages: &["python3"] },
    Need { what: "curl", program: "curl", from: 0, packages: &["curl"] },
    Need { what: "promtool", program: "promtool", from: 0, packages: &["prometheus"] },
    REDIS_SERVER,
    REDIS_CLI,
    POSTGRES,
    NATS_SERVER,
    SETPRIV,
    CC,
];

const REDIS_SERVER: Need =
    Need { what: "redis-server", program: "redis-server", from: 6, packages: &["redis-server"] };
const REDIS_CLI: Need =
    Need { what: "redis-cli", program: "redis-cli", from: 0, packages: &["redis-tools"] };
const POSTGRES: Need =
    Need { what: "postgres", program: "postgres", from: 13, packages: &["postgresql"] };
const NATS_SERVER: Need =
    Need { what: "nats-server", program: "nats-server", from: 0, packages: &["nats-server"] };
const SETPRIV: Need =
    Need { what: "setpriv", program: "setpriv", from: 0, packages: &["util-linux"] };
const CC: Need = Need { what: "cc", program: "cc", from: 0, packages: &["gcc", "libc6-dev"] };

/// What the benchmark of the stores needs: the servers, and their own tools to compare
/// with.
pub(crate) const OF_BENCH_STORES: &[Need] = &[
    REDIS_SERVER,
    REDIS_CLI,
    Need {
        what: "redis-benchmark",
        program: "redis-benchmark",
        from: 0,
        packages: &["redis-tools"],
    },
    POSTGRES,
    Need { what: "pgbench", program: "pgbench", from: 0, packages: &["postgresql"] },
    SETPRIV,
    CC,
];

/// What the benchmark of the inbox needs: its queues.
pub(crate) const OF_BENCH_INBOX: &[Need] = &[POSTGRES, NATS_SERVER, SETPRIV, CC];

/// What the fuzzer needs: libFuzzer is C++.
pub(crate) const OF_FUZZ: &[Need] =
    &[Need { what: "c++", program: "c++", from: 0, packages: &["g++"] }];

/// Where Debian keeps PostgreSQL's programs, a folder for each version: only some of
/// them are on PATH.
const POSTGRESQL: &str = "/usr/lib/postgresql";

impl Need {
    fn is_here(&self) -> bool {
        let beside = versions_of_postgresql().map(|folder| folder.join("bin").join(self.program));
        std::iter::once(PathBuf::from(self.program)).chain(beside).any(|program| {
            output_of(program, &["--version"])
                .is_some_and(|text| self.from == 0 || major(&text) >= Some(self.from))
        })
    }
}

fn versions_of_postgresql() -> impl Iterator<Item = PathBuf> {
    let folders = std::fs::read_dir(POSTGRESQL).into_iter().flatten();
    folders.flatten().map(|folder| folder.path())
}

/// The first number of what a program says about its version.
fn major(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty())?.parse().ok()
}

/// Installs what is missing, as root on Debian; elsewhere says which line to
/// run, and stops.
pub(crate) fn provide(root: &Path, needs: &[Need]) -> Outcome {
    let missing = missing(needs);
    if missing.is_empty() {
        eprintln!("all here: {}", names(&needs.iter().collect::<Vec<_>>()));
        return Ok(());
    }
    let debian = Path::new("/etc/debian_version").exists();
    if !(debian && is_root()) {
        return Err(Stop::Cannot(advice(&missing, debian)));
    }

    eprintln!("missing: {}", bold(&names(&missing)));
    let apt = |args: &[&str]| {
        let mut apt = command("apt-get", root);
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        // Some of the packages would start their server, on its own port: the tests
        // start what they need themselves. Debian's `invoke-rc.d` heeds this.
        apt.env("RUNLEVEL", "1").args(args);
        run(&mut apt).map_err(|stop| Stop::Cannot(stop.message().to_owned()))
    };
    apt(&["update", "-q"])?;
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(missing.iter().flat_map(|need| need.packages));
    apt(&install)?;

    let still = self::missing(needs);
    if still.is_empty() {
        return Ok(());
    }
    Err(Stop::Cannot(format!(
        "apt-get has done its work, but this is still missing on PATH: {}",
        names(&still)
    )))
}

fn missing(needs: &[Need]) -> Vec<&Need> {
    needs.iter().filter(|need| !need.is_here()).collect()
}

fn names(needs: &[&Need]) -> String {
    let names: Vec<_> = needs.iter().map(|need| need.what).collect();
    names.join(", ")
}

/// One line to run, where there is one; else what to install.
fn advice(missing: &[&Need], debian: bool) -> String {
    let names = names(missing);
    if !debian {
        return format!("missing: {names}; install with this system's package manager");
    }
    let packages: Vec<_> = missing.iter().flat_map(|need| need.packages).copied().collect();
    let packages = packages.join(" ");
    format!("missing: {names}; run\n  sudo apt-get update && sudo apt-get install -y {packages}")
}

#[cfg(unix)]
fn is_root() -> bool {
    // The owner of a process's own entry is its effective user.
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_major_version() {
        assert_eq!(major("v18.19.0\n"), Some(18));
        assert_eq!(major("curl 8.14.1 (x86_64)"), Some(8));
        assert_eq!(major("no version"), None);
    }

    #[test]
    fn a_program_that_is_too_old_counts_as_missing() {
        let mut need = Need { what: "rustc", program: "rustc", from: 1, packages: &[] };
        assert!(need.is_here());
        need.from = 2;
        assert!(!need.is_here());
    }

    #[test]
    fn on_debian_the_advice_is_one_line_with_the_missing_packages_only() {
        let need = |name| OF_TESTS.iter().find(|need| need.program == name).unwrap();
        let text = advice(&[need("node"), need("cc")], true);
        assert_eq!(
            text.lines().nth(1).unwrap().trim(),
            "sudo apt-get update && sudo apt-get install -y nodejs gcc libc6-dev"
        );
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn elsewhere_the_advice_names_the_programs() {
        let missing: Vec<_> = OF_TESTS.iter().collect();
        let text = advice(&missing, false);
        assert!(text.contains("node (18 or newer), python3, curl, promtool"), "{text}");
    }
}
