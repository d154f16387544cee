//! `cargo xtask test`: every test there is, and the quickstart.
//!
//! One set of features and one profile for all steps: what the first step
//! built, the next ones only run. Many tests mostly wait, for leases that lapse
//! and for servers: so their programs run side by side.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::machine;
use crate::programs::{self, Artifact, Ended, Program};
use crate::run::{Outcome, Steps, Stop, announce, bold, cargo, coloured, command, ended};
use crate::workspace::Workspace;

const QUICKSTART: &str = "quickstart";

/// The quickstart promises to end within 15 s; this is only so that one that
/// hangs is told from one that is slow on a busy machine.
const QUICKSTART_LIMIT: Duration = Duration::from_secs(60);

/// The package whose programs mostly wait, but for those with such names: each is
/// a fleet under load, broken at random.
const FLEET: &str = "webhook-fleet-tests";
const LOADED: &str = "faults_";
/// Those that wait longest come first, beside the fleets: they need next to no
/// processor.
const LONGEST: [&str; 6] = [
    "clock",
    "postgres_contract",
    "redis_cluster",
    "redis_contract",
    "redis_sentinel",
    "transactional",
];

const SHARED: [&str; 3] = ["--locked", "--workspace", "--all-features"];

pub(crate) fn run(workspace: &Workspace) -> Outcome {
    workspace.require(QUICKSTART)?;
    let mut steps = Steps::of("test");
    steps.step("machine", || machine::provide(&workspace.root, machine::OF_TESTS))?;
    let built = steps.step("build", || build(workspace))?;
    let quickstart = built.quickstart;
    let programs = quickstart.parent().unwrap_or(&workspace.target);
    let mut count = steps.step("tests", || tests(workspace, built.tests, programs))?;
    count.add_all(&steps.step("examples in docs", || doc_tests(workspace))?);
    steps.step(QUICKSTART, || {
        within(&mut command(&quickstart, &workspace.root), QUICKSTART_LIMIT)
    })?;
    steps.all_passed();
    println!();
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped());
    Ok(())
}

struct Built {
    tests: Vec<Program>,
    quickstart: PathBuf,
}

/// Builds all that the tests and the examples need.
///
/// `--tests` is not to run them: it makes cargo choose the features of the
/// dependencies as `cargo test` does, so that the next steps rebuild nothing.
fn build(workspace: &Workspace) -> Outcome<Built> {
    let mut command = cargo(&workspace.root);
    command
        .arg("build")
        .args(SHARED)
        .args(["--lib", "--bins", "--tests", "--examples"])
        .arg("--message-format=json-render-diagnostics");
    let (mut tests, mut quickstart) = (Vec::new(), None);
    let status = each_line(&mut command, |line| {
        if let Some(artifact) = Artifact::of(line) {
            tests.extend(artifact.tests(workspace));
            quickstart = artifact.program(QUICKSTART).map(Path::to_path_buf).or(quickstart.take());
        }
        Ok(())
    })?;
    if !status.success() {
        return Err(ended(&command, &status.to_string()));
    }
    let missing = || Stop::Failed(format!("cargo built no program `{QUICKSTART}`"));
    Ok(Built { tests, quickstart: quickstart.ok_or_else(missing)? })
}

/// Unit and integration tests of every package, counted.
fn tests(workspace: &Workspace, all: Vec<Program>, programs: &Path) -> Outcome<Count> {
    let outputs = workspace.target.join("test-output");
    std::fs::create_dir_all(&outputs)
        .map_err(|error| Stop::Failed(format!("{}: {error}", outputs.display())))?;
    let mut count = Count::default();
    let mut failed = Vec::new();
    let with = |program: &Program, command: &mut Command| {
        command.env("WEBHOOK_TESTS_BIN_DIR", programs);
        if waits(program) {
            command.env("RUST_TEST_THREADS", "4");
        }
        if coloured() {
            // The tests write to us, not to the terminal.
            command.args(["--color", "always"]);
        }
    };
    programs::run(lanes(all), with, &outputs, |ended| {
        show(&ended);
        String::from_utf8_lossy(&ended.output).lines().for_each(|line| count.add(line));
        let how = match ended.status {
            Ok(status) if status.success() => return,
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        failed.push(format!("  {} ({how})", ended.program.line()));
    });
    if !failed.is_empty() {
        let (passed, failures) = (count.passed, count.failed);
        let programs = failed.join("\n");
        return Err(Stop::Failed(format!("{passed} passed, {failures} failed:\n{programs}")));
    }
    if count.passed == 0 {
        return Err(Stop::Failed("no test ran".to_owned()));
    }
    Ok(count)
}

/// What needs the processors, one program after another, and beside that two at a
/// time that mostly wait.
fn lanes(mut all: Vec<Program>) -> Vec<Vec<Program>> {
    all.sort_by_cached_key(|it| {
        let place = longest(it).unwrap_or(LONGEST.len());
        (!is_loaded(it), place, it.package.clone(), it.name.clone())
    });
    let (waiting, busy) = all.into_iter().partition(waits);
    vec![busy, Vec::new(), waiting]
}

fn waits(program: &Program) -> bool {
    longest(program).is_some() || program.package == FLEET && !is_loaded(program)
}

fn is_loaded(program: &Program) -> bool {
    program.package == FLEET && program.name.starts_with(LOADED)
}

fn longest(program: &Program) -> Option<usize> {
    LONGEST.iter().position(|&name| name == program.name)
}

fn show(ended: &Ended) {
    let Program { package, name, .. } = &ended.program;
    let title = bold(&format!("{package}: {name}, {:.1} s", ended.took.as_secs_f64()));
    // One piece: the next one must not come between.
    let text = format!("\n{title}\n{}", String::from_utf8_lossy(&ended.output));
    // As with `println!`, but a reader that is gone is no reason to stop testing.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The examples in the documentation.
fn doc_tests(workspace: &Workspace) -> Outcome<Count> {
    let mut command = cargo(&workspace.root);
    command.args(["test", "--doc", "--no-fail-fast"]).args(SHARED);
    if coloured() {
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

    fn add_all(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.helpers += other.helpers;
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
    fn a_program_that_hangs_is_ended_at_its_limit() {
        let mut hangs = Command::new("sleep");
        hangs.arg("600");
        let stop = within(&mut hangs, Duration::from_millis(50)).unwrap_err();
        assert!(stop.message().starts_with("not done after"), "{}", stop.message());
    }
}
