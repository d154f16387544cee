//! The sinks of dead letters in SQL: the contract of all sinks, what they promise beyond it, and a
//! receiver with one.

mod letters;
mod place;

mod contract;
mod postgres;
mod road;
mod rules;
mod sqlite;

/// Makes of `async fn rule(place: impl Place)` a test on each kind of database.
macro_rules! on_each_database {
    ($($rule:ident),+ $(,)?) => { $(
        mod $rule {
            use super::$rule;
            use crate::place::{OnPostgres, OnSqlite, Place as _};

            #[tokio::test]
            async fn on_postgresql() {
                $rule(OnPostgres::new().await).await;
            }

            #[tokio::test]
            async fn on_sqlite() {
                $rule(OnSqlite::new().await).await;
            }
        }
    )+ };
}

use on_each_database;
