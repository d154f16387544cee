//! The table, and whether the budget holds.

use std::fmt::Write as _;

use crate::apps::App;
use crate::deliveries::BODY_BYTES;
use crate::figures::{Samples, Spread};

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
         quartiles of {} rounds; compared round by round.\n",
        samples.rounds()
    );
    let _ = writeln!(
        text,
        "{:26}{:>6}{:>14}{:>9}{:>16}{:>9}",
        "", "µs", "quartiles", "over", "of hand-written", "budget"
    );
    for app in samples.apps() {
        text.push_str(line(samples, app).trim_end());
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&worth(samples));
    text
}

fn line(samples: &Samples, app: App) -> String {
    let mut line = format!("{:26}", app.name());
    let Some(time) = samples.time(app) else {
        return line + "nothing measured";
    };
    let quartiles = format!("{:.2}–{:.2}", time.lower, time.upper);
    let _ = write!(line, "{:>6.2}{quartiles:>14}", time.median);
    let column = |spread: Option<Spread>, text: fn(f64) -> String| {
        spread.map_or(String::new(), |spread| text(spread.median))
    };
    let over = samples.over(app, App::Bare).filter(|_| app != App::Bare);
    let _ = write!(line, "{:>9}", column(over, |micros| format!("{micros:+.2}")));
    let ratio = samples.ratio(app, App::HandWritten);
    let _ = write!(line, "{:>16}", column(ratio, |ratio| format!("{ratio:.2}")));
    let _ = write!(line, "{:>9}", verdict(samples, app));
    line
}

/// `ok` or `OVER`, for the row that has a budget.
fn verdict(samples: &Samples, app: App) -> &'static str {
    let (over, ratio) = (samples.over(app, App::Bare), samples.ratio(app, App::HandWritten));
    match (app, over, ratio) {
        (App::WithDedup, Some(over), Some(ratio)) => {
            if over.median <= MOST_OVER_BARE && ratio.median <= 1.0 { "ok" } else { "OVER" }
        }
        _ => "",
    }
}

/// What the control says about the figures.
fn worth(samples: &Samples) -> String {
    let Some(control) = samples.ratio(App::Control, App::Bare) else {
        return "One row alone: there is nothing to compare it with.\n".into();
    };
    let apart = (control.median - 1.0).abs();
    let percent = 100.0 * apart;
    if apart > CONTROL {
        return format!(
            "THESE FIGURES MEAN NOTHING: two rows of the same bare handler lie {percent:.1} %\n\
             apart, more than 3 %. Run it again on a quieter machine, or for longer.\n"
        );
    }
    format!(
        "Control: the two bare rows lie {percent:.1} % apart (3 % are allowed).\n\
         Budget: at most {MOST_OVER_BARE} µs over bare, and never more than the hand-written handler.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(control: f64, ours: f64) -> Samples {
        samples_beside(control, 5.0, ours)
    }

    fn samples_beside(control: f64, hand_written: f64, ours: f64) -> Samples {
        let mut samples = Samples::new(App::ALL.to_vec());
        for app in App::ALL {
            samples.add(
                app,
                match app {
                    App::Bare => 2.0,
                    App::Control => control,
                    App::HandWritten => hand_written,
                    _ => ours,
                },
            );
        }
        samples
    }

    #[test]
    fn a_control_more_than_3_percent_off_voids_the_figures() {
        assert!(table(&samples(2.05, 4.0)).contains("2.5 % apart"));
        assert!(table(&samples(2.07, 4.0)).contains("MEAN NOTHING"));
        assert!(table(&samples(1.93, 4.0)).contains("MEAN NOTHING"));
    }

    #[test]
    fn the_whole_road_is_over_budget_at_2_5_us_above_bare_or_above_the_hand_written() {
        assert_eq!(verdict(&samples(2.0, 4.49), App::WithDedup), "ok");
        assert_eq!(verdict(&samples(2.0, 4.51), App::WithDedup), "OVER");
        assert_eq!(verdict(&samples_beside(2.0, 4.0, 4.01), App::WithDedup), "OVER");
    }

    #[test]
    fn the_table_fits_80_columns() {
        for line in table(&samples(2.0, 4.0)).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
