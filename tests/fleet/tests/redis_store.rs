//! What the store in Redis promises beyond the contract of all stores, on one server.

use std::sync::LazyLock;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, ClaimOutcome, DedupStore as _, Held, Terms};
use dataflow_webhooks_redis::{RedisStore, RedisStoreBuilder, RedisStoreErrorKind as Kind};
use webhook_fleet_tests::calls::{
    done, each_event_has_one_winner, key, new_claim, redis_error, terms,
};
use webhook_fleet_tests::redis::Redis;
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![an_entry_takes_what_the_documentation_says,];

/// For all that does not disturb it.
static SERVER: LazyLock<Redis> = LazyLock::new(|| Redis::start(&["--appendonly", "no"]));

async fn store(scope: &str) -> RedisStore {
    RedisStore::connect(&SERVER.url(), scope).await.unwrap()
}

#[tokio::test]
async fn two_scopes_never_see_each_other() {
    let (one, other) = (store("orders").await, store("orders2").await);
    done(&one, "evt_scopes").await;
    let claim = new_claim(&other, "evt_scopes").await;
    assert_eq!(claim.epoch(), 1);
    other.forget(&key("evt_scopes")).await.unwrap();
    assert_eq!(one.claim(&key("evt_scopes"), terms()).await.unwrap(), ClaimOutcome::Done);
}

#[tokio::test]
async fn two_prefixes_never_see_each_other() {
    let one = store("prefixes").await;
    let builder = RedisStore::builder("prefixes").prefix("elsewhere");
    let other = builder.connect(&SERVER.url()).await.unwrap();
    done(&one, "evt_1").await;
    new_claim(&other, "evt_1").await;
}

#[tokio::test]
async fn clones_and_processes_share_their_records() {
    let (one, other) = (store("shared").await, store("shared").await);
    let claim = new_claim(&one, "evt_1").await;
    assert_eq!(other.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::InFlight);
    assert_eq!(other.clone().commit(&claim, terms()).await.unwrap(), Held::Yes);
    assert_eq!(one.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done);
}

#[test]
fn a_scope_is_a_plain_name() {
    let long = "x".repeat(65);
    for scope in ["", " ", "a:b", "a b", "{a}", "a\n", "ä", "a*", "a/b", &long] {
        let error = RedisStore::connect_lazy("redis://127.0.0.1", scope).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidName, "{scope:?}");
        let error = RedisStore::builder("x").prefix(scope).connect_lazy("redis://127.0.0.1");
        assert_eq!(error.unwrap_err().kind(), Kind::InvalidName, "{scope:?}");
    }
    for scope in ["a", "Orders.eu-1_x", &"x".repeat(64)] {
        RedisStore::connect_lazy("redis://127.0.0.1", scope).unwrap();
    }
}

#[test]
fn options_outside_their_ranges_are_refused() {
    let built = |change: fn(RedisStoreBuilder) -> RedisStoreBuilder| {
        let builder = change(RedisStore::builder("x"));
        builder.connect_lazy("redis://127.0.0.1").map(drop).map_err(|error| error.kind())
    };
    assert_eq!(built(|b| b), Ok(()));
    let wrong = Err(Kind::InvalidOption);
    assert_eq!(built(|b| b.call_timeout(Duration::from_millis(9))), wrong);
    assert_eq!(built(|b| b.call_timeout(Duration::from_millis(1_901))), wrong);
    assert_eq!(built(|b| b.connect_timeout(Duration::from_millis(9))), wrong);
    assert_eq!(built(|b| b.connect_timeout(Duration::from_millis(2_001))), wrong);
    assert_eq!(built(|b| b.wait(0, Duration::from_millis(100))), wrong);
    assert_eq!(built(|b| b.wait(1, Duration::ZERO)), wrong);
    assert_eq!(built(|b| b.wait(1, Duration::from_millis(1_500))), wrong);
    assert_eq!(built(|b| b.wait(1, Duration::from_millis(1_499))), Ok(()));
    let cluster = RedisStore::builder("x").wait(1, Duration::from_millis(100));
    let error = cluster.connect_lazy("redis+cluster://127.0.0.1").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidOption);
}

#[test]
fn a_url_that_is_none_is_refused() {
    for url in [
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1",
        "postgres://127.0.0.1",
        "redis://",
        "redis+cluster://",
        "redis+cluster://a:1/2",
        "redis+sentinel://127.0.0.1:26379",
        "redis+sentinel://127.0.0.1:26379/",
        "redis+sentinel://127.0.0.1/name/x",
        "redis://127.0.0.1/x",
        "redis://127.0.0.1:99999",
    ] {
        let error = RedisStore::connect_lazy(url, "urls").unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidUrl, "{url}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_clients_at_once_each_event_has_one_winner() {
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(store("winners").await);
    }
    each_event_has_one_winner((8, 120, 60), &stores).await;
}

#[tokio::test]
async fn a_record_goes_away_after_the_retention() {
    let store = store("expiry").await;
    let short = Terms::new(Duration::from_millis(50), Duration::from_millis(150));
    let ClaimOutcome::New(claim) = store.claim(&key("evt_1"), short).await.unwrap() else {
        panic!("it is new");
    };
    assert_eq!(SERVER.cli(&["EXISTS", "dfwh:expiry:id:evt_1"]), "1");
    assert_eq!(store.commit(&claim, short).await.unwrap(), Held::Yes);
    SERVER.until(&["EXISTS", "dfwh:expiry:id:evt_1"], "0");
}

#[tokio::test]
async fn a_record_is_kept_for_the_retention_and_no_longer() {
    let store = store("ttl").await;
    let claim = new_claim(&store, "evt_1").await;
    let left = || SERVER.cli(&["PTTL", "dfwh:ttl:id:evt_1"]).parse::<u64>().unwrap();
    let day = 24 * 60 * 60 * 1000;
    assert!((day - 60_000..=day).contains(&left()), "{}", left());
    let week = Terms::new(Duration::from_secs(30), Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(store.commit(&claim, week).await.unwrap(), Held::Yes);
    assert!((7 * day - 60_000..=7 * day).contains(&left()), "{}", left());
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
    store.forget(&key("evt_1")).await.unwrap();
    assert!((7 * day - 60_000..=7 * day).contains(&left()), "{}", left());
}

#[tokio::test]
async fn terms_of_any_length_are_taken() {
    let store = store("lengths").await;
    let longest = Terms::new(Duration::MAX, Duration::MAX);
    let ClaimOutcome::New(claim) = store.claim(&key("evt_1"), longest).await.unwrap() else {
        panic!("it is new");
    };
    assert_eq!(store.claim(&key("evt_1"), longest).await.unwrap(), ClaimOutcome::InFlight);
    assert_eq!(store.renew(&claim, longest).await.unwrap(), Held::Yes);
    assert_eq!(store.commit(&claim, longest).await.unwrap(), Held::Yes);
    let shortest = Terms::new(Duration::ZERO, Duration::ZERO);
    assert!(matches!(store.claim(&key("evt_2"), shortest).await.unwrap(), ClaimOutcome::New(_)));
}

#[tokio::test]
async fn epochs_go_on_past_what_a_script_prints_by_itself() {
    let store = store("epochs").await;
    let high = 1_u64 << 52;
    SERVER.cli(&["SET", "dfwh:epochs:id:evt_1", &format!("R|{high}|0"), "PX", "600000"]);
    let claim = new_claim(&store, "evt_1").await;
    assert_eq!(claim.epoch(), high + 1);
    let near = Claim::new(key("evt_1"), high + 2);
    assert_eq!(store.commit(&near, terms()).await.unwrap(), Held::No);
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
    // Lua's numbers cannot tell these two apart.
    SERVER.cli(&["SET", "dfwh:epochs:id:evt_1", &format!("C|{}|0", 1_u64 << 53), "PX", "600000"]);
    let next = Claim::new(key("evt_1"), (1 << 53) + 1);
    assert_eq!(store.commit(&next, terms()).await.unwrap(), Held::No);
}

#[tokio::test]
async fn a_value_that_is_no_record_is_an_error_and_stays() {
    let store = store("strange").await;
    SERVER.cli(&["SET", "dfwh:strange:id:evt_1", "hello"]);
    SERVER.cli(&["RPUSH", "dfwh:strange:id:evt_2", "hello"]);
    for id in ["evt_1", "evt_2"] {
        let error = redis_error(store.claim(&key(id), terms()).await);
        assert_eq!(error.kind(), Kind::NotARecord, "{error:?}");
        let error = redis_error(store.commit(&Claim::new(key(id), 1), terms()).await);
        assert_eq!(error.kind(), Kind::NotARecord, "{error:?}");
    }
    assert_eq!(SERVER.cli(&["GET", "dfwh:strange:id:evt_1"]), "hello");
}

#[tokio::test]
async fn a_connection_of_ones_own_is_taken() {
    let client = redis::Client::open(SERVER.url()).unwrap();
    let manager = client.get_connection_manager().await.unwrap();
    let store = RedisStore::builder("own").with_connection(manager).unwrap();
    done(&store, "evt_1").await;
    assert_eq!(store.warnings(), []);
    let plain = client.get_multiplexed_async_connection().await.unwrap();
    let store = RedisStore::builder("own").with_connection(plain).unwrap();
    assert_eq!(store.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done);
}

#[tokio::test]
async fn the_rights_in_the_documentation_are_enough() {
    let server = Redis::start(&["--appendonly", "no"]);
    let url = server.url_with_rights(&[]);
    let store = RedisStore::connect(&url, "rights").await.unwrap();
    done(&store, "evt_1").await;
    let claim = new_claim(&store, "evt_2").await;
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::Yes);
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::Yes);
    store.forget(&key("evt_1")).await.unwrap();
}

/// The figure in the crate's documentation.
async fn an_entry_takes_what_the_documentation_says() {
    let server = Redis::start(&["--appendonly", "no"]);
    let store = RedisStore::connect(&server.url(), "orders").await.unwrap();
    let used = || {
        let info = server.cli(&["INFO", "memory"]);
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    // The tables of 16 384 entries are there before and after.
    let entries = 8_000;
    let load = async |from: usize| {
        for number in from..from + entries {
            done(&store, &format!("evt_{number:028}")).await;
        }
    };
    load(0).await;
    let before = used();
    load(entries).await;
    let each = (used() - before) / entries;
    eprintln!("{each} bytes for each entry");
    assert!((100..=185).contains(&each), "{each} bytes");
}
