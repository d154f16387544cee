//! What the tests of the road share: an adapter of the smallest kind, a store
//! and a sink that fail on demand, a body that comes as it is told to.

pub(crate) mod body;
pub(crate) mod scene;
pub(crate) mod sink;
pub(crate) mod store;
