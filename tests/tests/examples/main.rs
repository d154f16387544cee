//! The programs under `examples/`, started as a user starts them.
#![cfg(unix)]

mod program;
mod receivers;

mod configuration;
mod events;
mod quickstart;
mod rotation;
mod stopping;
