#![doc = include_str!("docs.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod extract;
mod rejection;

pub use dataflow_webhooks::*;
pub use dataflow_webhooks_tower::{DeadLetterFile, DeadLetterFileError, UnreadableLines};
pub use dataflow_webhooks_tower::{ResponseBody, WebhookBody, WebhookLayer, WebhookService};
pub use extract::{Webhook, WebhookDelivery};
pub use rejection::MissingLayer;
