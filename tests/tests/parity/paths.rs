//! Where the layer is, and which path is asked for: what is signed is the body.

use dataflow_webhooks::RejectionKind;
use webhook_tests::{Request, delivery};

use crate::came_to::{Claim, Connection, ID, Said, handled, not_handled, refused_and_handled};
use crate::play::event_1;
use crate::scene::{Wrapped, plain};
use crate::stack::{PATH, Stack};
use crate::table::{Row, rows};

rows![
    a_query_string_changes_nothing,
    a_trailing_slash_is_another_path,
    another_path_is_the_application_s_own_404,
    around_the_application_other_paths_are_guarded_too,
    around_the_application_a_404_releases_the_event,
    applied_twice_the_inner_one_passes_it_through,
    applied_twice_a_refusal_is_counted_once,
    within_another_endpoint_s_layer_it_is_answered_500_and_nothing_runs,
];

fn at(path: &str, mut request: Request) -> Request {
    request.path = path.into();
    request
}

fn a_query_string_changes_nothing() -> Row {
    plain().sent(at(&format!("{PATH}?id=evt_2&t=1"), event_1())).comes_to(handled())
}

fn a_trailing_slash_is_another_path() -> Row {
    elsewhere(&format!("{PATH}/"))
}

fn another_path_is_the_application_s_own_404() -> Row {
    elsewhere("/elsewhere")
}

/// The layer sees nothing of it.
fn elsewhere(path: &str) -> Row {
    plain().sent(at(path, event_1())).comes_to(
        handled().says(Said::new(404, "")).runs(0, 0).claim(Claim::Untouched).counts(&[]).but_on(
            Stack::Actix,
            "actix ends the connection of a body that nobody reads",
            |it| {
                it.answers = vec![Said::new(404, "").closing()];
                it.connection = Connection::Ends;
            },
        ),
    )
}

fn around_the_application_other_paths_are_guarded_too() -> Row {
    let missing = RejectionKind::MissingSignature;
    plain()
        .wrapped(Wrapped::App)
        .all_sent([at("/elsewhere", Request::unsigned("{}")), event_1()])
        .comes_to(refused_and_handled(missing))
}

fn around_the_application_a_404_releases_the_event() -> Row {
    let slash = format!("{PATH}/");
    plain().wrapped(Wrapped::App).all_sent([at(&slash, event_1()), event_1()]).comes_to(
        handled().answers([Said::new(404, ""), Said::new(200, "")]).counts(&[
            ("authentic", 2),
            ("authentic_refused", 1),
            ("failed", 1),
            ("handled", 1),
            ("handlers_failed", 1),
            ("handlers_succeeded", 1),
        ]),
    )
}

fn applied_twice_the_inner_one_passes_it_through() -> Row {
    plain().wrapped(Wrapped::Twice).sent(event_1()).comes_to(handled())
}

fn applied_twice_a_refusal_is_counted_once() -> Row {
    let missing = RejectionKind::MissingSignature;
    plain()
        .wrapped(Wrapped::Twice)
        .all_sent([Request::unsigned("{}"), delivery(ID)])
        .comes_to(refused_and_handled(missing))
}

fn within_another_endpoint_s_layer_it_is_answered_500_and_nothing_runs() -> Row {
    // What the outer endpoint has counted: its handler has failed, so the event is
    // not lost.
    plain().wrapped(Wrapped::ByAnother).all_sent([event_1(), event_1()]).comes_to(
        handled().answers([not_handled(), not_handled()]).runs(0, 0).claim(Claim::Free).counts(&[
            ("authentic", 2),
            ("authentic_refused", 2),
            ("authentic_refused_in_a_row", 2),
            ("failed", 2),
            ("handlers_failed", 2),
        ]),
    )
}
