//! What the tests of the whole share: real servers on loopback, and a sender
//! that writes HTTP/1.1 byte by byte, so that it can do what no client does.

mod at_once;
mod chance;
mod child;
mod example;
mod files;
mod http2;
mod journal;
mod lines;
mod log;
mod panics;
mod peer;
mod program;
mod receiver;
mod sender;
mod served;
mod stack;
mod stood_still;
mod store;
mod temporary_file;

pub use at_once::{AtOnce, on_many_threads, on_one_thread};
pub use chance::Chance;
pub use example::Example;
pub use files::allow_open_files;
pub use http2::Http2;
pub use journal::{Journal, JournalStore};
pub use lines::Lines;
pub use log::Log;
pub use panics::{panics, watch_for_panics};
pub use peer::{Peer, hex};
pub use program::{Program, resident_of};
pub use receiver::{Receiver, Runs, SECRET, endpoint, secret};
pub use sender::{Answer, Request, Wire};
pub use served::{Served, delivery, event, eventually};
pub use stack::Stack;
pub use stood_still::{Stopwatch, undisturbed};
pub use store::{State, WatchedStore};
pub use temporary_file::TemporaryFile;

/// The README's Rust snippets, compiled and (where they do not need a network)
/// run as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
