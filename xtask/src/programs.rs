//! The test programs that cargo has built, and how they run side by side.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::run::command;
use crate::workspace::Workspace;

/// One program of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) package: String,
    pub(crate) name: String,
    /// Which of cargo's options chooses it: `--test`, `--bin` or `--lib`.
    option: &'static str,
    path: PathBuf,
    /// Where cargo runs it.
    folder: PathBuf,
}

/// How it came to its end.
pub(crate) struct Ended {
    pub(crate) program: Program,
    pub(crate) status: io::Result<ExitStatus>,
    /// All that it has written.
    pub(crate) output: Vec<u8>,
    pub(crate) took: Duration,
}

impl Program {
    /// The line that runs it by itself.
    pub(crate) fn line(&self) -> String {
        let name = if self.option == "--lib" { "" } else { &self.name };
        let line = format!("cargo test -p {} --all-features {} {name}", self.package, self.option);
        line.trim_end().to_owned()
    }

    fn run(self, change: &impl Fn(&Self, &mut Command), outputs: &Path) -> Ended {
        let began = Instant::now();
        // A file: whoever it leaves behind cannot keep that open for us.
        let written = outputs.join(format!("{}-{}.txt", self.package, self.name));
        let mut command = command(&self.path, &self.folder);
        change(&self, &mut command);
        let status = File::create(&written).and_then(|file| {
            command.stdout(file.try_clone()?).stderr(file);
            command.status()
        });
        let output = fs::read(&written).unwrap_or_default();
        Ended { program: self, status, output, took: began.elapsed() }
    }
}

/// What cargo says of something that it has built.
#[derive(Deserialize)]
pub(crate) struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Artifact {
    /// What a message of cargo's tells, if it tells of that.
    pub(crate) fn of(message: &[u8]) -> Option<Self> {
        serde_json::from_slice(message).ok()
    }

    /// The path of the program `name`, if it is that.
    pub(crate) fn program(&self, name: &str) -> Option<&Path> {
        let is_program = self.is("bin") && !self.profile.test;
        (is_program && self.target.name == name).then_some(self.executable.as_deref())?
    }

    /// The program of tests, if it is one.
    pub(crate) fn tests(&self, workspace: &Workspace) -> Option<Program> {
        let path = self.profile.test.then_some(self.executable.clone())??;
        let package =
            workspace.packages.iter().find(|of| of.manifest_path == self.manifest_path)?;
        let option = match () {
            () if self.is("test") => "--test",
            () if self.is("bin") => "--bin",
            () => "--lib",
        };
        let (package, name) = (package.name.clone(), self.target.name.clone());
        let folder = self.manifest_path.parent()?.to_path_buf();
        Some(Program { package, name, option, path, folder })
    }

    fn is(&self, kind: &str) -> bool {
        self.target.kind.iter().any(|of| of == kind)
    }
}

/// Runs the programs of each lane one after another, the lanes side by side. Where a lane has come
/// to its end, it takes over from the last one.
pub(crate) fn run(
    lanes: Vec<Vec<Program>>,
    change: impl Fn(&Program, &mut Command) + Sync,
    outputs: &Path,
    mut ended: impl FnMut(Ended),
) {
    let lanes: Vec<_> = lanes.into_iter().map(|lane| Mutex::new(VecDeque::from(lane))).collect();
    let next = |lane: &Mutex<VecDeque<Program>>| {
        lane.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    };
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for own in &lanes {
            let (sender, change, next, last) = (sender.clone(), &change, &next, lanes.last());
            scope.spawn(move || {
                while let Some(program) = next(own).or_else(|| last.and_then(next)) {
                    // Whoever listens does so to the end.
                    let _ = sender.send(program.run(change, outputs));
                }
            });
        }
        drop(sender);
        receiver.into_iter().for_each(&mut ended);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    fn message(name: &str, kind: &str, test: bool) -> Artifact {
        let text = format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/w/p/Cargo.toml",
                 "target":{{"name":"{name}","kind":["{kind}"]}},
                 "profile":{{"test":{test}}},"executable":"/t/{name}"}}"#
        );
        Artifact::of(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_program_is_told_from_its_tests_and_from_other_programs() {
        let found = |artifact: Artifact| artifact.program("quickstart").map(Path::to_path_buf);
        assert_eq!(found(message("quickstart", "bin", false)), Some("/t/quickstart".into()));
        assert_eq!(found(message("quickstart", "bin", true)), None);
        assert_eq!(found(message("other", "bin", false)), None);
        assert!(Artifact::of(br#"{"reason":"build-finished","success":true}"#).is_none());
    }

    #[test]
    fn programs_of_tests_are_found_with_the_lines_that_run_them() {
        let package = Package {
            name: "package".to_owned(),
            manifest_path: "/w/p/Cargo.toml".into(),
            ..Package::default()
        };
        let workspace =
            Workspace { packages: vec![package], root: "/w".into(), target: "/t".into() };
        let line = |kind, test| message("name", kind, test).tests(&workspace).map(|it| it.line());
        assert_eq!(line("bin", false), None);
        let start = "cargo test -p package --all-features";
        assert_eq!(line("test", true), Some(format!("{start} --test name")));
        assert_eq!(line("bin", true), Some(format!("{start} --bin name")));
        assert_eq!(line("lib", true), Some(format!("{start} --lib")));
    }

    fn shell(name: &str, script: &str) -> Program {
        let folder = std::env::temp_dir().join(format!("programs-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&path).status().unwrap().success());
        Program { package: "p".to_owned(), name: name.to_owned(), option: "--lib", path, folder }
    }

    /// Two wait for what only a third one makes: one of another lane, and one of its own that a lane
    /// without any takes over.
    #[test]
    fn lanes_run_side_by_side_and_all_output_and_ends_are_told() {
        let flag = std::env::temp_dir().join(format!("programs-{}-flag", std::process::id()));
        let waits = format!("until [ -e {0} ]; do sleep 0.01; done", flag.display());
        let makes = format!("echo out; echo err >&2; touch {}", flag.display());
        let lanes = vec![
            vec![shell("elsewhere", &waits)],
            vec![],
            vec![shell("here", &waits), shell("makes", &makes), shell("fails", "exit 3")],
        ];
        let all: Vec<_> = lanes.iter().flatten().cloned().collect();
        let mut ends = Vec::new();
        run(
            lanes,
            |_, _| {},
            &std::env::temp_dir(),
            |ended| {
                let code = ended.status.unwrap().code().unwrap();
                ends.push((ended.program.name, code, String::from_utf8(ended.output).unwrap()));
            },
        );
        ends.sort();
        let end = |name: &str, code, output: &str| (name.to_owned(), code, output.to_owned());
        let said = "out\nerr\n";
        let (elsewhere, here) = (end("elsewhere", 0, ""), end("here", 0, ""));
        assert_eq!(ends, [elsewhere, end("fails", 3, ""), here, end("makes", 0, said)]);
        fs::remove_file(flag).unwrap();
        for program in all {
            fs::remove_dir_all(program.folder).unwrap();
        }
    }
}
