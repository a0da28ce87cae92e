//! Users: set at one node, they hold at every node, also after it was started again.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Node, Spec, until};
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError, cmd};

async fn connect(addr: &str) -> MultiplexedConnection {
    let client = Client::open(format!("redis://{addr}/")).expect("an address");
    client.get_multiplexed_async_connection().await.expect("the node takes clients")
}

/// A user's words at a node, on a connection of their own.
async fn says(addr: &str, user: &str, password: &str, command: &[&str]) -> Result<String, RedisError> {
    let mut connection = connect(addr).await;
    cmd("AUTH").arg(user).arg(password).query_async::<()>(&mut connection).await?;
    cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_is_set_at_one_node_comes_in_at_another_and_after_a_restart() {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    cluster.until_whole().await;
    let addrs: Vec<String> = cluster.nodes.iter().map(Node::client_addr).collect();
    let mut admin = connect(&addrs[0]).await;
    let rules = ["ACL", "SETUSER", "ada", "on", ">secret", "~a*", "+acl|whoami", "+get"];
    cmd(rules[0]).arg(&rules[1..]).query_async::<()>(&mut admin).await.expect("the log takes it");
    for addr in &addrs {
        // The others apply it as they hear of it.
        let there =
            until("the user is known", async || says(addr, "ada", "secret", &["ACL", "WHOAMI"]).await.ok());
        assert_eq!(there.await, "ada");
        let refused =
            says(addr, "ada", "wrong", &["ACL", "WHOAMI"]).await.expect_err("the password is another");
        assert_eq!(refused.code(), Some("WRONGPASS"), "{refused}");
        let refused = says(addr, "ada", "secret", &["CONFIG", "GET", "x"]).await.expect_err("it may not");
        assert_eq!(refused.code(), Some("NOPERM"), "{refused}");
    }

    let mut acts = connect(&addrs[1]).await;
    cmd("AUTH").arg("ada").arg("secret").query_async::<()>(&mut acts).await.expect("it is known there");
    let deleted: u32 =
        cmd("ACL").arg(&["DELUSER", "ada"]).query_async(&mut admin).await.expect("the log takes it");
    assert_eq!(deleted, 1);
    // Its connection to the other node is closed, or one that came instead knows nobody of that name.
    until("the user is gone", async || {
        let mut acts = acts.clone();
        cmd("ACL").arg("WHOAMI").query_async::<String>(&mut acts).await.err().map(drop)
    })
    .await;
    let refused = says(&addrs[1], "ada", "secret", &["PING"]).await.expect_err("nobody is called so");
    assert_eq!(refused.code(), Some("WRONGPASS"), "{refused}");

    let off = ["SETUSER", "default", "on", ">only", "resetpass", ">one"];
    cmd("ACL").arg(&off).query_async::<()>(&mut admin).await.expect("the log takes it");
    cluster.nodes[1].stop();
    cluster.nodes[1].start_again();
    until_asked_for_the_password(&addrs[1]).await;
    assert_eq!(says(&addrs[1], "default", "one", &["PING"]).await.expect("that is the password"), "PONG");

    for node in &mut cluster.nodes {
        node.stop();
    }
    cluster.nodes.iter_mut().for_each(Node::start_again);
    for addr in &addrs {
        until_asked_for_the_password(addr).await;
        assert_eq!(says(addr, "default", "one", &["PING"]).await.expect("that is the password"), "PONG");
    }
}

/// Until the node answers; never to somebody who gave no password.
async fn until_asked_for_the_password(addr: &str) {
    until("the node answers again", async || {
        let client = Client::open(format!("redis://{addr}/")).expect("an address");
        let mut stranger = client.get_multiplexed_async_connection().await.ok()?;
        let answer =
            cmd("PING").query_async::<String>(&mut stranger).await.expect_err("nobody may do anything");
        (answer.code() == Some("NOAUTH")).then_some(())
    })
    .await;
}
