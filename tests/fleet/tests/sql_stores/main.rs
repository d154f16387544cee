//! What both stores in SQL promise beyond the contract: each rule on PostgreSQL and on SQLite.

mod place;

mod commit_in;
mod postgres_commit_in;
mod records;

/// Makes of `async fn rule(place: impl Place)` a test on each kind of database.
macro_rules! on_each_database {
    ($($rule:ident),+ $(,)?) => { $(
        mod $rule {
            use super::$rule;
            use crate::place::{OnPostgres, OnSqlite, Place as _};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgresql() {
                $rule(OnPostgres::new().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                $rule(OnSqlite::new().await).await;
            }
        }
    )+ };
}

use on_each_database;
