//! One table of deliveries and what must come of them, for every stack: the
//! tower crate under plain hyper, axum, and actix-web, over real sockets.
//!
//! A row is a function that says which receiver there is ([`scene`]), what a
//! sender does to it ([`play`]), and all that must come of it ([`came_to`]). It
//! is a test on each stack, named after its rule. The whole table is played once,
//! many rows beside each other, when the first of those tests asks for it; with
//! `WEBHOOK_TESTS_ROWS=late` in the environment, only the rows with `late` in
//! their names are.

mod came_to;
mod play;
mod scene;
mod stack;
mod table;

mod answers;
mod dead_letters;
mod dedup;
mod drain;
mod hang_up;
mod header;
mod http2;
mod logs;
mod paths;
mod refusals;
mod sources;
mod wire;

/// Every row there is.
const ROWS: &[&[table::Named]] = &[
    answers::ROWS,
    dead_letters::ROWS,
    dedup::ROWS,
    drain::ROWS,
    hang_up::ROWS,
    header::ROWS,
    http2::ROWS,
    logs::ROWS,
    paths::ROWS,
    refusals::ROWS,
    sources::ROWS,
    wire::ROWS,
];
