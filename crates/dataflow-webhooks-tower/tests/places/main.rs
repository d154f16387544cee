//! One layer, one signature, every place it can stand in; and what it makes of
//! requests and answers there. No sockets.

mod support;

mod answers;
mod axum_places;
mod bodies;
mod errors;
mod hyper_places;
mod inside;
mod limits;
mod readiness;
mod source;
mod stacks;
mod twice;
