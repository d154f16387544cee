//! The adapter, as an application sees it: wherever the middleware stands, whatever
//! the handler reads, over a real socket where the connection is the point.

mod answers;
mod connection;
mod extractors;
mod places;
mod running_on;
mod stopping;
mod support;
mod twice;
