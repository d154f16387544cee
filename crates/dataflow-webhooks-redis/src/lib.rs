#![doc = include_str!("docs.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod error;
mod link;
mod log;
mod manner;
mod names;
mod place;
mod policy;
mod script;
#[cfg(feature = "sentinel")]
mod sentinels;
mod store;
#[cfg(feature = "tls")]
mod tls;

pub use crate::builder::RedisStoreBuilder;
pub use crate::error::{RedisStoreError, RedisStoreErrorKind};
pub use crate::policy::RedisWarning;
pub use crate::store::RedisStore;
