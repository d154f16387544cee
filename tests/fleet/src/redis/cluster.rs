//! A Cluster of three primaries.

use super::{PATIENCE, Redis};
use crate::kept::{free_port, within};

/// Three primaries that share the slots.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cluster {
    /// The servers.
    pub nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts the servers and joins them, each as this makes it from its options.
    ///
    /// # Panics
    ///
    /// When they do not become a Cluster.
    #[must_use]
    pub fn start(server: impl Fn(&[&str]) -> Redis) -> Self {
        let nodes: Vec<Redis> = (0..3)
            .map(|_| {
                // The default, the port and 10 000, may be no port at all.
                let bus = free_port().to_string();
                server(&[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus,
                    "--cluster-node-timeout",
                    "2000",
                    "--cluster-require-full-coverage",
                    "no",
                ])
            })
            .collect();
        let addresses: Vec<String> =
            nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.extend(["--cluster-yes"]);
        let said = nodes[0].cli(&create);
        for node in &nodes {
            let came = within(PATIENCE, || {
                let info = node.cli(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            });
            assert!(came, "no Cluster: {said}\n{}", node.cli(&["CLUSTER", "INFO"]));
        }
        Self { nodes }
    }

    /// The hosts and ports of the nodes, as a URL has them.
    #[must_use]
    pub fn hosts(&self) -> String {
        let hosts = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
        hosts.collect::<Vec<_>>().join(",")
    }
}
