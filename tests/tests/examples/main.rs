//! The programs under `examples/`, started as a user starts them.
#![cfg(unix)]

mod program;

mod configuration;
mod events;
mod quickstart;
mod rotation;
mod stopping;
