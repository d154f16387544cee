//! What the tests of the whole share: real servers on loopback, and a sender
//! that writes HTTP/1.1 byte by byte, so that it can do what no client does.

mod receiver;
mod sender;

pub use receiver::{Receiver, Runs, SECRET, endpoint, secret};
pub use sender::{Answer, Request, Wire};

/// The README's Rust snippets, compiled and (where they do not need a network)
/// run as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
