//! A password that is written into a URL as it is: whatever becomes of it, no error, log or `Debug`
//! shows a piece of it.

use std::error::Error;
use std::fmt::Debug;

use dataflow_webhooks::DedupStore;
use dataflow_webhooks_redis::RedisStore;
use dataflow_webhooks_sqlx::PostgresStore;
use inbox::Settings;
use inbox::queue::Queue;
use receiver::in_full;
use tokio::task::JoinSet;
use webhook_fleet_tests::calls::{key, terms};
use webhook_tests::Log;

/// Each with a character, or several, that should be percent-encoded. What stands before the first
/// one can be taken for a port, what stands after it for an option.
const PASSWORDS: &[&str] = &[
    "zqxj?vkwy",
    "6173?vkwy=zqxj",
    "6173?sslmode=zqxj",
    "6173?port=zqxjv",
    "6173?protocol=zqxj",
    "6173?options[zqxj]=vkwy",
    "zqxj#vkwy",
    "6173#vkwy",
    "zqxj/vkwy",
    "6173/vkwy/zqxj",
    "6173/8249",
    "zqxj@vkwy",
    "zqxj@6173",
    "zqxj@vkwy?wyqz@xjkv",
    "zqxj%vkwy",
    "zqxj%FFvkwy",
    "zqxj%3Fvkwy",
    "zqxj:vkwy",
    "zqxj vkwy",
    "[zqxj]vkwy",
    "zqxj,vkwy@wyqz",
];

/// URLs with a password. Nothing listens on port 1.
const URLS: &[&str] = &[
    "postgres://app:PASSWORD@127.0.0.1:1/none",
    "postgres://PASSWORD@127.0.0.1:1/none",
    "postgres://app@127.0.0.1:1/none?password=PASSWORD",
    "postgres://app@127.0.0.1:1/none?sslpassword=PASSWORD",
    "postgres://app@127.0.0.1:1/none?sslmode=PASSWORD",
    "postgres://app@127.0.0.1:1/none?port=PASSWORD",
    "postgres://app@127.0.0.1:1/none?PASSWORD=1",
    "postgres://app@127.0.0.1:1/none?PASSWORD",
    "redis://:PASSWORD@127.0.0.1:1",
    "redis://app:PASSWORD@127.0.0.1:1/0",
    "redis://127.0.0.1:1?protocol=PASSWORD",
    "rediss://:PASSWORD@127.0.0.1:1",
    "redis+cluster://:PASSWORD@127.0.0.1:1,127.0.0.1:2",
    "redis+sentinel://:PASSWORD@127.0.0.1:1,127.0.0.1:2/primary",
    "redis+sentinel://127.0.0.1:1/primary?PASSWORD",
    "nats://app:PASSWORD@127.0.0.1:1",
    "nats://PASSWORD@127.0.0.1:1",
    "tls://app:PASSWORD@127.0.0.1:1",
];

/// All that a person is told: by the making of the store or the queue, and by a call of it.
async fn told(url: String) -> String {
    fn made<S: Debug, E: Error>(made: &Result<S, E>) -> String {
        let why = made.as_ref().err().map(|error| in_full(error));
        format!("{made:?} {why:?}")
    }
    async fn called(store: &impl DedupStore) -> String {
        let error = store.claim(&key("evt_1"), terms()).await.unwrap_err();
        format!("{error:?} {}", in_full(&*error))
    }
    let settings = Settings::of(&url);
    let queued = match url.split_once("://") {
        Some(("postgres" | "nats" | "tls", _)) => made(&Queue::open(&settings).await),
        _ => String::new(),
    };
    let stored = match url.split_once("://") {
        Some(("postgres", _)) => match PostgresStore::connect_lazy(&url, "orders") {
            Ok(store) => format!("{store:?} {}", called(&store).await),
            wrong => made(&wrong),
        },
        Some(("nats" | "tls", _)) => String::new(),
        _ => match RedisStore::connect_lazy(&url, "orders") {
            Ok(store) => format!("{store:?} {}", called(&store).await),
            wrong => made(&wrong),
        },
    };
    format!("{settings:?} {queued} {stored}")
}

/// The pieces of 4 characters, but for the names of options, which may be shown.
fn pieces(password: &str) -> Vec<String> {
    let characters: Vec<_> = password.chars().collect();
    let is_name = |piece: &str| {
        ["port", "sslmode", "protocol", "options"].iter().any(|name| name.contains(piece))
    };
    let pieces = characters.windows(4).map(|piece| piece.iter().collect::<String>());
    pieces.filter(|piece| !is_name(piece)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_piece_of_a_password_is_shown_however_it_is_written() {
    let log = Log::capture_all();
    let mut tries = JoinSet::new();
    for password in PASSWORDS {
        for url in URLS {
            let written = url.replace("PASSWORD", password);
            tries.spawn(async move { (*url, *password, told(written).await) });
        }
    }
    let told = tries.join_all().await;
    let log = log.text();
    assert_eq!(told.len(), URLS.len() * PASSWORDS.len());
    let shown: Vec<_> = PASSWORDS
        .iter()
        .flat_map(|password| pieces(password))
        // The log has times, too.
        .filter(|piece| piece.contains(char::is_alphabetic))
        .flat_map(|piece| log.lines().filter(move |line| line.contains(&piece)))
        .map(str::to_owned)
        .chain(told.into_iter().filter_map(|(url, password, told)| {
            let shown = pieces(password).into_iter().any(|piece| told.contains(&piece));
            shown.then(|| format!("{url}, {password}: {told}"))
        }))
        .collect();
    assert!(shown.is_empty(), "{} times: {}", shown.len(), shown.join("\n"));
}
