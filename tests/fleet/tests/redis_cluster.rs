//! The store on a Redis Cluster of three primaries.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks::testing::StoreContract;
use dataflow_webhooks_redis::{RedisStore, RedisStoreErrorKind as Kind, RedisWarning};
use tokio::task::JoinSet;
use webhook_fleet_tests::awake::unless_stalled;
use webhook_fleet_tests::calls::{at_last, done, key, new_claim, redis_error, side_by_side, terms};
use webhook_fleet_tests::gone::Gone;
use webhook_fleet_tests::redis::{Cluster, Redis};
use webhook_fleet_tests::{store_contract_tests_unless_stalled, tests_unless_stalled};
use webhook_tests::Stopwatch;

tests_unless_stalled![
    a_slot_that_moves_is_followed,
    a_killed_node_takes_its_own_slots_with_it_and_no_others,
    a_node_that_does_not_answer_keeps_nobody_from_the_others,
    a_scope_is_spread_over_all_nodes,
    one_node_of_the_url_is_enough,
    a_node_whose_machine_is_gone_keeps_nobody_from_the_others,
    a_node_addressed_as_one_server_is_an_error_that_says_so,
    a_connection_to_a_cluster_of_ones_own_is_taken,
    the_rights_in_the_documentation_are_enough,
    each_nodes_policy_is_read,
    a_silent_node_does_not_keep_a_store_from_the_others,
    a_cluster_that_was_killed_as_a_whole_is_found_again,
];

/// For the tests that do not stop a node.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(Redis::start));

fn url(cluster: &Cluster) -> String {
    format!("redis+cluster://{}", cluster.hosts())
}

/// Stores that are empty because each has a scope of its own.
fn contract() -> StoreContract<impl AsyncFn() -> RedisStore, impl AsyncFn(Duration)> {
    static SCOPES: AtomicU32 = AtomicU32::new(0);
    let make_store = async || {
        let scope = format!("contract-{}", SCOPES.fetch_add(1, Ordering::Relaxed));
        RedisStore::connect(&url(&CLUSTER), &scope).await.unwrap()
    };
    StoreContract::new(make_store, async |time| tokio::time::sleep(time).await)
        .tick(Duration::from_millis(600))
}

store_contract_tests_unless_stalled!(contract());

/// Some seeds side by side: each sleeps most of the time.
#[test]
fn random_operations_agree_with_the_model() {
    unless_stalled(async || {
        let run = async |seed| contract().random_ops(seed, 100).await;
        side_by_side((1..=6).map(run)).await;
    });
}

async fn a_scope_is_spread_over_all_nodes() {
    let store = RedisStore::connect(&url(&CLUSTER), "spread").await.unwrap();
    for number in 0..60 {
        done(&store, &format!("evt_{number}")).await;
    }
    let keys = CLUSTER.nodes.iter().map(|node| {
        let keys = node.cli(&["KEYS", "dfwh:spread:*"]);
        keys.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    });
    let keys: Vec<_> = keys.collect();
    assert!(keys.iter().all(|keys| keys.len() >= 5), "{keys:?}");
    assert_eq!(keys.iter().map(BTreeSet::len).sum::<usize>(), 60);
}

async fn one_node_of_the_url_is_enough() {
    let one = format!("redis+cluster://127.0.0.1:{}", CLUSTER.nodes[1].port());
    let store = RedisStore::connect(&one, "one-node").await.unwrap();
    for number in 0..20 {
        done(&store, &format!("evt_{number}")).await;
    }
    let dead = format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", CLUSTER.nodes[1].port());
    let store = RedisStore::connect(&dead, "one-node").await.unwrap();
    assert_eq!(store.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done);
}

async fn a_node_whose_machine_is_gone_keeps_nobody_from_the_others() {
    let gone = Gone::new().await;
    let url = format!("redis+cluster://{},{}", gone.address(), CLUSTER.hosts());
    let store = RedisStore::connect(&url, "node-gone").await.unwrap();
    done(&store, "evt_1").await;
}

async fn a_node_that_does_not_answer_keeps_nobody_from_the_others() {
    let cluster = Cluster::start(Redis::start);
    cluster.nodes[0].pause();
    let store = RedisStore::connect(&url(&cluster), "node-silent").await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..30 {
        let store = store.clone();
        calls.spawn(async move { store.claim(&key(&format!("evt_{number}")), terms()).await });
    }
    let passed = calls.join_all().await.iter().filter(|answer| answer.is_ok()).count();
    assert!(passed >= 10, "{passed} passed");
}

async fn a_node_addressed_as_one_server_is_an_error_that_says_so() {
    let store = RedisStore::connect(&CLUSTER.nodes[0].url(), "node").await.unwrap();
    let mut kinds = Vec::new();
    for number in 0..20 {
        if let Err(error) = store.claim(&key(&format!("evt_{number}")), terms()).await {
            let error = redis_error(Err::<(), _>(error));
            assert!(error.to_string().contains("redis+cluster://"), "{error}");
            kinds.push(error.kind());
        }
    }
    assert!(!kinds.is_empty() && kinds.iter().all(|&kind| kind == Kind::ClusterNode), "{kinds:?}");
}

async fn a_connection_to_a_cluster_of_ones_own_is_taken() {
    let nodes = CLUSTER.nodes.iter().map(Redis::url);
    let client = redis::cluster::ClusterClient::new(nodes).unwrap();
    let connection = client.get_async_connection().await.unwrap();
    let store = RedisStore::builder("own-cluster").with_connection(connection).unwrap();
    for number in 0..20 {
        done(&store, &format!("evt_{number}")).await;
    }
    assert_eq!(store.warnings(), []);
}

async fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start(Redis::start);
    let store = RedisStore::connect(&url(&cluster), "moving").await.unwrap();
    let claim = new_claim(&store, "evt_1").await;
    let slot = cluster.nodes[0].cli(&["CLUSTER", "KEYSLOT", "dfwh:moving:id:evt_1"]);
    let owner = |of: &str| {
        cluster
            .nodes
            .iter()
            .position(|node| !node.cli(&["CLUSTER", "GETKEYSINSLOT", of, "1"]).is_empty())
    };
    let from = owner(&slot).unwrap();
    let to = (from + 1) % 3;
    let id = |node: usize| cluster.nodes[node].cli(&["CLUSTER", "MYID"]);
    let (from_id, to_id) = (id(from), id(to));
    cluster.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    cluster.nodes[from].cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    // Half-way: the key is still at the old node.
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::Yes);
    let port = cluster.nodes[to].port().to_string();
    let migrate = ["MIGRATE", "127.0.0.1", &port, "dfwh:moving:id:evt_1", "0", "5000"];
    assert_eq!(cluster.nodes[from].cli(&migrate), "OK");
    // Half-way: the key is at the new node, the slot is not (ASK).
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::Yes);
    for node in [to, from] {
        cluster.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
    assert_eq!(store.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done);
}

async fn the_rights_in_the_documentation_are_enough() {
    let rights = ["+cluster|slots", "+ping", "+asking"];
    let urls: Vec<_> = CLUSTER.nodes.iter().map(|node| node.url_with_rights(&rights)).collect();
    let url = urls[0].replace("redis://", "redis+cluster://");
    let store = RedisStore::connect(&url, "rights").await.unwrap();
    for number in 0..20 {
        done(&store, &format!("evt_{number}")).await;
    }
}

async fn each_nodes_policy_is_read() {
    let cluster = Cluster::start(Redis::start);
    cluster.nodes[2].cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    let store = RedisStore::connect(&url(&cluster), "policies").await.unwrap();
    let found = store.warnings();
    assert!(
        matches!(&found[..], [RedisWarning::MayEvict { policy, .. }] if policy == "allkeys-random"),
        "{found:?}"
    );
}

/// Two thirds of the events go on, one third is answered 503 until the node is back.
async fn a_killed_node_takes_its_own_slots_with_it_and_no_others() {
    let mut cluster = Cluster::start(Redis::start);
    let store = RedisStore::connect(&url(&cluster), "node-killed").await.unwrap();
    done(&store, "evt_done").await;
    cluster.nodes[2].kill();
    let (mut passed, mut failed) = (0, 0);
    for number in 0..30 {
        let begin = Stopwatch::start();
        match store.claim(&key(&format!("evt_{number}")), terms()).await {
            Ok(_) => passed += 1,
            Err(_) => failed += 1,
        }
        assert!(begin.ran() < Duration::from_millis(2_500), "{:?}", begin.ran());
    }
    assert!(passed >= 10 && failed >= 3, "{passed} passed, {failed} failed");
    cluster.nodes[2].restart();
    for number in 30..60 {
        let _ = at_last(async || store.claim(&key(&format!("evt_{number}")), terms()).await).await;
    }
    for number in 60..90 {
        done(&store, &format!("evt_{number}")).await;
    }
    assert_eq!(store.claim(&key("evt_done"), terms()).await.unwrap(), ClaimOutcome::Done);
}

/// A receiver that starts, or starts again, while a machine is without power: it is silent, and
/// refuses nothing.
async fn a_silent_node_does_not_keep_a_store_from_the_others() {
    let cluster = Cluster::start(Redis::start);
    cluster.nodes[0].pause();
    let store = RedisStore::connect_lazy(&url(&cluster), "silent-node").unwrap();
    let claims_that_pass = || async {
        let claims = (0..30).map(|number| {
            let store = store.clone();
            async move { store.claim(&key(&format!("evt_{number}")), terms()).await.is_ok() }
        });
        claims.collect::<JoinSet<_>>().join_all().await.into_iter().filter(|is| *is).count()
    };
    at_last(async || match claims_that_pass().await {
        10.. => Ok(()),
        few => Err(few),
    })
    .await;
    cluster.nodes[0].resume();
}

async fn a_cluster_that_was_killed_as_a_whole_is_found_again() {
    let mut cluster = Cluster::start(Redis::start);
    let store = RedisStore::connect(&url(&cluster), "all-killed").await.unwrap();
    done(&store, "evt_1").await;
    cluster.nodes.iter_mut().for_each(Redis::kill);
    let lazy = RedisStore::connect_lazy(&url(&cluster), "all-killed").unwrap();
    for store in [&store, &lazy] {
        let begin = Stopwatch::start();
        redis_error(store.claim(&key("evt_1"), terms()).await);
        assert!(begin.ran() < Duration::from_millis(2_500), "{:?}", begin.ran());
    }
    cluster.nodes.iter_mut().for_each(Redis::restart);
    for node in &cluster.nodes {
        node.until(&["CLUSTER", "INFO"], "cluster_state:ok");
    }
    for store in [&lazy, &store] {
        let begin = Stopwatch::start();
        let answer = at_last(async || store.claim(&key("evt_1"), terms()).await).await;
        eprintln!("found again after {:?}", begin.ran());
        assert_eq!(answer, ClaimOutcome::Done);
    }
}
