//! The table, and whether the budget holds.

use std::fmt::Write as _;

use crate::deliveries::BODY_BYTES;
use crate::figures::{Samples, Spread};
use crate::rows::{Receiver, Row, Stack};

/// Microseconds that the whole road may cost above a bare handler.
const MOST_OVER_BARE: f64 = 2.5;

/// How far two rows of the same handler may lie apart.
const CONTROL: f64 = 0.03;

/// Everything there is to print, in at most 80 columns.
pub(crate) fn table(samples: &Samples) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "CPU time per request, user space, {BODY_BYTES} B bodies, distinct ids; median and\n\
         quartiles of {} rounds; compared round by round, within one stack.\n",
        samples.rounds()
    );
    let _ = writeln!(
        text,
        "{:26}{:>6}{:>14}{:>9}{:>16}{:>9}",
        "", "µs", "quartiles", "over", "of hand-written", "budget"
    );
    for stack in Stack::ALL {
        let rows: Vec<_> = samples.rows().filter(|row| row.stack == stack).collect();
        if !rows.is_empty() {
            let _ = writeln!(text, "{}", stack.name());
        }
        for row in rows {
            text.push_str(line(samples, row).trim_end());
            text.push('\n');
        }
    }
    text.push('\n');
    text.push_str(&worth(samples));
    text
}

fn line(samples: &Samples, row: Row) -> String {
    let mut line = format!("  {:24}", row.receiver.name());
    let Some(time) = samples.time(row) else {
        return line + "nothing measured";
    };
    let quartiles = format!("{:.2}–{:.2}", time.lower, time.upper);
    let _ = write!(line, "{:>6.2}{quartiles:>14}", time.median);
    let column = |spread: Option<Spread>, text: fn(f64) -> String| {
        spread.map_or(String::new(), |spread| text(spread.median))
    };
    let over = over_bare(samples, row).filter(|_| row.receiver != Receiver::Bare);
    let _ = write!(line, "{:>9}", column(over, |micros| format!("{micros:+.2}")));
    let ratio = of_hand_written(samples, row);
    let _ = write!(line, "{:>16}", column(ratio, |ratio| format!("{ratio:.2}")));
    let _ = write!(line, "{:>9}", verdict(samples, row));
    line
}

fn over_bare(samples: &Samples, row: Row) -> Option<Spread> {
    samples.over(row, row.beside(Receiver::Bare))
}

fn of_hand_written(samples: &Samples, row: Row) -> Option<Spread> {
    samples.ratio(row, row.beside(Receiver::HandWritten))
}

/// `ok` or `OVER`, for the rows that have a budget; `void` where the control says
/// that the figures mean nothing.
fn verdict(samples: &Samples, row: Row) -> &'static str {
    let (over, ratio) = (over_bare(samples, row), of_hand_written(samples, row));
    match (row.receiver, over, ratio) {
        (Receiver::WithDedup, Some(_), Some(_)) if apart(samples, row.stack) > Some(CONTROL) => {
            "void"
        }
        (Receiver::WithDedup, Some(over), Some(ratio)) => {
            if over.median <= MOST_OVER_BARE && ratio.median <= 1.0 { "ok" } else { "OVER" }
        }
        _ => "",
    }
}

/// By how much of itself the two bare rows of a stack lie apart.
fn apart(samples: &Samples, stack: Stack) -> Option<f64> {
    let control = samples.ratio(stack.row(Receiver::Control), stack.row(Receiver::Bare))?;
    Some((control.median - 1.0).abs())
}

/// What the controls say about the figures.
fn worth(samples: &Samples) -> String {
    let mut text = String::new();
    for stack in Stack::ALL {
        let Some(apart) = apart(samples, stack) else { continue };
        let (name, percent) = (stack.name(), 100.0 * apart);
        let _ = if apart > CONTROL {
            writeln!(
                text,
                "THE FIGURES OF {name} MEAN NOTHING: two rows of the same bare handler lie\n\
                 {percent:.1} % apart, more than 3 %. Run it again on a quieter machine, or for longer."
            )
        } else {
            writeln!(
                text,
                "Control of {name}: the two bare rows lie {percent:.1} % apart (3 % are allowed)."
            )
        };
    }
    if text.is_empty() {
        return "One row alone: there is nothing to compare it with.\n".into();
    }
    let _ = writeln!(
        text,
        "Budget: at most {MOST_OVER_BARE} µs over bare, and never more than the hand-written handler."
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Row = Stack::Actix.row(Receiver::WithDedup);

    fn samples(control: f64, ours: f64) -> Samples {
        samples_beside(control, 5.0, ours)
    }

    fn samples_beside(control: f64, hand_written: f64, ours: f64) -> Samples {
        let mut samples = Samples::new(Row::all());
        for row in Row::all() {
            let micros = match row.receiver {
                Receiver::Bare => 2.0,
                // Of one stack only: the others are quiet.
                Receiver::Control if row.stack == OURS.stack => control,
                Receiver::Control => 2.0,
                Receiver::HandWritten => hand_written,
                _ => ours,
            };
            samples.add(row, micros);
        }
        samples
    }

    #[test]
    fn a_control_more_than_3_percent_off_voids_the_figures() {
        assert!(table(&samples(2.05, 4.0)).contains("2.5 % apart"));
        assert!(table(&samples(2.07, 4.0)).contains("OF actix MEAN NOTHING"));
        assert!(table(&samples(1.93, 4.0)).contains("OF actix MEAN NOTHING"));
    }

    #[test]
    fn a_noisy_stack_voids_its_own_verdict_and_no_other() {
        let noisy = samples(2.07, 4.0);
        assert_eq!(verdict(&noisy, OURS), "void");
        assert_eq!(verdict(&noisy, Stack::Axum.row(Receiver::WithDedup)), "ok");
    }

    #[test]
    fn the_whole_road_is_over_budget_at_2_5_us_above_bare_or_above_the_hand_written() {
        assert_eq!(verdict(&samples(2.0, 4.49), OURS), "ok");
        assert_eq!(verdict(&samples(2.0, 4.51), OURS), "OVER");
        assert_eq!(verdict(&samples_beside(2.0, 4.0, 4.01), OURS), "OVER");
    }

    #[test]
    fn the_table_fits_80_columns() {
        for line in (table(&samples(2.0, 4.0)) + &table(&samples(2.5, 40.0))).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
