//! A list of what was given up on that is longer than a page.

use std::fmt::Write as _;

use futures_util::TryStreamExt as _;
use sqlx::{PgPool, SqlitePool};

use crate::on;
use crate::place::Place;

on! {
    [sqlite, postgres]
    each_of_many_letters_is_listed_once_and_in_the_order_of_their_time,
}

/// Two pages and a half, most of them of the same second.
const LETTERS: usize = 2_500;

async fn each_of_many_letters_is_listed_once_and_in_the_order_of_their_time(place: Place) {
    let queue = place.queue().await;
    let (table, bytes, now) = match place {
        Place::Sqlite(_) => ("Jobs", "CAST('{}' AS BLOB)", ("unixepoch()", "")),
        _ => ("apalis.jobs", "'{}'::bytea", ("now()", " * interval '1 second'")),
    };
    let mut rows = String::new();
    for number in 0..LETTERS {
        let comma = if number == 0 { "" } else { "," };
        // The ids fall while the times rise.
        let (id, second) = (LETTERS - number, number / 1_200);
        write!(
            rows,
            "{comma}({bytes}, 'job-{id:05}', 'webhooks', 'Killed', 3, {0} + {second}{1}, \
             'id:evt_{number}')",
            now.0, now.1
        )
        .unwrap();
    }
    let sql = format!(
        "INSERT INTO {table} (job, id, job_type, status, attempts, done_at, idempotency_key) \
         VALUES {rows}"
    );
    let insert = sqlx::AssertSqlSafe(sql);
    match place {
        Place::Sqlite(_) => {
            let pool = SqlitePool::connect(&place.url()).await.unwrap();
            sqlx::raw_sql(insert).execute(&pool).await.map(drop)
        }
        _ => {
            let pool = PgPool::connect(&place.url()).await.unwrap();
            sqlx::raw_sql(insert).execute(&pool).await.map(drop)
        }
    }
    .unwrap();

    let listed: Vec<_> = queue.dead().try_collect().await.unwrap();
    let number = |key: &str| key.strip_prefix("id:evt_").unwrap().parse::<usize>().unwrap();
    let mut numbers: Vec<_> = listed.iter().map(|dead| number(&dead.key)).collect();
    assert!(numbers.is_sorted_by_key(|number| number / 1_200));
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..LETTERS), "{} were listed", numbers.len());
}
