//! Functions: a library that is loaded at one node is called at another, of every shard, also after all were started again.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Node, Spec, until};
use redis::aio::MultiplexedConnection;
use redis::{Client, cmd};

async fn connect(addr: &str) -> Option<MultiplexedConnection> {
    Client::open(format!("redis://{addr}/"))
        .expect("an address")
        .get_multiplexed_async_connection()
        .await
        .ok()
}

/// What a node says of a function without keys; `None` if it says nothing, or does not know it.
async fn called(addr: &str, function: &str) -> Option<String> {
    let mut connection = connect(addr).await?;
    cmd("FCALL").arg(function).arg(0).query_async(&mut connection).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_that_is_loaded_at_one_node_is_called_at_every_one_and_after_a_restart() {
    let mut spec = Spec::new(PRODUCT, 2, 1);
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    cluster.until_whole().await;
    // The witness is the last one: nothing runs there.
    let addrs: Vec<String> = cluster.nodes[..4].iter().map(Node::client_addr).collect();
    let mut admin = connect(&addrs[0]).await.expect("the node takes clients");
    // A replica calls what says that it does not write.
    let code = "#!lua name=a\nredis.register_function{function_name='f', callback=function() return 'one' end, flags={'no-writes'}}";
    let name: String =
        cmd("FUNCTION").arg("LOAD").arg("REPLACE").arg(code).query_async(&mut admin).await.expect("taken");
    assert_eq!(name, "a");
    for addr in &addrs {
        assert_eq!(until("it is applied", async || called(addr, "f").await).await, "one");
        // As a tool does that loads it at each node.
        let mut connection = connect(addr).await.expect("the node takes clients");
        let again: String =
            cmd("FUNCTION").arg("LOAD").arg(code).query_async(&mut connection).await.expect("it is so");
        assert_eq!(again, "a");
    }

    let payload: Vec<u8> =
        cmd("FUNCTION").arg("DUMP").query_async(&mut admin).await.expect("there is one library");
    let last = addrs.last().expect("there are nodes");
    let mut other = connect(last).await.expect("the node takes clients");
    cmd("FUNCTION").arg("FLUSH").query_async::<()>(&mut other).await.expect("the log takes it");
    until("it is gone", async || called(&addrs[0], "f").await.is_none().then_some(())).await;
    cmd("FUNCTION")
        .arg("RESTORE")
        .arg(payload)
        .query_async::<()>(&mut other)
        .await
        .expect("the log takes it");
    assert_eq!(until("it is there again", async || called(&addrs[0], "f").await).await, "one");

    for node in &mut cluster.nodes {
        node.stop();
    }
    cluster.nodes.iter_mut().for_each(Node::start_again);
    for addr in &addrs {
        assert_eq!(until("it is there after the start", async || called(addr, "f").await).await, "one");
    }
}
