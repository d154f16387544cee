//! `cargo xtask test`: every test there is, and the quickstart.
//!
//! One set of features and one profile for all steps: what the first step
//! built, the next ones only run.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::machine;
use crate::run::{Outcome, Steps, Stop, announce, cargo, coloured, command, ended};
use crate::workspace::Workspace;

const QUICKSTART: &str = "quickstart";

/// The quickstart promises to end within 15 s; this is only so that one that
/// hangs is told from one that is slow on a busy machine.
const QUICKSTART_LIMIT: Duration = Duration::from_secs(60);

const SHARED: [&str; 3] = ["--locked", "--workspace", "--all-features"];

pub(crate) fn run(workspace: &Workspace) -> Outcome {
    workspace.require(QUICKSTART)?;
    let mut steps = Steps::of("test");
    steps.step("machine", || machine::provide(&workspace.root, machine::OF_TESTS))?;
    let quickstart = steps.step("build", || build(workspace))?;
    let count = steps
        .step("tests", || tests(workspace, quickstart.parent().unwrap_or(&workspace.target)))?;
    steps.step(QUICKSTART, || {
        within(&mut command(&quickstart, &workspace.root), QUICKSTART_LIMIT)
    })?;
    steps.all_passed();
    println!();
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped());
    Ok(())
}

/// Builds all that the tests and the examples need; the quickstart's program.
///
/// `--tests` is not to run them: it makes cargo choose the features of the
/// dependencies as `cargo test` does, so that the next step rebuilds nothing.
fn build(workspace: &Workspace) -> Outcome<PathBuf> {
    let mut command = cargo(&workspace.root);
    command
        .arg("build")
        .args(SHARED)
        .args(["--lib", "--bins", "--tests", "--examples"])
        .arg("--message-format=json-render-diagnostics");
    let mut program = None;
    let status = each_line(&mut command, |line| {
        if let Some(path) = program_in(line, QUICKSTART) {
            program = Some(path);
        }
        Ok(())
    })?;
    if !status.success() {
        return Err(ended(&command, &status.to_string()));
    }
    program.ok_or_else(|| Stop::Failed(format!("cargo built no program `{QUICKSTART}`")))
}

#[derive(Deserialize)]
struct Artifact {
    target: ArtifactTarget,
    profile: ArtifactProfile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct ArtifactTarget {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct ArtifactProfile {
    test: bool,
}

/// The path of program `name`, if this message of cargo's tells it.
fn program_in(message: &[u8], name: &str) -> Option<PathBuf> {
    let built: Artifact = serde_json::from_slice(message).ok()?;
    let is_program = built.target.kind.iter().any(|kind| kind == "bin") && !built.profile.test;
    (is_program && built.target.name == name).then_some(built.executable)?
}

/// Unit, integration and doc tests of every package, counted.
fn tests(workspace: &Workspace, programs: &Path) -> Outcome<Count> {
    let mut command = cargo(&workspace.root);
    command
        .env("WEBHOOK_TESTS_BIN_DIR", programs)
        // One run shows every test that fails, not only the first program's.
        .args(["test", "--no-fail-fast"])
        .args(SHARED);
    if coloured() {
        // The tests write to us, not to the terminal.
        command.args(["--", "--color", "always"]);
    }
    let mut count = Count::default();
    let mut out = std::io::stdout();
    let status = each_line(&mut command, |line| {
        count.add(&String::from_utf8_lossy(line));
        out.write_all(line)
    })?;
    if !status.success() {
        let how = format!("{} passed, {} failed; {status}", count.passed, count.failed);
        return Err(ended(&command, &how));
    }
    if count.passed == 0 {
        return Err(Stop::Failed("no test ran".to_owned()));
    }
    Ok(count)
}

/// Runs a command and hands over each line of its standard output.
fn each_line(
    command: &mut Command,
    mut line_seen: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Outcome<ExitStatus> {
    announce(command);
    let failed = |command: &Command, error: std::io::Error| ended(command, &error.to_string());
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| failed(command, error))?;
    if let Some(output) = child.stdout.take() {
        let mut lines = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            match lines.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => line_seen(&line).map_err(|error| failed(command, error))?,
                Err(error) => return Err(failed(command, error)),
            }
        }
    }
    child.wait().map_err(|error| failed(command, error))
}

/// Runs a command that must end by itself within `limit`.
fn within(command: &mut Command, limit: Duration) -> Outcome {
    announce(command);
    let started = Instant::now();
    let child = command.spawn().map_err(|error| ended(command, &error.to_string()))?;
    match wait(child, started + limit) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(ended(command, &status.to_string())),
        Ok(None) => Err(ended(command, &format!("not done after {} s", limit.as_secs()))),
        Err(error) => Err(ended(command, &error.to_string())),
    }
}

/// The child's end, or `None` when it had to be killed at the deadline.
fn wait(mut child: Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many tests ran, over all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Those of the ignored that other tests run.
    helpers: u64,
}

impl Count {
    /// How many tests did not run at all.
    fn skipped(&self) -> u64 {
        self.ignored.saturating_sub(self.helpers)
    }

    /// Adds one line of a test program's output, if it is its last one:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    ///
    /// A test that others run as a program of its own is not skipped, and its
    /// line says so: `test name ... ignored, a helper of the test below`.
    fn add(&mut self, line: &str) {
        if line.starts_with("test ") && line.contains(", a helper of the test") {
            self.helpers += 1;
        }
        let Some(result) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<_> = result.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed;" => self.passed += number,
                "failed;" => self.failed += number,
                "ignored;" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_all_programs_are_counted_together() {
        let mut count = Count::default();
        count.add("running 3 tests\n");
        count.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out\n");
        count.add("test result: \x1b[31mFAILED\x1b[m. 4 passed; 2 failed; 0 ignored; 0 measured\n");
        let expected = Count { passed: 7, failed: 2, ignored: 1, helpers: 0 };
        assert_eq!(count, expected);
    }

    #[test]
    fn a_test_that_others_run_is_not_skipped() {
        let mut count = Count::default();
        count.add("test one ... \x1b[33mignored\x1b[m, a helper of the tests below\n");
        count.add("test two ... ignored, it takes too long\n");
        count.add("test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out\n");
        assert_eq!((count.ignored, count.helpers, count.skipped()), (2, 1, 1));
    }

    #[test]
    fn a_program_is_told_from_its_tests_and_from_other_programs() {
        let message = |name: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}","kind":["bin"]}},
                     "profile":{{"test":{test}}},"executable":"/t/{name}"}}"#
            )
        };
        let found = |text: String| program_in(text.as_bytes(), "quickstart");
        assert_eq!(found(message("quickstart", false)), Some("/t/quickstart".into()));
        assert_eq!(found(message("quickstart", true)), None);
        assert_eq!(found(message("other", false)), None);
        assert_eq!(found(r#"{"reason":"build-finished","success":true}"#.to_owned()), None);
    }

    #[test]
    fn a_program_that_hangs_is_ended_at_its_limit() {
        let mut hangs = Command::new("sleep");
        hangs.arg("600");
        let stop = within(&mut hangs, Duration::from_millis(50)).unwrap_err();
        assert!(stop.message().starts_with("not done after"), "{}", stop.message());
    }
}
