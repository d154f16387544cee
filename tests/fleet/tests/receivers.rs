//! The receivers of `examples/`, two processes on one store: a duplicate that the
//! other one gets is known there, whichever framework it is built on.

use dataflow_webhooks::testing::Sample;
use rustix::process::Signal;
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::postgres::Postgres;
use webhook_fleet_tests::redis::{Cluster, Redis, Sentinels};
use webhook_tests::{Example, Request};

/// Sends each event to one of the programs and then to another.
async fn each_event_is_processed_by_one(url: &str) {
    each_event_is_processed_by_one_with(&[("DEDUP_URL", url)]).await;
}

/// The same, with these variables.
async fn each_event_is_processed_by_one_with(variables: &[(&str, &str)]) {
    let mut programs = Vec::new();
    for name in ["axum-receiver", "actix-receiver", "hyper-receiver"] {
        let variables = variables.iter().copied();
        let mut program = Example::start(Example::with_secret(name).envs(variables));
        let address = program.address().await;
        programs.push((program, address));
    }
    for (number, (first, _)) in programs.iter().enumerate() {
        let id = format!("evt_{number}");
        let request = Request::signed(Sample::of("pipeline.run.failed").id(&id).body());
        // The table may still be being made.
        let mut answer = request.send(programs[number].1).await.unwrap();
        for _ in 0..100 {
            if answer.status == 200 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            answer = request.send(programs[number].1).await.unwrap();
        }
        assert_eq!(answer.status, 200, "{}", first.log());
        for (other, address) in &programs {
            assert_eq!(request.send(*address).await.unwrap().status, 200, "{}", other.log());
        }
    }
    for (number, (program, _)) in programs.iter_mut().enumerate() {
        program.signal(Signal::TERM);
        assert!(program.ended().await.success(), "{}", program.log());
        let printed = program.printed();
        assert_eq!(printed.len(), 1, "{printed:?}");
        assert!(printed[0].contains(&format!("evt_{number}")), "{printed:?}");
    }
}

#[tokio::test]
async fn on_redis() {
    let server = Redis::start(&[]);
    each_event_is_processed_by_one(&server.url()).await;
}

#[tokio::test]
async fn a_redis_that_may_evict_is_warned_of_at_the_start() {
    let server = Redis::start(&["--maxmemory-policy", "volatile-lru"]);
    let mut command = Example::with_secret("axum-receiver");
    let mut program = Example::start(command.env("DEDUP_URL", server.url()));
    program.logged("volatile-lru").await;
}

#[tokio::test]
async fn on_a_redis_cluster() {
    let cluster = Cluster::start(Redis::start);
    each_event_is_processed_by_one(&format!("redis+cluster://{}", cluster.hosts())).await;
}

#[tokio::test]
async fn on_a_redis_under_sentinel() {
    let servers = Sentinels::start();
    each_event_is_processed_by_one(&servers.url()).await;
}

/// Trusted as the system's certificates are.
#[tokio::test]
async fn on_redis_over_tls() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = made.cert.pem();
    let server = Redis::start_tls(&certificate, &made.signing_key.serialize_pem(), &[]);
    let folder = Folder::new("receivers");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificate).unwrap();
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let trusted = ("SSL_CERT_FILE", file.to_str().unwrap());
    each_event_is_processed_by_one_with(&[("DEDUP_URL", &*url), trusted]).await;
}

#[tokio::test]
async fn on_postgresql() {
    let server = Postgres::start(&[]);
    each_event_is_processed_by_one(&server.url()).await;
}

#[tokio::test]
async fn on_a_file_of_sqlite() {
    let folder = Folder::new("receivers");
    let path = folder.path().join("dedup.db");
    each_event_is_processed_by_one(&format!("sqlite://{}", path.display())).await;
}
