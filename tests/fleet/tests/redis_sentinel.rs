//! The store on a primary that sentinels name, and move.

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_redis::{RedisStore, RedisStoreErrorKind as Kind};
use std::time::{Duration, Instant};
use webhook_fleet_tests::calls::{at_last, done, key, new_claim, redis_error, terms};
use webhook_fleet_tests::redis::Sentinels;

#[tokio::test]
async fn a_failover_is_followed_and_what_was_replicated_is_still_there() {
    let mut servers = Sentinels::start();
    let store = RedisStore::connect(&servers.url(), "failover").await.unwrap();
    let waiting = RedisStore::builder("failover").wait(1, Duration::from_millis(1_000));
    let waiting = waiting.connect(&servers.url()).await.unwrap();
    let claim = new_claim(&waiting, "evt_done").await;
    assert_eq!(waiting.commit(&claim, terms()).await.unwrap(), Held::Yes);
    // The commit that waits has taken with it what was written before.
    let held = new_claim(&store, "evt_held").await;
    let marker = new_claim(&waiting, "evt_marker").await;
    assert_eq!(waiting.commit(&marker, terms()).await.unwrap(), Held::Yes);

    servers.primary.kill();
    let begin = Instant::now();
    let error = redis_error(store.claim(&key("evt_1"), terms()).await);
    assert!(begin.elapsed() < Duration::from_millis(2_500), "{:?}", begin.elapsed());
    assert!(matches!(error.kind(), Kind::Unreachable | Kind::TimedOut), "{error:?}");

    let answer = at_last(async || store.claim(&key("evt_1"), terms()).await).await;
    assert!(matches!(answer, ClaimOutcome::New(_)), "{answer:?}");
    assert_eq!(store.commit(&held, terms()).await.unwrap(), Held::Yes);
    assert_eq!(store.claim(&key("evt_done"), terms()).await.unwrap(), ClaimOutcome::Done);
    assert!(servers.replica.cli(&["ROLE"]).starts_with("master"));

    // The old primary comes back as a replica; the store stays with the new one.
    servers.until_all_name(&servers.replica);
    servers.primary.restart();
    servers.primary.until(&["ROLE"], "slave");
    done(&store, "evt_2").await;
    assert!(servers.replica.cli(&["GET", "dfwh:failover:id:evt_2"]).starts_with("D|"));
}

#[tokio::test]
async fn a_database_is_chosen_and_an_unknown_primary_is_an_error() {
    let servers = Sentinels::start();
    let store = RedisStore::connect(&format!("{}/3", servers.url()), "database").await.unwrap();
    done(&store, "evt_1").await;
    let get = ["-n", "3", "GET", "dfwh:database:id:evt_1"];
    assert!(servers.primary.cli(&get).starts_with("D|"));
    let unknown = servers.url().replace(Sentinels::NAME, "unknown");
    let error = RedisStore::connect(&unknown, "database").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
}
