//! The store on a primary that sentinels name, and move.

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_redis::{RedisStore, RedisStoreErrorKind as Kind};
use std::net::TcpListener;
use std::time::Duration;
use webhook_fleet_tests::calls::{at_last, done, key, new_claim, redis_error, terms};
use webhook_fleet_tests::gone::Gone;
use webhook_fleet_tests::redis::Sentinels;
use webhook_fleet_tests::tests_unless_stalled;
use webhook_tests::Stopwatch;

tests_unless_stalled![
    a_failover_is_followed_and_what_was_replicated_is_still_there,
    a_database_is_chosen_and_an_unknown_primary_is_an_error,
    a_sentinel_that_is_silent_does_not_hide_the_others,
    a_sentinel_whose_machine_is_gone_keeps_nobody_from_the_primary,
    the_rights_in_the_documentation_are_enough,
];

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
    let begin = Stopwatch::start();
    let error = redis_error(store.claim(&key("evt_1"), terms()).await);
    assert!(begin.ran() < Duration::from_millis(2_500), "{:?}", begin.ran());
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

/// As when the machine of the primary and of that sentinel has lost its power.
async fn a_sentinel_that_is_silent_does_not_hide_the_others() {
    let servers = Sentinels::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts = format!("redis+sentinel://{},", silent.local_addr().unwrap());
    let url = servers.url().replace("redis+sentinel://", &hosts);
    let store = RedisStore::connect(&url, "silent").await.unwrap();
    done(&store, "evt_1").await;
}

/// The machine with the primary may have had the first sentinel as well.
async fn a_sentinel_whose_machine_is_gone_keeps_nobody_from_the_primary() {
    let (servers, gone) = (Sentinels::start(), Gone::new().await);
    let begin = format!("redis+sentinel://{},", gone.address());
    let url = servers.url().replace("redis+sentinel://", &begin);
    let store = RedisStore::connect(&url, "sentinel-gone").await.unwrap();
    done(&store, "evt_1").await;
}

async fn the_rights_in_the_documentation_are_enough() {
    let servers = Sentinels::start();
    let user = servers.primary.url_with_rights(&["+role"]);
    let (user, _) = user.split_once('@').unwrap();
    let begin = format!("{}@", user.replace("redis://", "redis+sentinel://"));
    let url = servers.url().replace("redis+sentinel://", &begin);
    done(&RedisStore::connect(&url, "rights").await.unwrap(), "evt_1").await;
}
