//! How a store is set up.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;

use crate::error::{RedisStoreError, RedisStoreErrorKind};
use crate::link::Link;
use crate::manner::{Manner, Times};
use crate::names::Names;
use crate::place::Place;
use crate::script::Wait;
use crate::store::RedisStore;

/// What the keys begin with unless told.
const DEFAULT_PREFIX: &str = "dfwh";
const DEFAULT_CALL: Duration = Duration::from_millis(1_500);
const DEFAULT_CONNECT: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(10);
/// The road gives a call of a store 2 s. A call must have failed by itself before: only then is the
/// connection it has waited on left behind.
const LONGEST_CALL: Duration = Duration::from_millis(1_900);
const LONGEST_CONNECT: Duration = Duration::from_secs(2);

/// Sets a [`RedisStore`] up; begin with [`RedisStore::builder`].
///
/// All options are checked at the end, by what makes the store.
#[derive(Debug)]
#[must_use = "a builder makes nothing until it connects"]
pub struct RedisStoreBuilder {
    scope: String,
    prefix: String,
    call_timeout: Duration,
    connect_timeout: Duration,
    wait: Option<Wait>,
    #[cfg(feature = "tls")]
    root_certificates: Option<Vec<u8>>,
}

impl RedisStoreBuilder {
    pub(crate) fn new(scope: &str) -> Self {
        Self {
            scope: scope.to_owned(),
            prefix: DEFAULT_PREFIX.to_owned(),
            call_timeout: DEFAULT_CALL,
            connect_timeout: DEFAULT_CONNECT,
            wait: None,
            #[cfg(feature = "tls")]
            root_certificates: None,
        }
    }

    /// Sets what all keys begin with: 1 to 64 of the characters `A-Z a-z 0-9 _ . -`. Default:
    /// `dfwh`.
    ///
    /// A key is `<prefix>:<scope>:<event's key>`, which a rule of an ACL may match with
    /// `~dfwh:orders:*`.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Sets the longest that one call may take, connecting and repeating included: 10 ms to 1.9 s.
    /// Default: 1.5 s.
    ///
    /// The sender hangs up after 5 s ("Endpoint Requirements" in the platform's documentation). A
    /// call that takes longer is an error, and the delivery is answered 503.
    pub const fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets the longest that one attempt to connect may take: 10 ms to 2 s. Default: 1 s.
    ///
    /// On a Redis Cluster, one node has a quarter of it.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Lets a commit wait until this many replicas have it (`WAIT`), at most for `timeout`. Default:
    /// it does not wait.
    ///
    /// The primary has it before. With fewer in time the commit is an error of the kind
    /// [`NotReplicated`](RedisStoreErrorKind::NotReplicated): the caller repeats it, as any
    /// commit that failed, until enough have it. It narrows what a
    /// failover can lose; it does not close it, for Redis may make a replica the primary that was
    /// not among them. Claims are not waited for.
    ///
    /// `replicas` is 1 or more, and `timeout` is 1 ms or more and shorter than the
    /// [`call_timeout`](Self::call_timeout). The commits get a connection of their own, because
    /// `WAIT` holds up everything behind it on the same one. Not for a Redis Cluster.
    pub const fn wait(mut self, replicas: u32, timeout: Duration) -> Self {
        self.wait = Some(Wait { replicas, timeout });
        self
    }

    /// Sets the certificates to trust, in PEM, instead of the system's: for a server with a
    /// certificate of a private authority.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Makes the store, and connects. [`RedisStore::connect`] lists the URLs.
    ///
    /// # Errors
    /// When an option or the URL is wrong, or Redis cannot be reached in time.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and time drivers on.
    pub async fn connect(self, url: &str) -> Result<RedisStore, RedisStoreError> {
        let store = self.connect_lazy(url)?;
        store.connect_now().await?;
        Ok(store)
    }

    /// Makes the store, and leaves the connecting to the first call: a receiver can then start
    /// while Redis is down, answers 503, and passes deliveries as soon as Redis is up.
    /// [`RedisStore::connect`] lists the URLs.
    ///
    /// # Errors
    /// When an option or the URL is wrong.
    pub fn connect_lazy(self, url: &str) -> Result<RedisStore, RedisStoreError> {
        let manner = Manner {
            #[cfg(feature = "cluster")]
            times: self.times(),
            #[cfg(feature = "tls")]
            root_certificates: self.root_certificates.clone(),
        };
        self.build(|| Place::of_url(url, &manner))
    }

    /// Makes the store on a connection of one's own: a `ConnectionManager`, a `ClusterConnection`
    /// or whatever else of the `redis` crate can be cloned and shared.
    ///
    /// It has to make itself anew when it is lost, as those two do. Calls are bounded by the
    /// [`call_timeout`](Self::call_timeout), and by what the connection itself has set; mind that
    /// a `ConnectionManager` answers within 500 ms unless told.
    ///
    /// # Errors
    /// When an option is wrong.
    pub fn with_connection<C>(self, connection: C) -> Result<RedisStore, RedisStoreError>
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        let given = Arc::new(connection);
        self.build(move || Ok(Place::Given(Arc::clone(&given) as _)))
    }

    const fn times(&self) -> Times {
        Times { call: self.call_timeout, connect: self.connect_timeout }
    }

    fn build(
        self,
        place: impl Fn() -> Result<Place, RedisStoreError>,
    ) -> Result<RedisStore, RedisStoreError> {
        let names = Names::new(&self.prefix, &self.scope)?;
        in_range("call_timeout", self.call_timeout, SHORTEST, LONGEST_CALL)?;
        in_range("connect_timeout", self.connect_timeout, SHORTEST, LONGEST_CONNECT)?;
        let times = self.times();
        let link = || Ok(Link::new(place()?, times, names.scope()));
        let calls = link()?;
        let commits = match self.wait {
            None => None,
            Some(wait) => {
                let longest = self.call_timeout.saturating_sub(Duration::from_millis(1));
                in_range("timeout of wait", wait.timeout, Duration::from_millis(1), longest)?;
                if wait.replicas == 0 {
                    return Err(bad_option(
                        "wait for 0 replicas waits for nothing: ask for 1 or more",
                    ));
                }
                if calls.place().is_cluster() {
                    return Err(bad_option("wait does not go with a Redis Cluster"));
                }
                Some((wait, link()?))
            }
        };
        Ok(RedisStore::new(names, calls, commits))
    }
}

fn in_range(
    what: &str,
    value: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), RedisStoreError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(bad_option(&format!("{what} is {value:?}, and must be {least:?} to {most:?}")))
}

fn bad_option(what: &str) -> RedisStoreError {
    RedisStoreError::new(RedisStoreErrorKind::InvalidOption, what)
}
