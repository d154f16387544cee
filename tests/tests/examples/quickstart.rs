//! The quickstart: what a person sees who runs it.

use std::time::{Duration, Instant};

use webhook_tests::Example;

async fn run() -> Vec<String> {
    let mut program = Example::start(&mut Example::command("quickstart"));
    let status = program.ended().await;
    let printed = program.printed();
    assert!(status.success(), "{status}\n{}\n{}", printed.join("\n"), program.log());
    printed
}

#[tokio::test]
async fn every_kind_of_delivery_has_a_row_that_is_as_it_must_be() {
    let printed = run().await;
    let row = |sent: &str| {
        let line = printed.iter().find(|line| line.contains(sent));
        let line = line.unwrap_or_else(|| panic!("no row {sent:?}:\n{}", printed.join("\n")));
        let (_, rest) = line.split_once(sent).expect("the words it was found by");
        rest.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(row("pipeline.run.completed"), ["200", "ran", "signed by key current"]);
    assert_eq!(row("connection.status.changed"), ["200", "ran", "signed by key current"]);
    assert_eq!(row("quality.rule.failed"), ["200", "ran", "signed by key current"]);
    let unknown = row("an event type not yet documented");
    assert_eq!(unknown, ["200", "ran", "signed by key current"]);
    let previous = row("signed with the previous key");
    assert_eq!(previous, ["200", "ran", "signed by key previous"]);
    assert_eq!(row("body changed after signing"), ["401", "no", "no key fits this body"]);
    assert_eq!(row("signed 10 minutes ago"), ["401", "no", "older than 300 s"]);
    assert_eq!(row("signed 10 minutes ahead"), ["401", "no", "more than 300 s ahead"]);
    assert_eq!(row("no signature header"), ["401", "no", "nobody signed it"]);
    assert_eq!(row("a body of more than 1 MiB"), ["413", "no", "over the limit"]);
    assert_eq!(row("the first event again"), ["200", "no", "this event is done"]);
    assert_eq!(row("one event, twice at once"), ["200 200", "ran", "one of the two ran"]);
    let failed = row("pipeline.updated, handler fails");
    assert_eq!(failed, ["500", "ran", "the handler failed"]);
    assert_eq!(row("pipeline.updated, sent again"), ["200", "ran", "run 2 of this event"]);
    assert_eq!(printed.last().unwrap(), "14 of 14 rows are as they must be");
}

#[tokio::test]
async fn the_table_fits_80_columns_and_has_no_colours_in_a_pipe() {
    for line in run().await {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.contains('\x1b'), "{line:?}");
    }
}

#[tokio::test]
async fn it_ends_within_15_seconds() {
    let _ = Example::path("quickstart"); // building it does not count
    let started = Instant::now();
    run().await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}
