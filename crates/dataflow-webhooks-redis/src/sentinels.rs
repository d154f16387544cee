//! The sentinels, and how they are asked where the primary is.
//!
//! All at once: a sentinel that is silent, as one is whose machine has lost its power together with
//! the primary, would otherwise use up the time in which the others could answer.

use std::sync::Arc;

use redis::sentinel::SentinelClient;
use redis::{Client, ErrorKind, RedisError, RedisResult};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// A client for each sentinel.
pub(crate) struct Sentinels(Vec<Arc<Mutex<SentinelClient>>>);

impl Sentinels {
    pub(crate) fn new(clients: Vec<SentinelClient>) -> Self {
        Self(clients.into_iter().map(|client| Arc::new(Mutex::new(client))).collect())
    }

    /// The primary that the first of them names. The client has asked that server whether it is one.
    pub(crate) async fn primary(&self) -> RedisResult<Client> {
        let mut asked: JoinSet<_> = self
            .0
            .iter()
            .map(|client| {
                let client = Arc::clone(client);
                async move { client.lock().await.async_get_client().await }
            })
            .collect();
        let mut failure = RedisError::from((ErrorKind::Io, "no sentinel was asked"));
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(primary)) => return Ok(primary),
                Ok(Err(error)) => failure = error,
                // It panicked, and has said so.
                Err(_) => {}
            }
        }
        Err(failure)
    }
}
