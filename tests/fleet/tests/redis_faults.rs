//! The store in Redis when Redis is away, slow, full, restarted or set up badly.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held, Terms};
use dataflow_webhooks_redis::{RedisStore, RedisStoreErrorKind as Kind, RedisWarning};
use webhook_fleet_tests::calls::{at_last, done, key, new_claim, redis_error, terms};
use webhook_fleet_tests::kept::free_port;
use webhook_fleet_tests::redis::Redis;
use webhook_tests::Stopwatch;

/// What a sender must be answered within, when the store is down.
const IN_TIME: Duration = Duration::from_millis(2_500);

#[tokio::test]
async fn a_killed_server_is_an_error_in_time_and_the_first_call_after_its_return_passes() {
    let mut server = Redis::start(&[]);
    let store = RedisStore::connect(&server.url(), "killed").await.unwrap();
    done(&store, "evt_done").await;
    let claim = new_claim(&store, "evt_held").await;

    server.kill();
    let begin = Stopwatch::start();
    for _ in 0..3 {
        let error = redis_error(store.claim(&key("evt_1"), terms()).await);
        assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
    }
    assert!(begin.ran() < 3 * IN_TIME);

    server.restart();
    assert_eq!(store.claim(&key("evt_done"), terms()).await.unwrap(), ClaimOutcome::Done);
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
    done(&store, "evt_1").await;
}

/// Nobody called while it was away, so the dead connection is still the one in use.
#[tokio::test]
async fn a_restart_that_nobody_noticed_costs_no_call() {
    let mut server = Redis::start(&[]);
    let store = RedisStore::connect(&server.url(), "restarted").await.unwrap();
    done(&store, "evt_1").await;
    for _ in 0..5 {
        server.restart();
        assert_eq!(store.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done);
    }
}

#[tokio::test]
async fn a_closed_connection_costs_no_call() {
    let server = Redis::start(&[]);
    let store = RedisStore::connect(&server.url(), "closed").await.unwrap();
    for number in 0..5 {
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        done(&store, &format!("evt_{number}")).await;
    }
}

#[tokio::test]
async fn a_lazy_store_starts_without_a_server_and_works_once_it_is_there() {
    let mut server = Redis::start(&[]);
    server.kill();
    let error = RedisStore::connect(&server.url(), "lazy").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let store = RedisStore::connect_lazy(&server.url(), "lazy").unwrap();
    assert_eq!(redis_error(store.claim(&key("evt_1"), terms()).await).kind(), Kind::Unreachable);
    server.restart();
    done(&store, "evt_1").await;
}

#[tokio::test]
async fn a_manager_of_ones_own_works_again_with_the_first_call() {
    let mut server = Redis::start(&[]);
    let client = redis::Client::open(server.url()).unwrap();
    let manager = client.get_connection_manager().await.unwrap();
    let store = RedisStore::builder("manager").with_connection(manager).unwrap();
    done(&store, "evt_1").await;
    server.kill();
    let begin = Stopwatch::start();
    redis_error(store.claim(&key("evt_2"), terms()).await);
    assert!(begin.ran() < IN_TIME);
    server.restart();
    let _ = at_last(async || store.claim(&key("evt_2"), terms()).await).await;
    for _ in 0..3 {
        server.restart();
        assert_eq!(store.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_in_time() {
    let server = Redis::start(&[]);
    let store = RedisStore::connect(&server.url(), "slow").await.unwrap();
    done(&store, "evt_1").await;
    server.cli_in_background(&["DEBUG", "SLEEP", "4"]);
    // It may take redis-cli a moment until it is said.
    let (begin, error) = loop {
        let begin = Stopwatch::start();
        if let Err(error) = store.claim(&key("evt_1"), terms()).await {
            break (begin, redis_error(Err::<(), _>(error)));
        }
    };
    assert_eq!(error.kind(), Kind::TimedOut, "{error:?}");
    assert!(begin.ran() < IN_TIME, "{:?}", begin.ran());
    let answer = at_last(async || store.claim(&key("evt_1"), terms()).await).await;
    assert_eq!(answer, ClaimOutcome::Done);
}

/// As when the machine is gone: nothing is refused, nothing is answered.
#[tokio::test]
async fn a_server_that_is_gone_without_a_word_is_left_behind() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let store = RedisStore::connect_lazy(&url, "gone").unwrap();
    let begin = Stopwatch::start();
    let error = redis_error(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::TimedOut, "{error:?}");
    assert!(begin.ran() < IN_TIME, "{:?}", begin.ran());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_share_one_attempt_to_connect() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let builder = RedisStore::builder("at-once").connect_timeout(Duration::from_millis(100));
    let store = builder.connect_lazy(&url).unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..50 {
        let store = store.clone();
        calls.spawn(async move { store.claim(&key(&format!("evt_{number}")), terms()).await });
    }
    for answer in calls.join_all().await {
        assert_eq!(redis_error(answer).kind(), Kind::TimedOut);
    }
    listener.set_nonblocking(true).unwrap();
    let attempts = listener.incoming().map_while(Result::ok).count();
    // A few may have come when the first had ended.
    assert!((1..=5).contains(&attempts), "{attempts} attempts");
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = Redis::start(&[]);
    let store = RedisStore::connect(&server.url(), "flushed").await.unwrap();
    server.cli(&["SCRIPT", "FLUSH"]);
    let claim = new_claim(&store, "evt_1").await;
    server.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::Yes);
    server.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
    server.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::No);
    server.cli(&["SCRIPT", "FLUSH"]);
    store.forget(&key("evt_1")).await.unwrap();
    assert_eq!(new_claim(&store, "evt_1").await.epoch(), 2);
}

#[tokio::test]
async fn a_full_server_refuses_and_works_again_when_there_is_room() {
    let server = Redis::start(&["--appendonly", "no", "--maxmemory-policy", "noeviction"]);
    let store = RedisStore::connect(&server.url(), "full").await.unwrap();
    assert_eq!(store.warnings(), []);
    done(&store, "evt_done").await;
    let claim = new_claim(&store, "evt_held").await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(redis_error(store.claim(&key("evt_1"), terms()).await).kind(), Kind::Full);
    assert_eq!(redis_error(store.commit(&claim, terms()).await).kind(), Kind::Full);
    // What needs no room is answered.
    assert_eq!(store.claim(&key("evt_done"), terms()).await.unwrap(), ClaimOutcome::Done);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
    done(&store, "evt_1").await;
}

#[tokio::test]
async fn a_server_that_may_evict_is_warned_of() {
    let server = Redis::start(&["--maxmemory-policy", "volatile-lru"]);
    let logged = Log::default();
    let _guard = logged.collect();
    let store = RedisStore::connect(&server.url(), "evicting").await.unwrap();
    let [RedisWarning::MayEvict { policy, .. }] = &store.warnings()[..] else {
        panic!("{:?}", store.warnings());
    };
    assert_eq!(policy, "volatile-lru");
    let text = logged.text();
    assert!(text.contains("WARN") && text.contains("volatile-lru") && text.contains("evicting"));
    // Mended, and connected to anew.
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    done(&store, "evt_1").await;
    assert_eq!(store.warnings(), []);
}

#[tokio::test]
async fn the_policy_is_read_where_info_is_forbidden_and_unknown_where_both_are() {
    let server = Redis::start(&["--maxmemory-policy", "allkeys-lru"]);
    let user = |name: &str, rules: &[&str]| {
        let mut command = vec!["ACL", "SETUSER", name, "on", ">pa55word", "~dfwh:*"];
        command.extend(["+@read", "+@write", "+@connection", "+@scripting", "+time"]);
        command.extend(rules);
        assert_eq!(server.cli(&command), "OK");
    };
    user("config", &["-info", "+config|get"]);
    user("info", &["+info"]);
    user("neither", &["-info", "-config"]);
    let warnings = async |name: &str| {
        let url = format!("redis://{name}:pa55word@127.0.0.1:{}", server.port());
        let store = RedisStore::connect(&url, "acl").await.unwrap();
        done(&store, &format!("evt_{name}")).await;
        store.warnings()
    };
    for name in ["config", "info"] {
        let found = warnings(name).await;
        assert!(matches!(&found[..], [RedisWarning::MayEvict { .. }]), "{name}: {found:?}");
    }
    assert_eq!(warnings("neither").await, [RedisWarning::PolicyUnknown]);
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let server = Redis::start(&["--requirepass", "right-pa55word"]);
    let port = server.port();
    let wrong = format!("redis://user-of-mine:wrong-pa55word@127.0.0.1:{port}");
    let error = RedisStore::connect(&wrong, "password").await.unwrap_err();
    assert_eq!(error.kind(), Kind::AccessDenied, "{error:?}");
    assert_silent(&error);
    let none = RedisStore::connect(&format!("redis://127.0.0.1:{port}"), "password").await;
    assert_eq!(none.err().map(|error| error.kind()), None, "connecting needs no password");
    let right = format!("redis://:right-pa55word@127.0.0.1:{port}");
    done(&RedisStore::connect(&right, "password").await.unwrap(), "evt_1").await;
}

#[tokio::test]
async fn nothing_shows_the_url() {
    for scheme in ["redis", "redis+cluster", "redis+sentinel", "rediss"] {
        let url = format!(
            "{scheme}://user-of-mine:wrong-pa55word@127.0.0.1:{}{}",
            free_port(),
            if scheme == "redis+sentinel" { "/name" } else { "" }
        );
        let store = RedisStore::connect_lazy(&url, "silent").unwrap();
        assert_silent_text(&format!("{store:?}"));
        assert_silent(&redis_error(store.claim(&key("evt_1"), terms()).await));
        let builder = RedisStore::builder("silent");
        assert_silent_text(&format!("{builder:?}"));
    }
    for url in ["redis://user-of-mine:wrong-pa55word@127.0.0.1:x", "user-of-mine:wrong-pa55word"] {
        assert_silent(&RedisStore::connect_lazy(url, "silent").unwrap_err());
    }
}

#[tokio::test]
async fn an_error_leads_to_its_source() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let error = RedisStore::connect(&url, "source").await.unwrap_err();
    let mut source: Option<&(dyn Error + 'static)> = Some(&error);
    let mut found = false;
    while let Some(error) = source {
        // The client keeps its own source in an Arc.
        found |= error.to_string().contains("Connection refused")
            || error.downcast_ref::<io::Error>().is_some();
        source = error.source();
    }
    assert!(found, "{error:?}");
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_store_working() {
    let server = Redis::start(&[]);
    let store = RedisStore::connect_lazy(&server.url(), "dropped").unwrap();
    for number in 0..20 {
        let id = key(&format!("evt_{number}"));
        let short = Terms::new(Duration::from_millis(1), Duration::from_secs(60));
        let wait = Duration::from_micros(50 * number);
        let _ = tokio::time::timeout(wait, store.claim(&id, short)).await;
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let answer = store.claim(&id, terms()).await.unwrap();
        assert!(matches!(answer, ClaimOutcome::New(_)), "{number}: {answer:?}");
    }
}

fn assert_silent(error: &(dyn Error + 'static)) {
    let mut at = Some(error);
    while let Some(error) = at {
        assert_silent_text(&format!("{error} {error:?}"));
        at = error.source();
    }
}

fn assert_silent_text(text: &str) {
    for hidden in ["pa55word", "user-of-mine", "127.0.0.1"] {
        assert!(!text.contains(hidden), "{text}");
    }
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let writer = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
        tracing::subscriber::set_default(writer.finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
