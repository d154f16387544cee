//! The road of a delivery, seen from an adapter: no sockets, and the clock
//! paused wherever time matters.

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod bodies;
mod busy;
mod dead_letters;
mod draining;
mod duplicates;
mod hung_up;
mod late;
mod leases;
mod panics;
mod settlement;
mod spawning;
