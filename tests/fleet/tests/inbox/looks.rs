//! Who looks at a queue that is not there is told so, and makes none.

use std::fs;
use std::path::Path;
use std::process::Command;

use futures_util::TryStreamExt as _;
use sqlx::{PgPool, SqlitePool};
use webhook_fleet_tests::kept::Folder;
use webhook_tests::Example;

use crate::on;
use crate::place::Place;

on! {
    [postgres, nats]
    a_look_at_a_server_without_a_queue_says_so_and_makes_nothing,
}

const LOOKS: [&[&str]; 2] = [&["dead"], &["retry", "evt_1"]];

/// What the program says, in a line, of a queue that is not there.
async fn no_queue(command: &mut Command) -> String {
    let (code, line) = Example::refusal(command).await;
    assert_eq!(code, Some(2), "{line}");
    assert!(line.starts_with("inbox: QUEUE_URL: there is no queue: "), "{line}");
    assert!(line.contains("`inbox receiver`"), "{line}");
    line
}

#[tokio::test]
async fn neither_a_person_nor_a_worker_makes_a_file() {
    let folder = Folder::new("fleet-inbox");
    for arguments in [LOOKS[0], LOOKS[1], &["worker"]] {
        let mut command = Example::command("inbox");
        command.args(arguments).current_dir(folder.path()).env("QUEUE_URL", "sqlite://inbx.db");
        let line = no_queue(&mut command).await;
        // In full: the folder may be the mistake.
        let path = folder.path().join("inbx.db");
        assert!(line.contains(&format!("{} does not exist", path.display())), "{line}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn another_database_is_said_to_hold_no_queue_and_stays_as_it_is() {
    let folder = Folder::new("fleet-inbox");
    let path = folder.path().join("orders.db");
    let url = format!("sqlite://{}", path.display());
    let pool = SqlitePool::connect(&format!("{url}?mode=rwc")).await.unwrap();
    sqlx::raw_sql("CREATE TABLE orders (id INTEGER)").execute(&pool).await.unwrap();
    pool.close().await;
    let before = fs::read(&path).unwrap();
    for arguments in LOOKS {
        let mut command = Example::command("inbox");
        let line = no_queue(command.args(arguments).env("QUEUE_URL", &url)).await;
        assert!(line.contains(&format!("{} holds none", path.display())), "{line}");
        assert!(fs::read(&path).unwrap() == before, "{arguments:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{arguments:?}");
    }
}

async fn a_look_at_a_server_without_a_queue_says_so_and_makes_nothing(place: Place) {
    for arguments in LOOKS {
        no_queue(&mut place.program(inbox(), arguments)).await;
    }
    let made: i64 = match &place {
        Place::Nats(server) => {
            let client = async_nats::connect(server.url()).await.unwrap();
            let streams = async_nats::jetstream::new(client).stream_names();
            streams.try_collect::<Vec<_>>().await.unwrap().len().try_into().unwrap()
        }
        _ => {
            let pool = PgPool::connect(&place.url()).await.unwrap();
            let count = "SELECT count(*) FROM pg_namespace WHERE nspname = 'apalis'";
            sqlx::query_scalar(count).fetch_one(&pool).await.unwrap()
        }
    };
    assert_eq!(made, 0);
}

fn inbox() -> impl AsRef<Path> {
    Example::path("inbox")
}
