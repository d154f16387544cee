//! What a person is told to type in the README of `examples/inbox`, and the statement on the order
//! of events in `docs/processing.md`: each does what is said of it.

use async_nats::jetstream;
use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection as _, Decode, PgConnection, Row, SqliteConnection,
    raw_sql,
};

use crate::on;
use crate::place::{Place, Working, put, run, wait_for_dead};

const README: &str = include_str!("../../../../examples/inbox/README.md");
const PROCESSING: &str = include_str!("../../../../docs/processing.md");

on! {
    [sqlite, postgres]
    the_questions_tell_what_waits_and_what_was_given_up_on,
    the_statement_has_an_event_run_again_that_was_processed,
    the_end_of_a_run_wins_over_its_start_and_the_later_time_over_the_earlier,
}

on! {
    [nats]
    a_message_that_is_published_once_more_runs_again,
}

/// The statements in a page, in their order.
fn statements(page: &str) -> Vec<&str> {
    let blocks = page.split("```sql").skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .flat_map(|block| block.split_terminator(';'))
        .filter(|it| !it.trim().is_empty())
        .collect()
}

/// What a statement answers, all of it as text.
async fn asked(place: &Place, statement: &str) -> Vec<Vec<String>> {
    match place {
        Place::Sqlite(_) => {
            let mut connection = SqliteConnection::connect(&place.url()).await.unwrap();
            let statement = raw_sql(AssertSqlSafe(statement.to_owned()));
            let rows = statement.fetch_all(&mut connection).await.unwrap();
            rows.iter().map(texts).collect()
        }
        _ => {
            let mut connection = PgConnection::connect(&place.url()).await.unwrap();
            let statement = statement.replace("CAST(job AS TEXT)", "convert_from(job, 'UTF8')");
            let statement = AssertSqlSafe(format!("SET search_path TO apalis; {statement}"));
            let rows = raw_sql(statement).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(texts).collect()
        }
    }
}

fn texts<R: Row>(row: &R) -> Vec<String>
where
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database>,
{
    (0..row.len()).map(|at| row.try_get_unchecked(at).unwrap()).collect()
}

async fn the_questions_tell_what_waits_and_what_was_given_up_on(place: Place) {
    let queue = place.queue().await;
    for id in ["evt_done", "evt_fails"] {
        put(&queue, id).await;
    }
    let working = Working::start(&queue, place.settings().limits, |id, _| match id {
        "evt_fails" => Err("no such table".into()),
        _ => Ok(()),
    });
    working.runs.wait_for(4).await;
    wait_for_dead(&queue, 1).await;
    working.stop().await;
    put(&queue, "evt_waits").await;

    let mut counts = asked(&place, statements(README)[0]).await;
    counts.sort();
    assert_eq!(counts, [["Done", "1"], ["Killed", "1"], ["Pending", "1"]]);
    let given_up = asked(&place, statements(README)[1]).await;
    let [row] = &given_up[..] else { panic!("{given_up:?}") };
    let [key, attempts, error, job] = &row[..] else { panic!("{row:?}") };
    assert_eq!((&**key, &**attempts), ("id:evt_fails", "3"));
    assert!(error.contains("no such table") && job.contains("evt_fails"), "{row:?}");
}

async fn the_statement_has_an_event_run_again_that_was_processed(place: Place) {
    let queue = place.queue().await;
    put(&queue, "evt_1").await;
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    working.runs.wait_for(1).await;
    working.stop().await;

    asked(&place, statements(README)[2]).await;
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    assert_eq!(working.runs.wait_for(1).await, [run("evt_1", 1)]);
    working.stop().await;
}

async fn a_message_that_is_published_once_more_runs_again(place: Place) {
    let queue = place.queue().await;
    put(&queue, "evt_1").await;
    let working = Working::start(&queue, place.settings().limits, |_, _| Ok(()));
    working.runs.wait_for(1).await;

    let context = jetstream::new(async_nats::connect(place.url()).await.unwrap());
    let stream = context.get_stream("webhooks").await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    let (subject, mut headers) = ("webhooks.events", message.headers);
    for (id, is_duplicate) in [("id:evt_1", true), ("by hand", false)] {
        headers.insert("Nats-Msg-Id", id);
        let publish =
            context.publish_with_headers(subject, headers.clone(), message.payload.clone());
        let stored = publish.await.unwrap().await.unwrap();
        assert_eq!(stored.duplicate, is_duplicate, "{id}");
    }
    assert_eq!(working.runs.wait_for(2).await, [run("evt_1", 1), run("evt_1", 1)]);
    working.stop().await;
}

async fn the_end_of_a_run_wins_over_its_start_and_the_later_time_over_the_earlier(place: Place) {
    let _queue = place.queue().await;
    asked(&place, "CREATE TABLE runs (run_id TEXT PRIMARY KEY, status TEXT, status_at BIGINT)")
        .await;
    let (start, end, later) = (("started", 1), ("completed", 1), ("failed", 2));
    for (number, order) in
        [[start, end], [end, start], [end, later], [later, end]].iter().enumerate()
    {
        for (status, at) in order {
            let statement = statements(PROCESSING)[0].replace("$1", &format!("'run_{number}'"));
            let statement = statement.replace("$2", &format!("'{status}'"));
            asked(&place, &statement.replace("$3", &at.to_string())).await;
        }
    }
    let runs = asked(&place, "SELECT status FROM runs ORDER BY run_id").await;
    assert_eq!(runs, [["completed"], ["completed"], ["failed"], ["failed"]]);
}
