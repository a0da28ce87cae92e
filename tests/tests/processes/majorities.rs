//! Without a majority nobody says that all is well, and nobody is kept waiting for ever.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Load, Signal, Spec, until};
use std::time::{Duration, Instant};

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
/// `park-ms-max` is 2 s; the rest is a busy machine's.
const ANSWER_MAX: Duration = Duration::from_secs(10);

fn trio() -> Spec {
    let timers = [("heartbeat-ms", 50), ("election-min-ms", 150), ("election-max-ms", 300)];
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&timers);
    spec.witnesses = 1;
    spec
}

async fn readyz(cluster: &Cluster, index: usize) -> Option<(u16, String)> {
    let answer = reqwest::get(format!("http://{}/readyz", cluster.nodes[index].http_addr())).await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// A new connection for each: none of them waits for another.
async fn ask(cluster: &Cluster, index: usize, command: &[&str]) -> redis::RedisResult<String> {
    let client = redis::Client::open(format!("redis://{}/", cluster.nodes[index].client_addr()))?;
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_MAX));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut asked = redis::cmd(command[0]);
    asked.arg(&command[1..]);
    asked.query_async(&mut connection).await
}

async fn says(cluster: &Cluster, index: usize, state: &str) {
    let line = format!("cluster_state:{state}");
    until(&line, async || {
        ask(cluster, index, &["CLUSTER", "INFO"]).await.ok()?.contains(&line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_of_three_nodes_gone_the_third_says_so_and_answers_and_all_is_well_when_they_return() {
    let mut cluster = Cluster::start(&trio()).await;
    for survivor in [PRIMARY, REPLICA] {
        let load = Load::start_plain(&cluster).await;
        load.until_more(50).await;
        says(&cluster, survivor, "ok").await;
        let gone: Vec<usize> = (0..cluster.nodes.len()).filter(|index| *index != survivor).collect();
        for index in &gone {
            cluster.nodes[*index].signal_launcher(Signal::KILL);
            cluster.nodes[*index].ended();
        }
        until("it is not ready, and says why", async || {
            let (status, why) = readyz(&cluster, survivor).await?;
            (status == 503 && why.contains("leader")).then_some(())
        })
        .await;
        says(&cluster, survivor, "fail").await;
        let began = Instant::now();
        let answered = tokio::time::timeout(ANSWER_MAX, ask(&cluster, survivor, &["SET", "k", "v"])).await;
        let error = answered.expect("in bounded time").expect_err("nobody may serve it");
        // The replica knows no better than to name the primary.
        let word = if survivor == PRIMARY { "CLUSTERDOWN" } else { "MOVED" };
        assert_eq!(error.code(), Some(word), "after {:?}: {error}", began.elapsed());

        for index in gone {
            cluster.nodes[index].start_again();
        }
        cluster.until_whole().await;
        for index in 0..cluster.nodes.len() {
            until("every node is ready", async || (readyz(&cluster, index).await?.0 == 200).then_some(()))
                .await;
            says(&cluster, index, "ok").await;
        }
        load.until_more(50).await;
        drop(load);
    }
}
