//! The figures as text, at most 80 columns wide.

use std::fmt::Write as _;

use crate::operations::Operation;
use crate::results::{OfReceiver, Results};
use crate::stores::Kind;

/// What the store in memory may take.
const MOST_BYTES: f64 = 104.0;
const MOST_NANOSECONDS: f64 = 400.0;
/// Deliveries for each pair of a tool's.
const LEAST_RATIO: f64 = 0.6;
/// How many processors may be busy with other programs, before a ratio means nothing.
const MOST_OTHERS: f64 = 0.2;

pub(crate) fn text(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = calls(&mut text, results);
    let _ = stores(&mut text, results);
    let _ = deliveries(&mut text, results);
    text
}

fn calls(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(text, "One call after another, µs: median and 99th percentile\n")?;
    write!(text, "{:15}", "")?;
    for operation in Operation::ALL {
        write!(text, "{:>13}", operation.name())?;
    }
    writeln!(text)?;
    for (kind, of) in results.stores() {
        write!(text, "{:15}", kind.name())?;
        for operation in Operation::ALL {
            let times = of.times.of(operation);
            write!(text, "{:>6}{:>7}", short(times.median()), short(times.at(0.99)))?;
        }
        writeln!(text)?;
    }
    let least = results.stores().map(|(_, of)| of.times.of(Operation::Claim).count()).min();
    writeln!(text, "\nEach of at least {} calls, the clock's 0.04 µs included.", least.unwrap_or(0))
}

fn stores(text: &mut String, results: &Results) -> std::fmt::Result {
    let many = format!("{} at once", results.connections);
    writeln!(text, "\nClaim and commit\n")?;
    writeln!(text, "{:15}{:>14}{:>18}{:>18}", "", "bytes, each", "one by one, µs", many)?;
    for (kind, of) in results.stores() {
        let pair = of.times.pair.median();
        let rate = match kind {
            // It never waits: many at once are no faster than one.
            Kind::Memory => "–".to_owned(),
            _ => format!("{:.0}/s", of.times.at_once.median()),
        };
        write!(text, "{:15}{:>14.0}{:>18}{rate:>18}", kind.name(), of.bytes, short(pair))?;
        if kind == Kind::Memory {
            let ok = of.bytes <= MOST_BYTES && pair * 1e3 <= MOST_NANOSECONDS;
            write!(text, "  {}", mark(ok))?;
        }
        writeln!(text)?;
    }
    let (median, most) = (short(results.sync.median()), short(results.sync.at(0.99)));
    writeln!(text, "\nA sync of 4 KiB on this disk takes {median} µs, 99th percentile {most}.")?;
    writeln!(text, "Budget of memory: {MOST_BYTES:.0} bytes, {MOST_NANOSECONDS:.0} ns.")
}

fn deliveries(text: &mut String, results: &Results) -> std::fmt::Result {
    let (connections, processors) = (results.connections, results.processors);
    writeln!(text, "\nDeliveries through one receiver, {connections} at once\n")?;
    writeln!(text, "{:26}{:>9}{:>12}   µs of processor time for each", "", "a second", "busy")?;
    writeln!(text, "{:47}{:>10}{:>12}{:>10}", "", "server", "receiver", "sender")?;
    for (kind, of) in results.receivers() {
        let what = format!("{}: deliveries", kind.name());
        let busy = format!("{:.2} of {processors}", of.busy.median());
        write!(text, "{what:26}{:>9.0}{busy:>12}", of.per_second.median())?;
        write!(text, "{:>10}", short(of.server.median()))?;
        writeln!(text, "{:>12}{:>10}", short(of.receiver.median()), short(of.sender.median()))?;
        if let Some(tool) = tool(kind) {
            tool_rows(text, tool, of, results)?;
        }
    }
    let others = others(results);
    writeln!(text, "\nOther programs kept {others:.2} of {processors} processors busy meanwhile.")?;
    if others > MOST_OTHERS {
        writeln!(text, "THE RATIOS MEAN NOTHING: at most {MOST_OTHERS} are to be busy.")?;
    }
    Ok(())
}

/// How many processors were busy with other programs.
fn others(results: &Results) -> f64 {
    let medians = results.receivers().map(|(_, of)| of.others.median());
    medians.fold(0.0, f64::max)
}

fn tool_rows(
    text: &mut String,
    tool: &str,
    of: &OfReceiver,
    results: &Results,
) -> std::fmt::Result {
    let per_second = of.tool_per_second.median();
    let busy = per_second * (of.tool_server.median() + of.tool.median()) / 1e6;
    write!(text, "{:26}{per_second:>9.0}{busy:>7.2}{:5}", format!("  {tool}: pairs"), "")?;
    writeln!(text, "{:>10}{:>12}", short(of.tool_server.median()), short(of.tool.median()))?;
    let ratio = of.ratio.median();
    let verdict = if others(results) > MOST_OTHERS { "void" } else { mark(ratio >= LEAST_RATIO) };
    writeln!(
        text,
        "  ratio {ratio:.2} ({:.2}–{:.2}), {LEAST_RATIO} {verdict}; by processor time alone {:.2}",
        of.ratio.at(0.25),
        of.ratio.at(0.75),
        of.ratio_by_processor_time()
    )
}

const fn tool(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Redis => Some("redis-benchmark"),
        Kind::Postgres => Some("pgbench"),
        _ => None,
    }
}

const fn mark(within: bool) -> &'static str {
    if within { "ok" } else { "OVER" }
}

/// Two or three digits that mean something.
fn short(figure: f64) -> String {
    match figure {
        ..10.0 => format!("{figure:.2}"),
        ..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deliveries::Run;
    use crate::tools::Pairs;

    fn results(others: Duration) -> Results {
        let mut results = Results::new(32);
        for (_, of) in results.stores_mut() {
            of.bytes = 12_345.6;
            of.times.pair.add(123_456.7);
            of.times.at_once.add(1_234_567.8);
        }
        for (_, of) in results.receivers_mut() {
            let second = Duration::from_secs(1);
            let all = 3 * second + others;
            let run = Run { answered: 1_000, took: second, receiver: second, sender: second, all };
            let pairs = Pairs { per_second: 1_250.0, server: 12_345.6, tool: 12_345.6 };
            of.add(&run, second, Some(pairs));
        }
        results
    }

    #[test]
    fn no_line_is_longer_than_80_columns() {
        for line in text(&results(Duration::from_secs(1))).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_ratio_is_that_of_deliveries_to_pairs() {
        assert!(
            text(&results(Duration::ZERO)).contains("ratio 0.80 (0.80–0.80), 0.6 ok"),
            "{}",
            text(&results(Duration::ZERO))
        );
    }

    #[test]
    fn a_busy_machine_voids_the_ratio() {
        let text = text(&results(Duration::from_millis(300)));
        assert!(text.contains("0.6 void"), "{text}");
    }

    #[test]
    fn a_store_in_memory_above_its_budget_is_marked() {
        assert!(
            text(&results(Duration::ZERO))
                .lines()
                .any(|line| line.starts_with("memory") && line.ends_with("OVER"))
        );
    }
}
