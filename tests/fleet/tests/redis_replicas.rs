//! The store in Redis with a primary that has replicas: commits that wait for them.

use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_redis::{RedisStore, RedisStoreErrorKind as Kind};
use tokio::task::JoinSet;
use webhook_fleet_tests::calls::{at_last, done, key, new_claim, redis_error, terms};
use webhook_fleet_tests::redis::{Redis, replica_of};
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![claims_do_not_stand_behind_a_commit_that_waits,];

#[tokio::test]
async fn a_commit_waits_for_replicas_and_says_when_too_few_have_it() {
    let primary = Redis::start(&[]);
    let mut replica = replica_of(&primary);
    let builder = RedisStore::builder("waiting").wait(1, Duration::from_millis(300));
    let store = builder.connect(&primary.url()).await.unwrap();
    let claim = new_claim(&store, "evt_1").await;
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
    assert!(replica.cli(&["GET", "dfwh:waiting:id:evt_1"]).starts_with("D|1|"));

    // Connected, and silent: it has not got what is written from now on.
    replica.pause();
    let claim = new_claim(&store, "evt_2").await;
    let error = redis_error(store.commit(&claim, terms()).await);
    assert_eq!(error.kind(), Kind::NotReplicated, "{error:?}");
    // The primary has it, and a repetition is no success as long as no replica has: neither on the
    // same connection nor on another one, which has written nothing before.
    assert_eq!(store.claim(&key("evt_2"), terms()).await.unwrap(), ClaimOutcome::Done);
    assert_eq!(redis_error(store.commit(&claim, terms()).await).kind(), Kind::NotReplicated);
    primary.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert_eq!(redis_error(store.commit(&claim, terms()).await).kind(), Kind::NotReplicated);
    replica.resume();
    let held = at_last(async || store.commit(&claim, terms()).await).await;
    assert_eq!(held, Held::Yes);
    assert!(replica.cli(&["GET", "dfwh:waiting:id:evt_2"]).starts_with("D|1|"));
    // Nothing waits for the answer that the claim is not held.
    assert_eq!(store.forget(&key("evt_2")).await.ok(), Some(()));
    replica.kill();
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::No);
}

async fn claims_do_not_stand_behind_a_commit_that_waits() {
    let primary = Redis::start(&[]);
    let builder = RedisStore::builder("beside").call_timeout(Duration::from_millis(1_900));
    let builder = builder.wait(1, Duration::from_millis(1_500));
    let store = builder.connect(&primary.url()).await.unwrap();
    let claim = new_claim(&store, "evt_1").await;
    let committing = store.clone();
    let commit = tokio::spawn(async move { committing.commit(&claim, terms()).await });
    primary.until(&["INFO", "clients"], "blocked_clients:1");
    new_claim(&store, "evt_2").await;
    let clients = primary.cli(&["INFO", "clients"]);
    assert!(clients.contains("blocked_clients:1"), "{clients}");
    assert_eq!(redis_error(commit.await.unwrap()).kind(), Kind::NotReplicated);
}

/// Else a process that ends before the replica is back takes the completions with it.
#[tokio::test]
async fn commits_that_wait_for_a_replica_do_not_keep_one_another_from_the_primary() {
    let primary = Redis::start(&[]);
    let builder = RedisStore::builder("queue").wait(1, Duration::from_millis(1_000));
    let store = builder.connect(&primary.url()).await.unwrap();
    let mut commits = JoinSet::new();
    for number in 0..4 {
        let claim = new_claim(&store, &format!("evt_{number}")).await;
        let store = store.clone();
        commits.spawn(async move { store.commit(&claim, terms()).await });
    }
    for answer in commits.join_all().await {
        redis_error(answer);
    }
    for number in 0..4 {
        let answer = store.claim(&key(&format!("evt_{number}")), terms()).await.unwrap();
        assert_eq!(answer, ClaimOutcome::Done, "evt_{number}");
    }
}

#[tokio::test]
async fn a_replica_takes_no_claims() {
    let primary = Redis::start(&[]);
    let replica = replica_of(&primary);
    let store = RedisStore::connect(&replica.url(), "replica").await.unwrap();
    assert_eq!(redis_error(store.claim(&key("evt_1"), terms()).await).kind(), Kind::NotReady);
    assert_eq!(replica.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    done(&store, "evt_1").await;
}
