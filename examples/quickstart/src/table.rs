//! The table: at most 80 columns, coloured on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use dataflow_webhooks_axum::{Outcome, RejectionKind};

use crate::Row;
use crate::receiver::Notebook;

pub(crate) struct Table {
    notebook: Notebook,
    coloured: bool,
    rows: usize,
    right: usize,
}

impl Table {
    /// Prints the heading.
    pub(crate) fn begin(notebook: Notebook) -> io::Result<Self> {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let coloured = io::stdout().is_terminal() && !refused;
        let table = Self { notebook, coloured, rows: 0, right: 0 };
        let [sent, answered, handler, why] = ["sent", "answered", "handler", "why"];
        let heading = format!("  {sent:<32}  {answered:<8}  {handler:<7}  {why}");
        writeln!(io::stdout(), "{}", table.paint("1", &heading))?;
        Ok(table)
    }

    /// Prints one row, and what it must be where it is not that.
    pub(crate) fn print(&mut self, row: &Row, answered: &[u16], runs: usize) -> io::Result<()> {
        let is_right = answered == row.answers && runs == row.runs;
        self.rows += 1;
        self.right += usize::from(is_right);

        let mark = if is_right { self.paint("32", "✓") } else { self.paint("31", "✗") };
        let (sent, why) = (row.sent, self.why(answered));
        let (answered, handler) = (statuses(answered), times(runs));
        let mut out = io::stdout();
        writeln!(out, "{mark} {sent:<32}  {answered:<8}  {handler:<7}  {why}")?;
        if !is_right {
            let (answered, handler) = (statuses(row.answers), times(row.runs));
            let must = format!("  {:<32}  {answered:<8}  {handler:<7}", "  must be");
            writeln!(out, "{}", self.paint("31", &must))?;
        }
        Ok(())
    }

    /// Prints the last line: whether every row is as it must be.
    pub(crate) fn end(&self) -> io::Result<bool> {
        let all = self.right == self.rows;
        let line = format!("{} of {} rows are as they must be", self.right, self.rows);
        let line = self.paint(if all { "32" } else { "31" }, &line);
        writeln!(io::stdout(), "\n{line}")?;
        Ok(all)
    }

    /// Why the deliveries of a row were answered like this.
    fn why(&self, answered: &[u16]) -> String {
        let (run, outcomes) = self.notebook.take_news();
        match (run, outcomes.as_slice()) {
            (Some(_), [Outcome::Duplicate]) => "one of the two ran".into(),
            (Some(_), []) if answered != [200] => "the handler failed".into(),
            (Some((key, 1)), []) => format!("signed by key {key}"),
            (Some((_, number)), []) => format!("run {number} of this event"),
            (None, [outcome]) => words(*outcome).into(),
            (_, outcomes) => format!("{outcomes:?}"),
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{colour}m{text}\x1b[m") } else { text.into() }
    }
}

fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Duplicate => "this event is done",
        Outcome::Rejected(RejectionKind::NoMatch) => "no key fits this body",
        Outcome::Rejected(RejectionKind::TooOld) => "older than 300 s",
        Outcome::Rejected(RejectionKind::TooNew) => "more than 300 s ahead",
        Outcome::Rejected(RejectionKind::MissingSignature) => "nobody signed it",
        Outcome::Rejected(RejectionKind::BodyTooLarge) => "over the limit",
        Outcome::Rejected(other) => other.as_str(),
        other => other.as_str(),
    }
}

fn statuses(answered: &[u16]) -> String {
    let words: Vec<_> = answered.iter().map(u16::to_string).collect();
    words.join(" ")
}

fn times(runs: usize) -> String {
    match runs {
        0 => "no".into(),
        1 => "ran".into(),
        more => format!("ran {more}×"),
    }
}
