//! The store: each operation is one call of its script.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use dataflow_webhooks::dedup::{
    BoxError, Claim, ClaimOutcome, DedupKey, DedupStore, Held, StoreFuture, Terms,
};

use crate::builder::RedisStoreBuilder;
use crate::error::{RedisStoreError, RedisStoreErrorKind};
use crate::link::Link;
use crate::names::Names;
use crate::policy::RedisWarning;
use crate::script::{self, Call, Lua, Reply, Wait, milliseconds};

/// A dedup store in Redis, for processes that share one URL.
///
/// The [crate's documentation](crate) tells what it keeps, what it can lose, and how large it
/// grows. Clones share their connection.
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
}

struct Shared {
    names: Names,
    calls: Link,
    /// How many replicas a commit waits for, and the connection on which it does.
    commits: Option<(Wait, Link)>,
}

impl RedisStore {
    /// Connects to Redis.
    ///
    /// | URL | what it leads to | feature |
    /// |---|---|---|
    /// | `redis://[user:password@]host[:port][/database]` | one server, Redis 6 or newer | |
    /// | `rediss://…` | the same, over TLS | `tls` |
    /// | `redis+cluster://[user:password@]host[:port],host[:port],…` | a Redis Cluster, by some of its nodes | `cluster` |
    /// | `redis+sentinel://[user:password@]host[:port],…/primary[/database]` | the primary of this name, by its sentinels | `sentinel` |
    ///
    /// `rediss+cluster` and `rediss+sentinel` are the last two over TLS. The user and the password
    /// are those of the servers; sentinels are asked without. Special characters in them are
    /// percent-encoded.
    ///
    /// The scope names the endpoint: 1 to 64 of the characters `A-Z a-z 0-9 _ . -`. All processes
    /// of one endpoint use the same one, and two endpoints that share a Redis must not: the event
    /// ids of one would answer for those of the other.
    ///
    /// # Errors
    /// When the URL or the scope is wrong, or Redis cannot be reached within 1 s. A receiver that
    /// is to start while Redis is down uses [`connect_lazy`](Self::connect_lazy).
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and time drivers on.
    pub async fn connect(url: &str, scope: &str) -> Result<Self, RedisStoreError> {
        Self::builder(scope).connect(url).await
    }

    /// A store that connects with its first call: a receiver can then start while Redis is down,
    /// answers 503, and passes deliveries as soon as Redis is up. The URL and the scope are as for
    /// [`connect`](Self::connect).
    ///
    /// # Errors
    /// When the URL or the scope is wrong.
    pub fn connect_lazy(url: &str, scope: &str) -> Result<Self, RedisStoreError> {
        Self::builder(scope).connect_lazy(url)
    }

    /// For all that is not as most want it.
    pub fn builder(scope: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(scope)
    }

    pub(crate) fn new(names: Names, calls: Link, commits: Option<(Wait, Link)>) -> Self {
        Self { shared: Arc::new(Shared { names, calls, commits }) }
    }

    pub(crate) async fn connect_now(&self) -> Result<(), RedisStoreError> {
        self.shared.calls.connect().await?;
        match &self.shared.commits {
            Some((_, link)) => link.connect().await,
            None => Ok(()),
        }
    }

    /// What was worth a warning about the server when it was last connected to; each was logged as
    /// well (feature `tracing`). Empty before the first connection.
    #[must_use]
    pub fn warnings(&self) -> Vec<RedisWarning> {
        self.shared.calls.warnings()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { names, calls, commits } = &*self.shared;
        f.debug_struct("RedisStore")
            .field("scope", &names.scope())
            .field("prefix", &names.prefix())
            .field("place", calls.place())
            .field("times", &calls.times())
            .field("wait", &commits.as_ref().map(|(wait, _)| wait))
            .finish()
    }
}

impl DedupStore for RedisStore {
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(async move { self.shared.claim(key, terms).await.map_err(boxed) })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let lease = milliseconds(terms.lease()).to_string();
            let arguments = vec![lease, retention(terms)];
            self.shared.held(&script::RENEW, claim, arguments).await.map_err(boxed)
        })
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move { self.shared.commit(claim, terms).await.map_err(boxed) })
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let arguments = vec![retention(terms)];
            self.shared.held(&script::RELEASE, claim, arguments).await.map_err(boxed)
        })
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let call = self.shared.call(&script::FORGET, key, Vec::new());
            self.shared.calls.make(&call).await.map(drop).map_err(boxed)
        })
    }
}

impl Shared {
    fn call(&self, lua: &'static Lua, key: &DedupKey, arguments: Vec<String>) -> Call {
        Call { lua, key: self.names.of(key), arguments, wait: None }
    }

    async fn claim(&self, key: &DedupKey, terms: Terms) -> Result<ClaimOutcome, RedisStoreError> {
        let lease = milliseconds(terms.lease()).to_string();
        let call = self.call(&script::CLAIM, key, vec![lease, retention(terms)]);
        match self.calls.make(&call).await?.answer {
            -1 => Ok(ClaimOutcome::InFlight),
            0 => Ok(ClaimOutcome::Done),
            epoch => match u64::try_from(epoch) {
                Ok(epoch) => Ok(ClaimOutcome::New(Claim::new(key.clone(), epoch))),
                Err(_) => Err(odd_answer(epoch)),
            },
        }
    }

    /// One step for the holder of a claim. The epoch comes before the other arguments.
    async fn held(
        &self,
        lua: &'static Lua,
        claim: &Claim,
        mut arguments: Vec<String>,
    ) -> Result<Held, RedisStoreError> {
        arguments.insert(0, claim.epoch().to_string());
        yes_or_no(self.calls.make(&self.call(lua, claim.key(), arguments)).await?)
    }

    async fn commit(&self, claim: &Claim, terms: Terms) -> Result<Held, RedisStoreError> {
        let began = Instant::now();
        let arguments = vec![claim.epoch().to_string(), retention(terms)];
        let mut call = self.call(&script::COMMIT, claim.key(), arguments);
        // First where nothing waits: behind commits that wait for a replica that is gone, this one
        // would not even come to the primary.
        let held = yes_or_no(self.calls.make(&call).await?)?;
        let Some((wait, link)) = &self.commits else { return Ok(held) };
        if held == Held::No {
            return Ok(held);
        }
        call.wait = Some(*wait);
        call.arguments.push(script::WRITE_ANYWAY.to_owned());
        let left = link.times().call.saturating_sub(began.elapsed());
        let reply = link.make_within(left, &call).await?;
        let held = yes_or_no(reply)?;
        let replicas = reply.replicas.unwrap_or(0);
        if held == Held::Yes && replicas < wait.replicas {
            return Err(RedisStoreError::new(
                RedisStoreErrorKind::NotReplicated,
                format!(
                    "the commit was on {replicas} of {} replicas within {} ms",
                    wait.replicas,
                    wait.timeout.as_millis()
                ),
            ));
        }
        Ok(held)
    }
}

fn retention(terms: Terms) -> String {
    milliseconds(terms.retention()).to_string()
}

fn yes_or_no(reply: Reply) -> Result<Held, RedisStoreError> {
    match reply.answer {
        1 => Ok(Held::Yes),
        0 => Ok(Held::No),
        other => Err(odd_answer(other)),
    }
}

fn odd_answer(answer: i64) -> RedisStoreError {
    RedisStoreError::new(
        RedisStoreErrorKind::Other,
        format!("a script of the store answered {answer}, which it never does"),
    )
}

fn boxed(error: RedisStoreError) -> BoxError {
    Box::new(error)
}
