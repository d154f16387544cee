//! `examples/observability`: its page of metrics, as a user starts it, and the files
//! beside it that are made for that page.
#![cfg(unix)]

#[allow(dead_code, reason = "the tests of the other examples use the rest")]
#[path = "../examples/program.rs"]
mod program;
#[allow(dead_code, unused_imports, unused_macros, reason = "as above")]
#[path = "../examples/receivers.rs"]
mod receivers;

mod observed;
mod promql;

mod configuration;
mod dashboard;
mod page;
#[cfg(feature = "peers")]
mod promtool;
mod rules;
