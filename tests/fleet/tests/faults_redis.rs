//! A fleet of receivers that share a Redis, through everything that can break.

use webhook_fleet_tests::proxy::Proxy;
use webhook_fleet_tests::redis::Redis;
use webhook_fleet_tests::trial::Trial;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_on_redis_keeps_its_promises() {
    let server = Redis::start(&[]);
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let url = format!("redis://{}", proxy.address());
    let trial = Trial::new(env!("CARGO_BIN_EXE_fleet-receiver"), &url).through(proxy, server);
    trial.run().await.assert_kept();
}
