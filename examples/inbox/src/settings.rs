//! What the program is told by its environment about its queue and its worker.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use receiver::Failure;

pub(crate) const URL: &str = "QUEUE_URL";
pub(crate) const NAME: &str = "QUEUE_NAME";
const WORKERS: &str = "WORKERS";
const MAX_ATTEMPTS: &str = "MAX_ATTEMPTS";
const RETRY_AFTER: &str = "RETRY_AFTER";
const LEASE: &str = "LEASE";

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// The queue, and how it is worked on.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// `QUEUE_URL`: where the queue is.
    pub url: String,
    /// `QUEUE_NAME`: tells the queues of two webhooks apart that share a server.
    pub name: String,
    /// How its worker works.
    pub limits: Limits,
}

/// How a worker works.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// `WORKERS`: how many jobs run at once in one process.
    pub workers: usize,
    /// `MAX_ATTEMPTS`: after so many an event is given up on.
    pub max_attempts: u32,
    /// `RETRY_AFTER`: the pause after the first attempt.
    pub retry_after: Duration,
    /// `LEASE`: how long after the last sign of life of its worker a job goes to another.
    pub lease: Duration,
}

/// Not the URL: it may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// The queue of this URL, with everything else as where nothing is set.
    #[must_use]
    pub fn of(url: &str) -> Self {
        let limits = Limits {
            workers: 10,
            max_attempts: 10,
            retry_after: Duration::from_secs(10),
            lease: Duration::from_secs(30),
        };
        Self { url: url.to_owned(), name: "webhooks".to_owned(), limits }
    }

    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// A variable is wrong. The failure says the allowed range; exit code 2.
    pub fn from_env() -> Result<Self, Failure> {
        Self::read().map_err(Failure::in_configuration)
    }

    fn read() -> Result<Self, String> {
        let url = receiver::text(URL)?;
        let mut settings = Self::of(url.as_deref().unwrap_or("sqlite://inbox.db"));
        if let Some(name) = receiver::text(NAME)? {
            let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            if !(1..=64).contains(&name.len()) || !name.bytes().all(is_safe) {
                let allowed = "1 to 64 of the characters A-Z a-z 0-9 _ -";
                return Err(format!("{NAME} is {name:?}; it must be {allowed}"));
            }
            settings.name = name;
        }
        let limits = &mut settings.limits;
        limits.workers = number(WORKERS, limits.workers, 1, 10_000)?;
        limits.max_attempts = number(MAX_ATTEMPTS, limits.max_attempts, 1, 1_000)?;
        limits.retry_after = seconds(RETRY_AFTER, limits.retry_after, 0, 3_600)?;
        limits.lease = seconds(LEASE, limits.lease, 2, 3_600)?;
        Ok(settings)
    }
}

impl Limits {
    /// The pause after this attempt: twice as long each time, up to an hour.
    pub(crate) fn pause_after(&self, attempt: u32) -> Duration {
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
        self.retry_after.saturating_mul(factor).min(LONGEST_PAUSE)
    }
}

/// Why this URL is not one. Not a word of it: it may hold a password.
pub(crate) fn wrong_url(why: impl std::fmt::Display) -> Failure {
    Failure::in_configuration(format!("{URL}: {why}"))
}

fn seconds(name: &str, unset: Duration, least: u64, most: u64) -> Result<Duration, String> {
    number(name, unset.as_secs(), least, most).map(Duration::from_secs)
}

fn number<T>(name: &str, unset: T, least: T, most: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let Some(text) = receiver::text(name)? else { return Ok(unset) };
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| format!("{name} is {text:?}; it must be a number from {least} to {most}"))
}
