//! The extractors in an axum app, and what an app needs beside this crate. No
//! sockets.

mod support;

mod extracting;
mod missing_layer;
mod one_dependency;
mod source;
