//! Tables that fit 80 columns.

use crate::rounds::Compared;

/// A table's heading and its columns' names.
pub(crate) fn head(title: &str, columns: &str) {
    println!("\n{title}\n\n{columns}\n{}", "-".repeat(columns.chars().count()));
}

/// One row of ratios; without a budget there is no mark.
pub(crate) fn ratio(what: &str, size: &str, compared: &Compared, budget: Option<f64>) {
    let Compared { ratio, best, ours } = compared;
    let spread = format!("{:.3}-{:.3}", ratio.lower, ratio.upper);
    let (allowed, mark) = match budget {
        Some(budget) => (format!("{budget:.2}"), mark(ratio.median <= budget)),
        None => (String::from("-"), ""),
    };
    println!(
        "{what:<24}{size:>8}{:>10}{:>7.3}{spread:>13}{best:>7.3}{allowed:>6} {mark}",
        time(*ours),
        ratio.median
    );
}

/// One row of anything else.
pub(crate) fn figure(what: &str, figure: &str, budget: &str, within: bool) {
    println!("{what:<44}{figure:>14}{budget:>15} {}", mark(within));
}

/// Nanoseconds in the unit that suits.
fn time(nanos: f64) -> String {
    if nanos < 10_000.0 { format!("{nanos:.0} ns") } else { format!("{:.1} us", nanos / 1000.0) }
}

fn mark(within: bool) -> &'static str {
    if within { "ok" } else { "OVER" }
}
