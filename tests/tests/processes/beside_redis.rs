//! Commands through a whole node, beside redis-server; see crate `ironcache-differential`.

use crate::PRODUCT;
use ironcache_differential::{Listen, Remote, Trial};
use ironcache_tests::{Cluster, Spec};

/// Some seconds: that commands answer right is proven without a node, and here what is around them.
const COMMANDS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server 7.0.15: make beside-redis"]
async fn a_node_answers_and_tells_of_keys_as_redis_does_also_in_transactions() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 1)).await;
    cluster.until_whole().await;
    let addrs: Vec<String> = cluster.nodes.iter().map(ironcache_tests::Node::client_addr).collect();
    let compared = tokio::task::spawn_blocking(move || {
        let is_primary = |addr: &&String| {
            let role = Remote::connect(addr).ok().and_then(|mut node| node.ask(&["ROLE"]).ok());
            format!("{role:?}").contains(&format!("{:?}", b"master"))
        };
        let primary = addrs.iter().find(is_primary).ok_or("no node is the primary")?;
        let trial =
            |listen, commands| Trial { seed: 1, names: Vec::new(), commands, differences_max: 10, listen };
        let replies = trial(Listen::No, COMMANDS).of_node(primary)?;
        let invalidations = trial(Listen::ToReadKeys, COMMANDS).of_node(primary)?;
        Ok::<_, String>([replies, invalidations, trial(Listen::ToKeys, COMMANDS).of_node(primary)?])
    });
    let summaries =
        compared.await.expect("the comparison does not panic").unwrap_or_else(|error| panic!("{error}"));
    for summary in summaries {
        assert!(summary.differences.is_empty(), "{summary}");
    }
}
