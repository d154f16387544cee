//! `examples/transactional`: its totals are right after any crash. The rules are held on
//! PostgreSQL and on SQLite.

mod place;

mod crashes;
mod rules;

use dataflow_webhooks::testing::Sample;

/// The package of the program.
const PROGRAM: &str = "transactional";

/// The name of its endpoint in the store.
const SCOPE: &str = "pipeline_totals";

/// Makes of `async fn rule(place: Place)` a test on each kind of database.
macro_rules! on_each_database {
    ($($rule:ident),+ $(,)?) => { $(
        mod $rule {
            use super::$rule;
            use crate::place::Place;
            use webhook_fleet_tests::awake::unless_stalled;

            #[test]
            fn on_postgresql() {
                unless_stalled(async || $rule(Place::postgres()).await);
            }

            #[test]
            fn on_sqlite() {
                unless_stalled(async || $rule(Place::sqlite()).await);
            }
        }
    )+ };
}

use on_each_database;

/// A completed run of [`pipeline`], which has processed so many [`records`].
fn completed_run(number: usize) -> Sample {
    Sample::of("pipeline.run.completed")
        .data("pipeline_id", pipeline(number))
        .data("records_processed", records(number))
}

fn pipeline(number: usize) -> String {
    format!("pipe_{}", number % 7)
}

/// Of many numbers no two have the same, so that one too many does not make up for another
/// that is missing.
fn records(number: usize) -> i64 {
    i64::try_from(1 + number * number).unwrap_or(i64::MAX)
}
