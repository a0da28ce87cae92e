//! From the newest release that was cut, as it was built from its commit, to this one.
//!
//! What was released cannot be changed any more: a cluster of it rolls to this source, back, on again, and is made final,
//! under load, with leaders and snapshots of both, and by the command lines of both. `make train-released` builds it.

use crate::snapshots::cross;
use crate::train::{all_run, launchers_follow};
use crate::world::{End, Pairs, spec_of, until_level, until_rolled_back, until_soaking};
use ironcache_api::Outcome;
use ironcache_tests::{Cluster, Load, Node, until};

/// What both command lines have to be able to ask of a cluster of both releases.
const READERS: &[&[&str]] = &[
    &["cluster", "status", "--json"],
    &["cluster", "nodes", "--json"],
    &["cluster", "upgrade", "status", "--json"],
    &["cluster", "upgrade", "history"],
    &["cluster", "operator", "list"],
    &["cluster", "policy", "get"],
    &["cluster", "audit", "--verify"],
    &["release", "list", "--json"],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_the_newest_release_rolls_to_this_one_and_back_and_on_and_is_final() {
    let (old, new) = (End::released(), End::this());
    let cluster = Cluster::start_by_command(&spec_of(&old, 2, 1).keyed()).await;
    let load = Load::start(&cluster).await;
    until_level(&cluster, old.level).await;
    asked_by_both(&cluster, &old, &new);

    // By the old command line: whoever operates the cluster has no other yet.
    told(&cluster, &["release", "stage", new.binary.to_str().expect("a path of ours is text")]);
    let staged = until("the release is known", async || {
        let releases = cluster.client().releases().await.ok()?;
        releases.into_iter().find(|staged| staged.release.version.to_string() == new.version)
    })
    .await;
    let digest = staged.release.digest;
    let pairs = Pairs::watch(cluster.nodes.iter().map(Node::launcher_pid).collect(), digest);
    let first = cluster.set_target(&new.version, Some(200)).await;
    until_mixed(&cluster, &new).await;
    asked_by_both(&cluster, &old, &new);
    told(&cluster, &["cluster", "upgrade", "resume"]);
    until_soaking(&cluster).await;
    assert!(pairs.seen().contains(&(false, true)), "{:?}", pairs.seen());
    all_run(&cluster, &new.version).await;
    until_level(&cluster, old.level).await;
    launchers_follow(&cluster, digest, true).await;
    say(&format!(
        "every node of {} runs {}, at level {}; a launcher of the one was seen with a daemon of the other",
        old.version, new.version, old.level
    ));

    told(&cluster, &["cluster", "upgrade", "rollback", "--reason", "the train goes back once"]);
    until_rolled_back(&cluster, first).await;
    assert!(pairs.seen().contains(&(true, false)), "{:?}", pairs.seen());
    all_run(&cluster, &old.version).await;
    launchers_follow(&cluster, digest, false).await;
    cluster.until_whole().await;
    asked_by_both(&cluster, &old, &new);
    say(&format!("rolled back: every node runs {} again", old.version));

    let second = cluster.set_target(&new.version, Some(200)).await;
    until_soaking(&cluster).await;
    all_run(&cluster, &new.version).await;
    told(&cluster, &["cluster", "upgrade", "finalize"]);
    assert_eq!(cluster.until_ended(second).await.1, Outcome::Finalized);
    until_level(&cluster, new.level).await;
    load.until_more(50).await;
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    asked_by_both(&cluster, &old, &new);
    say(&format!("on again, and final: every node's file says level {}", new.level));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_cross_between_the_newest_release_and_this_one_whoever_leads() {
    let (old, new) = (End::released(), End::this());
    // Without keys: thousands of entries are ordered one by one, and each order would make a connection by TLS.
    cross(&spec_of(&old, 1, 2), &old, &new).await;
}

/// Pauses where some nodes run the target, some do not, and nobody is on the way.
async fn until_mixed(cluster: &Cluster, new: &End) {
    cluster
        .until_cluster("some nodes run the target and some do not", |status| {
            let nodes = &status.control.nodes;
            let on_it = nodes.values().filter(|node| node.release.version.to_string() == new.version).count();
            (on_it > 0 && on_it < nodes.len()).then_some(())
        })
        .await;
    told(cluster, &["cluster", "upgrade", "pause"]);
    cluster.until_whole().await;
}

/// The command line of either release reads what the cluster answers, whichever node answers.
fn asked_by_both(cluster: &Cluster, old: &End, new: &End) {
    for End { binary, version, level: _ } in [old, new] {
        for reader in READERS {
            for node in &cluster.nodes {
                let mut command = cluster.command_of(binary, reader);
                let output = command.env("IRONCACHE_SEED", node.http_addr()).output();
                let output = output.expect("the binary can be started");
                assert!(output.status.success(), "{version}: {reader:?}: {output:?}");
            }
        }
    }
}

/// A command of the release that the cluster was started with.
fn told(cluster: &Cluster, args: &[&str]) {
    let output = cluster.cli(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
}

fn say(what: &str) {
    eprintln!("train: {what}");
}
