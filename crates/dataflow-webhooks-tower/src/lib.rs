#![doc = include_str!("docs.md")]

mod body;
mod layer;
mod response;
mod service;

pub use body::WebhookBody;
pub use dataflow_webhooks_tokio::{DeadLetterFile, DeadLetterFileError, UnreadableLines};
pub use layer::WebhookLayer;
pub use response::ResponseBody;
pub use service::{ResponseFuture, WebhookService};
