//! Running commands and timing steps: what is printed, and how a verb ends.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a verb, a step or a command ends.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

/// Why a verb stopped early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A check said no, or a command failed.
    Failed(String),
    /// The verb cannot run here; the text says what to do about it.
    Cannot(String),
}

impl Stop {
    pub(crate) fn message(&self) -> &str {
        match self {
            Stop::Failed(text) | Stop::Cannot(text) => text,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Stop::Failed(_) => 1,
            Stop::Cannot(_) => 2,
        }
    }

    fn in_step(self, step: &str) -> Stop {
        match self {
            Stop::Failed(text) => Stop::Failed(format!("step `{step}` failed: {text}")),
            Stop::Cannot(text) => Stop::Cannot(format!("step `{step}` cannot run: {text}")),
        }
    }
}

/// The steps of one verb, each timed; the first that fails ends the verb.
pub(crate) struct Steps {
    verb: &'static str,
    started: Instant,
    lines: Vec<String>,
}

impl Steps {
    pub(crate) fn of(verb: &'static str) -> Self {
        Steps { verb, started: Instant::now(), lines: Vec::new() }
    }

    /// Runs one step. When it fails, the times so far are printed at once.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        heading(&format!("{} · {name}", self.verb));
        let started = Instant::now();
        let outcome = work();
        let word = if outcome.is_ok() { "" } else { "  FAILED" };
        let seconds = seconds(started.elapsed());
        self.lines.push(format!("  {name:<28}{seconds:>8} s{word}"));
        outcome.map_err(|stop| {
            self.print(&red(&format!("{}: failed", self.verb)));
            stop.in_step(name)
        })
    }

    /// Prints the summary of a verb whose steps all passed.
    pub(crate) fn all_passed(self) {
        self.print(&bold(&format!("{}: all passed", self.verb)));
    }

    fn print(&self, title: &str) {
        println!("\n{title}");
        for line in &self.lines {
            println!("{line}");
        }
        let total = seconds(self.started.elapsed());
        println!("  {:<28}{total:>8} s", "together");
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// The cargo that runs this program, in `root`, with no standard input.
///
/// `cargo run` describes the package it runs (this one) in the environment.
/// Build scripts that watch those variables would see them change between a
/// cargo started here and one started by hand, and rebuild every time.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = command(env("CARGO").unwrap_or_else(|| "cargo".into()), root);
    for (name, _) in std::env::vars_os() {
        if describes_this_package(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn describes_this_package(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| {
        name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || matches!(
                name,
                "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR"
            )
    })
}

/// Any program, in `root`, with no standard input.
pub(crate) fn command(program: impl AsRef<OsStr>, root: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// Prints the command and runs it to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    announce(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ended(command, &status.to_string())),
        Err(error) => Err(ended(command, &error.to_string())),
    }
}

/// What a command printed on standard output; `None` if it did not succeed.
pub(crate) fn output_of(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The failure of a command: its line, and how it ended.
pub(crate) fn ended(command: &Command, how: &str) -> Stop {
    Stop::Failed(format!("{how}\n{}", typed(command)))
}

/// Prints a command before it runs.
pub(crate) fn announce(command: &Command) {
    eprintln!("{}", bold(&typed(command)));
}

/// A command as it could be typed, in lines of about 80 columns.
fn typed(command: &Command) -> String {
    let mut text = String::from("$");
    let mut column = 1;
    for word in words_of(command) {
        let width = word.chars().count() + 1;
        // Two columns are for the backslash.
        if column + width > 78 && column > 4 {
            text.push_str(" \\\n   ");
            column = 4;
        }
        text.push(' ');
        text.push_str(&word);
        column += width;
    }
    text
}

/// The words of a command: variables set for it, program, arguments.
fn words_of(command: &Command) -> Vec<String> {
    let set = command.get_envs().filter_map(|(name, value)| {
        let value = quoted(&value?.to_string_lossy());
        Some(format!("{}={value}", name.to_string_lossy()))
    });
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    set.chain(words.map(|word| quoted(&word.to_string_lossy()))).collect()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A variable of the environment that is set and not empty.
pub(crate) fn env(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn heading(text: &str) {
    eprintln!("\n{}", bold(&format!("── {text}")));
}

pub(crate) fn bold(text: &str) -> String {
    painted("1", text)
}

pub(crate) fn red(text: &str) -> String {
    painted("1;31", text)
}

fn painted(code: &str, text: &str) -> String {
    if coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Whether to colour: both outputs are a terminal, and NO_COLOR is not set.
pub(crate) fn coloured() -> bool {
    env("NO_COLOR").is_none() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_command_is_shown_as_it_could_be_typed() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "it's"]);
        assert_eq!(typed(&command), r"$ RUSTDOCFLAGS='-D warnings' cargo doc 'it'\''s'");
    }

    #[test]
    fn a_long_command_is_wrapped_at_80_columns() {
        let mut command = Command::new("cargo");
        command.args(std::iter::repeat_n("a-word", 40));
        let text = typed(&command);
        assert!(text.lines().count() > 1, "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_eq!(text.matches("a-word").count(), 40);
    }

    #[test]
    fn a_missing_program_has_another_exit_code_than_a_failed_check() {
        assert_eq!(Stop::Failed(String::new()).exit_code(), 1);
        assert_eq!(Stop::Cannot(String::new()).exit_code(), 2);
        assert_eq!(Stop::Cannot(String::new()).in_step("x").exit_code(), 2);
    }

    #[test]
    fn a_verb_stops_at_its_first_failed_step_and_names_it() {
        let mut steps = Steps::of("test");
        steps.step("one", || Ok(())).unwrap();
        let stop = steps.step::<()>("two", || Err(Stop::Failed("no".to_owned()))).unwrap_err();
        assert_eq!(stop.message(), "step `two` failed: no");
        assert!(steps.lines[0].starts_with("  one"));
        assert!(steps.lines[1].ends_with("FAILED"));
    }

    #[test]
    fn a_nested_cargo_does_not_see_which_package_was_run() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR"] {
            assert!(describes_this_package(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "PATH"] {
            assert!(!describes_this_package(OsStr::new(name)), "{name}");
        }
    }
}
