//! Owns what is known of a server that refuses connections.
//!
//! A pool tries a server that refuses again and again, until the time of the call is over: it takes
//! it for one that starts up. A delivery waits for nothing meanwhile. So here somebody knocks when
//! opening a connection takes long, and while the server is known to refuse nobody else asks it.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

/// Opening a connection may take so long before the server is asked whether it refuses.
const SOON: Duration = Duration::from_millis(50);
/// The least time from one knock to the next, whoever asks.
const PAUSE: Duration = Duration::from_millis(100);
/// A server that is silent for so long does not refuse.
const SILENT: Duration = Duration::from_millis(500);

/// The server's door.
#[derive(Default)]
pub(super) struct Door {
    is_shut: AtomicBool,
    /// How many knocks have begun.
    begun: AtomicU64,
    /// Held by the one who knocks.
    last: Mutex<Knock>,
}

#[derive(Default)]
struct Knock {
    began: Option<Instant>,
    /// Whether the server refused; `None` when nobody waited for its answer.
    is_refused: Option<bool>,
}

impl Door {
    /// Where the server is known to refuse, asks whether it still does.
    pub(super) async fn pass(&self, pool: &PgPool) -> sqlx::Result<()> {
        if self.is_shut.load(Ordering::Acquire) && self.refuses(pool).await {
            return Err(refused());
        }
        Ok(())
    }

    /// What opening a connection comes to, unless the server turns out to refuse.
    pub(super) async fn unless_refused<T>(
        &self,
        pool: &PgPool,
        opening: impl Future<Output = sqlx::Result<T>>,
    ) -> sqlx::Result<T> {
        let (mut opening, mut refuses) = (pin!(opening), pin!(self.refuses(pool)));
        if let Ok(opened) = timeout(SOON, &mut opening).await {
            return opened;
        }
        let first = poll_fn(|context| match opening.as_mut().poll(context) {
            Poll::Ready(opened) => Poll::Ready(Some(opened)),
            Poll::Pending => {
                refuses.as_mut().poll(context).map(|refuses| refuses.then(|| Err(refused())))
            }
        });
        match first.await {
            Some(end) => end,
            None => opening.await,
        }
    }

    /// The answer of a knock that began after this call. All that wait share one.
    async fn refuses(&self, pool: &PgPool) -> bool {
        let begun = self.begun.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if self.begun.load(Ordering::Acquire) != begun
            && let Some(is_refused) = last.is_refused
        {
            return is_refused;
        }
        if let Some(began) = last.began {
            sleep_until(began + PAUSE).await;
        }
        self.begun.fetch_add(1, Ordering::AcqRel);
        *last = Knock { began: Some(Instant::now()), is_refused: None };
        let answer = timeout(SILENT, knock(&pool.connect_options())).await;
        let is_refused = matches!(answer, Ok(Err(error)) if is_refusal(&error));
        last.is_refused = Some(is_refused);
        self.is_shut.store(is_refused, Ordering::Release);
        is_refused
    }
}

/// A connection without a word on it, which leaves no line in the server's log.
async fn knock(options: &PgConnectOptions) -> io::Result<()> {
    match socket(options) {
        #[cfg(unix)]
        Some(socket) => tokio::net::UnixStream::connect(socket).await.map(drop),
        #[cfg(not(unix))]
        Some(_) => Ok(()),
        None => TcpStream::connect((options.get_host(), options.get_port())).await.map(drop),
    }
}

/// Where on this machine the server listens, if it is not at a host.
fn socket(options: &PgConnectOptions) -> Option<String> {
    let (host, port) = (options.get_host(), options.get_port());
    let folder = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None if host.starts_with('/') => host.to_owned(),
        None => return None,
    };
    Some(format!("{folder}/.s.PGSQL.{port}"))
}

/// Where these options lead, for a person. No user, and no password.
pub(super) fn place(options: &PgConnectOptions) -> String {
    socket(options).unwrap_or_else(|| format!("{}:{}", options.get_host(), options.get_port()))
}

fn refused() -> sqlx::Error {
    io::Error::from(ErrorKind::ConnectionRefused).into()
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionRefused
}

/// Whether the server refused a connection, as it does where nothing listens.
pub(super) fn is_refused(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if is_refusal(error))
}
