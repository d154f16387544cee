//! `examples/observability`: its page of metrics, as a user starts it, and the files
//! beside it that are made for that page.
#![cfg(unix)]

mod observed;
mod promql;

mod configuration;
mod dashboard;
mod dead_letters;
mod page;
#[cfg(feature = "peers")]
mod promtool;
mod rules;
