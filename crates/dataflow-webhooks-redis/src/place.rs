//! Where Redis is, and how a connection to it is made.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisResult, Value,
};

use crate::error::{RedisStoreError, RedisStoreErrorKind};
use crate::manner::Manner;
use crate::policy::{self, RedisWarning};
use crate::script::{Call, Reply};

/// Where Redis is.
#[allow(clippy::large_enum_variant)] // There is one of it in each store, or two.
pub(crate) enum Place {
    Server(Client),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster::ClusterClient),
    #[cfg(feature = "sentinel")]
    Sentinel(crate::sentinels::Sentinels),
    /// A connection of the user's own, which makes itself anew.
    Given(Arc<dyn Given>),
}

/// A connection, cheap to clone; many calls can be under way on it.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
    Given(Arc<dyn Given>),
}

impl Place {
    /// Reads a URL. Nothing is connected.
    pub(crate) fn of_url(url: &str, manner: &Manner) -> Result<Self, RedisStoreError> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| invalid("it does not begin with a scheme"))?;
        if scheme.starts_with("rediss") && !cfg!(feature = "tls") {
            return Err(missing("tls"));
        }
        // Whoever writes a password as it is ends the host's place with its first `/`, `?` or `#`:
        // then a piece of it is the port, and another the name of a primary.
        if rest.find(['/', '?', '#']).is_some_and(|end| rest[end..].contains('@')) {
            return Err(invalid(
                "it has an @ after its first /, ? or #: if these are in the password, write them \
                 as %2F, %3F and %23, and the @ as %40",
            ));
        }
        match scheme {
            "redis" | "rediss" => Ok(Self::Server(client(node(url)?, manner)?)),
            "redis+cluster" | "rediss+cluster" => cluster(scheme, rest, manner),
            "redis+sentinel" | "rediss+sentinel" => sentinel(scheme, rest, manner),
            _ => Err(invalid(
                "its scheme is not redis, rediss, redis+cluster, rediss+cluster, redis+sentinel \
                 or rediss+sentinel",
            )),
        }
    }

    /// Makes one connection.
    pub(crate) async fn connect(&self, timeout: Duration) -> RedisResult<Connection> {
        match self {
            Self::Server(client) => one(client, timeout).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(client) => Ok(Connection::Cluster(client.get_async_connection().await?)),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinels) => one(&sentinels.primary().await?, timeout).await,
            Self::Given(given) => Ok(Connection::Given(Arc::clone(given))),
        }
    }

    /// Whether connections to it are to be given up when they fail, and made anew by us.
    pub(crate) const fn is_ours_to_mend(&self) -> bool {
        matches!(self, Self::Server(_)) || self.is_sentinel()
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        #[cfg(feature = "cluster")]
        return matches!(self, Self::Cluster(_));
        #[cfg(not(feature = "cluster"))]
        false
    }

    const fn is_sentinel(&self) -> bool {
        #[cfg(feature = "sentinel")]
        return matches!(self, Self::Sentinel(_));
        #[cfg(not(feature = "sentinel"))]
        false
    }
}

impl fmt::Debug for Place {
    /// Names the kind of place, and no address: that may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => "Cluster",
            #[cfg(feature = "sentinel")]
            Self::Sentinel(_) => "Sentinel",
            Self::Given(_) => "Given",
        })
    }
}

async fn one(client: &Client, timeout: Duration) -> RedisResult<Connection> {
    // The time of an answer is bounded where the call is made: it counts the connecting too.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    Ok(Connection::One(connection))
}

impl Connection {
    pub(crate) async fn make(&mut self, call: &Call) -> RedisResult<Reply> {
        match self {
            Self::One(connection) => call.on(connection).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => call.on(connection).await,
            Self::Given(given) => given.make(call).await,
        }
    }

    /// What is worth a warning about the server. Not to be allowed to ask is no failure.
    pub(crate) async fn warnings(&mut self) -> Vec<RedisWarning> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let mut config = redis::cmd("CONFIG");
        config.arg("GET").arg("maxmemory-policy");
        // INFO first: where CONFIG is forbidden, as it is on most managed servers, asking for it
        // would leave a line in their log at each connection.
        for question in [info, config] {
            let answer = match self {
                Self::One(connection) => connection.req_packed_command(&question).await,
                #[cfg(feature = "cluster")]
                Self::Cluster(connection) => ask_all(connection, question).await,
                Self::Given(given) => given.ask(&question).await,
            };
            match answer.and_then(Value::extract_error) {
                Ok(answer) => match policy::judge(&answer) {
                    Some(warnings) => return warnings,
                    None => continue,
                },
                // The next call will find out by itself that the connection is lost.
                Err(error) if error.is_io_error() => return Vec::new(),
                Err(_) => continue,
            }
        }
        vec![RedisWarning::PolicyUnknown]
    }
}

/// Asks all primaries of a Cluster: each has its own policy.
#[cfg(feature = "cluster")]
async fn ask_all(
    connection: &mut redis::cluster_async::ClusterConnection,
    question: redis::Cmd,
) -> RedisResult<Value> {
    use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
    let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    connection.route_command(question, all).await
}

type Asked<'a, T> = Pin<Box<dyn Future<Output = RedisResult<T>> + Send + 'a>>;

/// A connection whose type the user chose.
pub(crate) trait Given: Send + Sync {
    fn make<'a>(&'a self, call: &'a Call) -> Asked<'a, Reply>;
    fn ask<'a>(&'a self, question: &'a redis::Cmd) -> Asked<'a, Value>;
}

impl<C: ConnectionLike + Clone + Send + Sync> Given for C {
    fn make<'a>(&'a self, call: &'a Call) -> Asked<'a, Reply> {
        let mut connection = self.clone();
        Box::pin(async move { call.on(&mut connection).await })
    }

    fn ask<'a>(&'a self, question: &'a redis::Cmd) -> Asked<'a, Value> {
        let mut connection = self.clone();
        Box::pin(async move { connection.req_packed_command(question).await })
    }
}

/// Answers as they come: calls are small, and each is waited for.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn node(url: &str) -> Result<ConnectionInfo, RedisStoreError> {
    let read = |url: &str| url.into_connection_info();
    let info = read(url).map_err(|error| match url.split_once('?') {
        // The client's error would quote it.
        Some((without, _)) if read(without).is_ok() => {
            invalid("its option protocol is not resp2 or resp3")
        }
        _ => invalid("it cannot be read").with_source(error),
    })?;
    Ok(info.set_tcp_settings(tcp()))
}

fn client(node: ConnectionInfo, manner: &Manner) -> Result<Client, RedisStoreError> {
    #[cfg(feature = "tls")]
    if let redis::ConnectionAddr::TcpTls { .. } = node.addr() {
        crate::tls::choose_provider();
        if let Some(certificates) = crate::tls::certificates(manner)? {
            return Client::build_with_tls(node, certificates)
                .map_err(RedisStoreError::from_client);
        }
    }
    let _ = manner;
    Client::open(node).map_err(RedisStoreError::from_client)
}

/// The nodes of `[user:password@]host[:port],host[:port]…`, each as a URL of its own, and what
/// follows the slash after them.
#[cfg(any(feature = "cluster", feature = "sentinel"))]
fn nodes<'a>(scheme: &str, rest: &'a str) -> (Vec<String>, Option<&'a str>) {
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, Some(path).filter(|path| !path.is_empty())),
        None => (rest, None),
    };
    // A password may hold an `@`.
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let scheme = scheme.split('+').next().unwrap_or(scheme);
    let nodes = hosts.split(',').map(|host| format!("{scheme}://{user}{host}")).collect();
    (nodes, path)
}

#[cfg(feature = "cluster")]
fn cluster(scheme: &str, rest: &str, manner: &Manner) -> Result<Place, RedisStoreError> {
    let (nodes, path) = nodes(scheme, rest);
    if path.is_some() {
        return Err(invalid("a Redis Cluster has no databases: nothing may follow its nodes"));
    }
    let nodes = nodes.iter().map(|url| node(url)).collect::<Result<Vec<_>, _>>()?;
    let builder = redis::cluster::ClusterClient::builder(nodes)
        .tcp_settings(tcp())
        // For one node. It waits for all of the URL, and then for all that these name; if one of them
        // is silent, all that has still to end within the whole time.
        .connection_timeout(manner.times.connect / 4)
        .response_timeout(manner.times.call)
        // Its own waits begin at 1.3 s, which is more than a whole call has.
        .min_retry_wait(20)
        .max_retry_wait(200);
    #[cfg(feature = "tls")]
    let builder = if scheme.starts_with("rediss") {
        crate::tls::choose_provider();
        match crate::tls::certificates(manner)? {
            Some(certificates) => builder.certs(certificates),
            None => builder,
        }
    } else {
        builder
    };
    builder.build().map(Place::Cluster).map_err(RedisStoreError::from_client)
}

#[cfg(not(feature = "cluster"))]
fn cluster(_scheme: &str, _rest: &str, _manner: &Manner) -> Result<Place, RedisStoreError> {
    Err(missing("cluster"))
}

#[cfg(feature = "sentinel")]
fn sentinel(scheme: &str, rest: &str, manner: &Manner) -> Result<Place, RedisStoreError> {
    use redis::sentinel::{SentinelClientBuilder, SentinelServerType};

    let (nodes, path) = nodes(scheme, rest);
    let (primary, database) = match path.map(|path| path.split_once('/').unwrap_or((path, ""))) {
        Some((primary, database)) if !primary.is_empty() => (primary, database),
        _ => {
            return Err(invalid(
                "after the sentinels there must be a slash and the primary's name",
            ));
        }
    };
    if path.is_some_and(|path| path.contains(['?', '#'])) {
        return Err(invalid("nothing may follow the primary's name and the database's number"));
    }
    let nodes = nodes.iter().map(|url| node(url)).collect::<Result<Vec<_>, _>>()?;
    let database: Option<i64> = match database {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid("its database is not a number"))?),
    };
    #[cfg(feature = "tls")]
    let certificates = if scheme.starts_with("rediss") {
        crate::tls::choose_provider();
        crate::tls::certificates(manner)?
    } else {
        None
    };
    let _ = manner;
    let client = |node: &ConnectionInfo| {
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new([node.addr().clone()], primary, kind)?
            .set_client_to_redis_tcp_settings(tcp());
        if let Some(username) = node.redis_settings().username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = node.redis_settings().password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(number) = database {
            builder = builder.set_client_to_redis_db(number);
        }
        #[cfg(feature = "tls")]
        if scheme.starts_with("rediss") {
            builder = builder
                .set_client_to_redis_tls_mode(redis::TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(redis::TlsMode::Secure);
            if let Some(certificates) = &certificates {
                builder = builder
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates.clone());
            }
        }
        builder.build()
    };
    let clients = nodes.iter().map(client).collect::<RedisResult<_>>();
    clients
        .map(|clients| Place::Sentinel(crate::sentinels::Sentinels::new(clients)))
        .map_err(RedisStoreError::from_client)
}

#[cfg(not(feature = "sentinel"))]
fn sentinel(_scheme: &str, _rest: &str, _manner: &Manner) -> Result<Place, RedisStoreError> {
    Err(missing("sentinel"))
}

fn invalid(why: &str) -> RedisStoreError {
    // Never the URL itself: it may hold a password.
    RedisStoreError::new(
        RedisStoreErrorKind::InvalidUrl,
        format!("the URL of Redis is wrong: {why}"),
    )
}

fn missing(feature: &str) -> RedisStoreError {
    RedisStoreError::new(
        RedisStoreErrorKind::FeatureMissing,
        format!("this URL of Redis needs the feature {feature:?} of dataflow-webhooks-redis"),
    )
}
