//! The store over TLS.

use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _};
use dataflow_webhooks_redis::{RedisStore, RedisStoreErrorKind as Kind};
use webhook_fleet_tests::calls::{at_last, done, key, terms};
use webhook_fleet_tests::redis::{Cluster, Redis, Sentinels};
use webhook_fleet_tests::tests_unless_stalled;

tests_unless_stalled![a_cluster_speaks_tls, sentinels_speak_tls_and_a_failover_is_followed,];

/// A certificate for this name that signs itself, and its key.
fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_is_spoken_to() {
    let (certificate, key_of_it) = certificate("127.0.0.1");
    let mut server = Redis::start_tls(&certificate, &key_of_it, &[]);
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let builder = RedisStore::builder("tls").root_certificates(certificate);
    let store = builder.connect(&url).await.unwrap();
    done(&store, "evt_1").await;
    server.restart();
    assert_eq!(store.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done);
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused() {
    let (certificate, key_of_it) = certificate("127.0.0.1");
    let server = Redis::start_tls(&certificate, &key_of_it, &[]);
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let error = RedisStore::connect(&url, "tls").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (certificate, key_of_it) = certificate("redis.example");
    let server = Redis::start_tls(&certificate, &key_of_it, &[]);
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let builder = RedisStore::builder("tls").root_certificates(certificate);
    let error = builder.connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
}

#[test]
fn certificates_that_are_none_are_refused() {
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let builder = RedisStore::builder("tls").root_certificates(pem);
        let error = builder.connect_lazy("rediss://127.0.0.1").unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidOption, "{pem:?}");
    }
}

async fn a_cluster_speaks_tls() {
    let (certificate, key_of_it) = certificate("127.0.0.1");
    let cluster = Cluster::start(|options| {
        let mut all = vec!["--tls-cluster", "yes", "--tls-replication", "yes"];
        all.extend(options);
        Redis::start_tls(&certificate, &key_of_it, &all)
    });
    let builder = RedisStore::builder("tls-cluster").root_certificates(certificate.clone());
    let url = format!("rediss+cluster://{}", cluster.hosts());
    let store = builder.connect(&url).await.unwrap();
    for number in 0..20 {
        done(&store, &format!("evt_{number}")).await;
    }
}

async fn sentinels_speak_tls_and_a_failover_is_followed() {
    let (certificate, key_of_it) = certificate("127.0.0.1");
    let mut servers = Sentinels::start_tls(&certificate, &key_of_it);
    // The replica has what was committed.
    let builder = RedisStore::builder("tls-sentinel").wait(1, Duration::from_millis(1_000));
    let builder = builder.root_certificates(certificate);
    let store = builder.connect(&servers.url()).await.unwrap();
    done(&store, "evt_1").await;
    servers.primary.kill();
    let answer = at_last(async || store.claim(&key("evt_1"), terms()).await).await;
    assert_eq!(answer, ClaimOutcome::Done);
    assert!(servers.replica.cli(&["ROLE"]).starts_with("master"));
}
