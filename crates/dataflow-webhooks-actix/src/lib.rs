#![doc = include_str!("docs.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod extract;
mod middleware;
mod reply;

pub use dataflow_webhooks::*;
pub use dataflow_webhooks_tokio::{DeadLetterFile, DeadLetterFileError, UnreadableLines};
pub use extract::{MissingMiddleware, Webhook, WebhookDelivery};
pub use middleware::{ResponseFuture, WebhookMiddleware, WebhookService};
