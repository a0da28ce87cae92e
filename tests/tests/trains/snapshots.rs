//! Snapshots between two releases, in both directions, and a node that is away while the later one is made final.

use crate::train::all_run;
use crate::world::{
    APPLIED, End, PURGED, gauge, level_file, level_line, spec_of, until_level, until_returned, until_soaking,
};
use ironcache_api::{NodeRole, Outcome};
use ironcache_tests::{Cluster, Load, Signal, Spec, until};

/// A snapshot is written every 2000 entries, and 1000 before it are kept.
const ENTRIES: u64 = 2_100;
/// Position of the witness, after a shard of three.
const WITNESS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_cross_in_both_directions_and_a_node_that_was_away_takes_the_level_over() {
    let (from, to) = (End::this(), End::next());
    assert_ne!(from.level, to.level);
    cross(&spec_of(&from, 1, 2), &from, &to).await;
}

/// A cluster of `spec`, a shard of three and a witness of release `from`, goes to `to`.
pub(crate) async fn cross(spec: &Spec, from: &End, to: &End) {
    let mut cluster = Cluster::start_by_command(spec).await;
    let load = Load::start_plain(&cluster).await;
    cluster.stage_file(&to.binary).await;
    // Time enough to pause before the old primary goes.
    let plan = cluster.set_target(&to.version, Some(3_000)).await;
    let (old, new) = pause_halfway(&cluster, from, to).await;
    same_state(&cluster).await;

    // From old to new: one of the old release leads, and one of the new was away for longer than the log reaches back.
    lead(&cluster, &old).await;
    away_for_a_snapshot(&mut cluster, WITNESS, &old).await;

    // From new to old.
    lead(&cluster, &new).await;
    away_for_a_snapshot(&mut cluster, old[0], &new).await;

    assert!(cluster.cli(&["cluster", "upgrade", "resume"]).status.success());
    until_soaking(&cluster).await;
    all_run(&cluster, &to.version).await;

    // Away while the level rises.
    cluster.until_whole().await;
    let away = replica_of_now(&cluster).await;
    let before = until("the node answers", async || cluster.status(away).await).await.incarnation;
    assert!(cluster.nodes[away].stop().success());
    assert_eq!(level_file(&cluster.nodes[away]), level_line(from.level));
    let output = cluster.cli(&["cluster", "upgrade", "finalize"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Finalized);
    assert_eq!(level_file(&cluster.nodes[away]), level_line(from.level));
    cluster.nodes[away].start_again();
    until_level(&cluster, to.level).await;
    until_returned(&cluster, away, before).await;
    load.until_more(50).await;
    load.finish(&cluster).await.assert_nothing_lost();
    same_state(&cluster).await;
}

/// Positions of the nodes of the old release and of the new one.
async fn releases(cluster: &Cluster, from: &End) -> (Vec<usize>, Vec<usize>) {
    let mut by_release = (Vec::new(), Vec::new());
    for index in 0..cluster.nodes.len() {
        let status = until("a node answers", async || cluster.status(index).await).await;
        match status.release.version.to_string() == from.version {
            true => by_release.0.push(index),
            false => by_release.1.push(index),
        }
    }
    by_release
}

/// Most are upgraded, the old primary at least is not, and nobody is on the way.
async fn pause_halfway(cluster: &Cluster, from: &End, to: &End) -> (Vec<usize>, Vec<usize>) {
    cluster
        .until_cluster("two nodes are on the target, or on their way", |status| {
            let nodes = status.control.nodes.values();
            (nodes.filter(|n| n.release.version.to_string() == to.version || n.out.is_some()).count() >= 2)
                .then_some(())
        })
        .await;
    assert!(cluster.cli(&["cluster", "upgrade", "pause"]).status.success());
    cluster.until_whole().await;
    let (old, new) = releases(cluster, from).await;
    assert!(!old.is_empty() && new.len() >= 2 && new.contains(&WITNESS), "{old:?} {new:?}");
    (old, new)
}

/// Halts whoever leads until one of these does.
async fn lead(cluster: &Cluster, wanted: &[usize]) {
    loop {
        let (leader, status) = cluster.leader().await;
        if wanted.contains(&leader) {
            return;
        }
        cluster.nodes[leader].signal_daemon(Signal::STOP);
        cluster.until_cluster("somebody else leads", |next| (next.term > status.term).then_some(())).await;
        cluster.nodes[leader].signal_daemon(Signal::CONT);
        cluster.until_whole().await;
    }
}

/// Stops a node, has the log outgrow what is kept, and starts the node again: what it lacks is in a snapshot only.
async fn away_for_a_snapshot(cluster: &mut Cluster, away: usize, leaders: &[usize]) {
    let (leader, _) = cluster.leader().await;
    assert!(leaders.contains(&leader) && leader != away, "{leader} leads, of {leaders:?}; {away} goes");
    let before = until("the node answers", async || cluster.status(away).await).await;
    let held = until("the node says what it holds", async || gauge(cluster, away, APPLIED).await).await;
    assert!(cluster.nodes[away].stop().success());
    let grown = until("the leader says", async || gauge(cluster, leader, APPLIED).await).await + ENTRIES;
    let client = cluster.client();
    while gauge(cluster, leader, APPLIED).await.is_none_or(|applied| applied < grown) {
        for _ in 0..50 {
            // Paused already: an entry that changes nothing, and that is ordered again where nobody knows what became of it.
            until("the plan is paused", async || client.act("/v1/upgrade/pause").await.ok()).await;
        }
    }
    until("the log was purged beyond what the node holds", async || {
        gauge(cluster, leader, PURGED).await.filter(|purged| *purged > held)
    })
    .await;
    let (now, _) = cluster.leader().await;
    assert!(leaders.contains(&now), "{now} leads, of {leaders:?}");
    cluster.nodes[away].start_again();
    until("the node has caught up", async || gauge(cluster, away, APPLIED).await.filter(|at| *at >= grown))
        .await;
    until_returned(cluster, away, before.incarnation).await;
}

async fn replica_of_now(cluster: &Cluster) -> usize {
    let status = cluster.cluster().await.expect("the cluster answers");
    let is_replica = |id| {
        status.control.nodes[id].role == NodeRole::Data
            && !status.control.is_primary_node(*id)
            && *id != status.leader
    };
    let ids = cluster.ids().await;
    ids.iter().position(is_replica).expect("a replica that does not lead")
}

/// Waits until every node shows one state at one index.
async fn same_state(cluster: &Cluster) {
    until("every node holds the same control state", async || {
        let mut seen = Vec::new();
        for index in 0..cluster.nodes.len() {
            let status = cluster.status(index).await?;
            seen.push((status.raft.last_applied, status.state_hash));
        }
        seen.windows(2).all(|two| two[0] == two[1]).then_some(())
    })
    .await;
}
