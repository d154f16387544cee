//! The programs under `examples/`, started as a user starts them.
#![cfg(unix)]

mod receivers;

mod answers;
mod configuration;
mod events;
mod quickstart;
mod rotation;
mod sources;
mod stopping;
