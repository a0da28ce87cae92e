//! The whole way: to the next release, back, on again, and final; under load, with clients that know of nothing.

use crate::transcript::Transcript;
use crate::world::{
    End, Pairs, cli_of, cli_of_all, launcher_runs, level_file, level_line, next, restart, spec, until_level,
    until_returned, until_rolled_back, until_soaking,
};
use crate::{NEXT, PRODUCT, THIS};
use ironcache_api::Outcome;
use ironcache_tests::{Cluster, Load, Node, Signal, until};
use ironcache_types::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_the_next_release_and_back_and_on_and_final() {
    let next = next();
    let level = End::this().level;
    let mut cluster = Cluster::start(&spec(2, 1)).await;
    let ids = cluster.ids().await;
    let mut told = Transcript::new(ids.clone());
    told.say(&format!(
        "Two shards of two nodes each and a witness run {THIS}; clients write and read all the time."
    ));
    let load = Load::start(&cluster).await;
    let zone = ["cluster", "zone", &ids[1].to_string(), "east"];
    let zone_shown = format!("cluster zone {} east", ids[1]);
    told.asked(&zone_shown, &format!("every node, all of {THIS}"), &cli_of_all(&next, &cluster, &zone));
    let staged = cluster.stage_file(&next).await;
    let digest = staged.release.digest;
    let levels = staged.levels.expect("a release says its levels");
    told.say(&format!("{NEXT} is staged: it admits levels {levels}, and the cluster is at level {level}."));

    let pairs = Pairs::watch(cluster.nodes.iter().map(Node::launcher_pid).collect(), digest);
    let first = cluster.set_target(NEXT, Some(200)).await;
    mixed(&cluster, &next, &zone, &zone_shown, &mut told).await;
    until_soaking(&cluster).await;
    assert!(pairs.seen().contains(&(false, true)), "{:?}", pairs.seen());
    told.say(&format!(
        "Every node runs {NEXT} and it soaks. A launcher of {THIS} was seen with a daemon of {NEXT}."
    ));
    before_finalize(&cluster, &next, &zone, &zone_shown, &mut told).await;
    launchers_follow(&cluster, digest, true).await;
    told.say(&format!("Each launcher has become one of {NEXT}, in the same process."));

    let back = ["cluster", "upgrade", "rollback", "--reason", "the train goes back once"];
    assert!(cluster.cli(&back).status.success());
    until_rolled_back(&cluster, first).await;
    assert!(pairs.seen().contains(&(true, false)), "{:?}", pairs.seen());
    all_run(&cluster, THIS).await;
    until_level(&cluster, level).await;
    launchers_follow(&cluster, digest, false).await;
    told.say(&format!(
        "Rolled back by command: every node runs {THIS}, at level {level}. A launcher of {NEXT} was seen with a daemon of {THIS}."
    ));

    let second = cluster.set_target(NEXT, Some(200)).await;
    until_soaking(&cluster).await;
    all_run(&cluster, NEXT).await;
    told.say(&format!("On again: every node runs {NEXT}, and it soaks."));
    let output = cluster.cli(&["cluster", "upgrade", "finalize"]);
    assert!(output.status.success(), "{output:?}");
    // What the witness had stored is read again, from before the raise on.
    cluster.nodes[4].signal_daemon(Signal::KILL).expect("it runs");
    assert_eq!(cluster.until_ended(second).await.1, Outcome::Finalized);
    let raised = End::next().level;
    until_level(&cluster, raised).await;
    load.until_more(50).await;
    let balance = load.finish(&cluster).await;
    balance.assert_unseen();
    told.say(&format!("Finalized by command, and the witness is killed at that moment: every node's file says level {raised}. Writes lost in all this: 0; errors that clients saw: 0."));
    cluster.until_whole().await;

    after_finalize(&cluster, &next, &ids, &zone, &zone_shown, &mut told).await;
    old_binaries(&mut cluster, &next, digest, &mut told).await;
    told.check();
}

/// What founds a cluster says its level: the least that every node of it writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_the_next_release_begins_at_its_level() {
    let mut spec = spec(1, 1);
    spec.binary = next();
    let mut cluster = Cluster::start(&spec).await;
    until_level(&cluster, End::next().level).await;
    assert!(zones(&spec.binary, &cluster.nodes[0]).values().all(|zone| zone == "default"));
    assert_eq!(until("the key is touched", async || touch(&cluster, "k").await).await, Ok(1));
    replicas_hold(&cluster, "k", "1").await;
    // Its log and its dataset are of that level, and are read again.
    restart(&mut cluster, 1, |_| {}).await;
    replicas_hold(&cluster, "k", "1").await;
}

/// Asks of nodes of both releases, while the roll is half done.
async fn mixed(cluster: &Cluster, next: &Path, zone: &[&str], shown: &str, told: &mut Transcript) {
    cluster
        .until_cluster("some nodes run the target and some do not", |status| {
            let on_it =
                status.control.nodes.values().filter(|n| n.release.version.to_string() == NEXT).count();
            (on_it > 0 && on_it < status.control.nodes.len()).then_some(())
        })
        .await;
    assert!(cluster.cli(&["cluster", "upgrade", "pause"]).status.success());
    cluster
        .until_cluster("nobody is out", |status| {
            status.control.nodes.values().all(|n| n.out.is_none()).then_some(())
        })
        .await;
    told.asked(
        shown,
        &format!("every node, some of {THIS} and some of {NEXT}"),
        &cli_of_all(next, cluster, zone),
    );
    assert!(cluster.cli(&["cluster", "upgrade", "resume"]).status.success());
}

async fn before_finalize(cluster: &Cluster, next: &Path, zone: &[&str], shown: &str, told: &mut Transcript) {
    all_run(cluster, NEXT).await;
    until_level(cluster, End::this().level).await;
    told.asked(shown, &format!("every node, all of {NEXT}"), &cli_of_all(next, cluster, zone));
    let refused = until("the command is refused", async || touch(cluster, "k").await).await.unwrap_err();
    told.say(&format!("ICNEXT.TOUCH k: {refused}"));
    // Two ends of the next release speak their newest, whatever the level; what has come of it is a word that this one does
    // not know.
    let role = until("a replica has been told the time", async || {
        let status = cluster.cli(&["cluster", "status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        let nodes = status["nodes"].as_object()?;
        let word = nodes
            .values()
            .find_map(|node| node["data"]["role"].as_str().filter(|role| role.contains("timed")));
        word.map(str::to_owned)
    })
    .await;
    told.say(&format!(
        "`cluster status --json` of {THIS} shows a role that it does not know as it came: {role}."
    ));
}

async fn after_finalize(
    cluster: &Cluster,
    next: &Path,
    ids: &[ironcache_types::NodeId],
    zone: &[&str],
    shown: &str,
    told: &mut Transcript,
) {
    let zones = zones(next, &cluster.nodes[0]);
    assert!(zones.values().all(|zone| zone == "default"), "{zones:?}");
    told.say("`cluster nodes --json` shows the zone that the raise gave every node: default.");
    let level = End::next().level;
    told.asked(shown, &format!("every node, at level {level}"), &cli_of_all(next, cluster, zone));
    for node in &cluster.nodes {
        assert_eq!(self::zones(next, node)[&ids[1].to_string()], "east");
    }
    for times in 1..=3 {
        let touched = until("the key is touched", async || touch(cluster, "k").await).await;
        assert_eq!(touched, Ok(times));
    }
    replicas_hold(cluster, "k", "3").await;
    told.say("ICNEXT.TOUCH k: 3 at the third time, and its replica holds 3.");
    let older = ["cluster", "set-target-version", THIS];
    told.asked(
        &format!("cluster set-target-version {THIS}"),
        "every node",
        &cli_of_all(Path::new(PRODUCT), cluster, &older),
    );
    let status = cluster.cluster().await.expect("the cluster answers");
    assert_eq!(status.control.cluster_level.0, level);
    cluster
        .until_cluster("no node holds anything below the level", |status| {
            status
                .control
                .nodes
                .values()
                .all(|node| node.oldest.is_some_and(|oldest| oldest.0 == level))
                .then_some(())
        })
        .await;
    told.say(&format!("Every node has written its log anew: nothing below level {level} is left."));
}

/// A launcher of this release on a directory of the next one's level, with everything in place and with its successor's slot gone.
async fn old_binaries(cluster: &mut Cluster, next: &Path, digest: Digest, told: &mut Transcript) {
    let last = cluster.nodes.len() - 1;
    // Its log is read again, from that level on; what starts it is the image's old launcher.
    restart(cluster, last, |_| {}).await;
    assert_eq!(launcher_runs(&cluster.nodes[last], digest), Some(true));
    all_run(cluster, NEXT).await;
    launcher_names_itself(cluster, last).await;
    told.say(&format!(
        "A node is stopped, and started by the launcher of {THIS}: that one makes way for the launcher of {NEXT}."
    ));

    let before = until("the node answers", async || cluster.status(last).await).await.incarnation;
    assert!(cluster.nodes[last].stop().success());
    let node = &cluster.nodes[last];
    let slot = node.data_dir.join("slots").join(digest.to_string());
    let aside = node.data_dir.with_extension("slot-aside");
    std::fs::rename(&slot, &aside).expect("the slot can be moved");
    for verb in ["server", "server-daemon"] {
        let before = contents(&node.data_dir);
        let output = by_hand(node, verb);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(20), "{verb}: {said}");
        assert!(said.contains(&format!("level {}", End::next().level)), "{said}");
        assert_eq!(contents(&node.data_dir), before, "{verb} has changed something");
    }
    told.say(&format!(
        "{THIS} is started by hand where {NEXT} is not to be found, as a launcher and as a daemon: exit 20, nothing changed."
    ));
    std::fs::rename(&aside, &slot).expect("the slot can be moved back");
    cluster.nodes[last].start_again();
    until_returned(cluster, last, before).await;
    all_run(cluster, NEXT).await;
    assert_eq!(level_file(&cluster.nodes[last]), level_line(End::next().level));
    told.say("With the slot back, the node comes up as before.");

    restart(cluster, last, |node| node.change(Path::new(PRODUCT), &["--next-zone=west"])).await;
    let id = cluster.status(last).await.expect("it answers").node;
    assert_eq!(zones(next, &cluster.nodes[0])[&id.to_string()], "west");
    told.say("A node that is restarted with `next-zone` registers in that zone: west.");
}

fn by_hand(node: &Node, verb: &str) -> Output {
    let mut command = Command::new(PRODUCT);
    command.arg(verb).args(["--bind", "127.0.0.1", "--port", &node.ports.client.to_string()]);
    command.args(["--peer-port", &node.ports.peer.to_string(), "--http-port", &node.ports.http.to_string()]);
    command.args(["--insecure", "yes"]).arg("--data-dir").arg(&node.data_dir).stdin(Stdio::null());
    command.output().expect("the binary can be started")
}

/// Every file below a directory, but for locks, whose content nobody reads.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("the directory can be listed") {
        let path = entry.expect("the directory can be listed").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            found.insert(path.clone(), std::fs::read(&path).expect("a file can be read"));
        }
    }
    found
}

/// Every process runs `version`, as it says itself.
pub(crate) async fn all_run(cluster: &Cluster, version: &str) {
    for index in 0..cluster.nodes.len() {
        until("the node runs the release", async || {
            let status = cluster.status(index).await?;
            (status.release.version.to_string() == version).then_some(())
        })
        .await;
    }
}

/// Waits until every launcher is of the release of this digest, or none.
pub(crate) async fn launchers_follow(cluster: &Cluster, digest: Digest, to_next: bool) {
    until("the launchers have become those of the release that runs", async || {
        cluster.nodes.iter().all(|node| launcher_runs(node, digest) == Some(to_next)).then_some(())
    })
    .await;
}

/// Where daemon and launcher both speak protocol 2, the daemon shows what only that one says.
async fn launcher_names_itself(cluster: &Cluster, index: usize) {
    let pid = u64::from(cluster.nodes[index].launcher_pid().as_raw_nonzero().get().unsigned_abs());
    until("the daemon knows its launcher", async || {
        let status: serde_json::Value = cluster.get(index, "/status").await?;
        (status["launcher"]["pid"].as_u64() == Some(pid)).then_some(())
    })
    .await;
}

fn zones(next: &Path, node: &Node) -> BTreeMap<String, String> {
    let output = cli_of(next, node, &["cluster", "nodes", "--json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    rows.as_array().expect("a list").iter().map(|row| (text(&row["node"]), text(&row["zone"]))).collect()
}

/// `ICNEXT.TOUCH key`, of the node that owns the key. `None`: no node does at the moment.
async fn touch(cluster: &Cluster, key: &str) -> Option<Result<u64, String>> {
    for node in &cluster.nodes {
        let client = redis::Client::open(format!("redis://{}/", node.client_addr())).ok()?;
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else { continue };
        match redis::cmd("ICNEXT.TOUCH").arg(key).query_async::<u64>(&mut connection).await {
            Ok(times) => return Some(Ok(times)),
            Err(error) if error.redirect_node().is_some() => {}
            Err(error) => return Some(Err(format!("{} {}", error.code()?, error.detail()?))),
        }
    }
    None
}

/// Waits until the key is this on two nodes: the owner and its replica.
async fn replicas_hold(cluster: &Cluster, key: &str, value: &str) {
    until("the replica holds what its primary does", async || {
        let mut holders = 0;
        for node in &cluster.nodes {
            let client = redis::Client::open(format!("redis://{}/", node.client_addr())).ok()?;
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            redis::cmd("READONLY").exec_async(&mut connection).await.ok()?;
            let held = redis::cmd("GET").arg(key).query_async::<Option<String>>(&mut connection).await;
            holders += usize::from(held.ok().flatten().as_deref() == Some(value));
        }
        (holders == 2).then_some(())
    })
    .await;
}
