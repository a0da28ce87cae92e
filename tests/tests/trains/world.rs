//! The releases that a train runs between, and what nodes of two of them look like from outside.

use crate::PRODUCT;
use ironcache_api::{Direction, Outcome, Phase, Plan};
use ironcache_tests::{Cluster, Node, Spec, until};
use ironcache_types::{Digest, Incarnation, Manifest, PlanId};
use rustix::process::Pid;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A release that a train begins or ends at, as its binary says of itself.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub binary: PathBuf,
    pub version: String,
    /// The highest that it admits.
    pub level: u16,
}

impl End {
    pub(crate) fn this() -> Self {
        Self::of(PathBuf::from(PRODUCT))
    }

    pub(crate) fn next() -> Self {
        Self::of(next())
    }

    /// The newest release that was cut.
    ///
    /// # Panics
    /// If nobody says where its binary is, or nothing was released yet.
    pub(crate) fn released() -> Self {
        let path = std::env::var_os("IRONCACHE_RELEASED").expect(
            "IRONCACHE_RELEASED names the binary of the newest release that was cut: `make train-released` builds it, and \
             says so if there is none",
        );
        Self::of(PathBuf::from(path))
    }

    fn of(binary: PathBuf) -> Self {
        let bytes = std::fs::read(&binary).unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let Manifest { version, levels, .. } = Manifest::read(&bytes).expect("a binary of ours has a stamp");
        Self { binary, version: version.to_string(), level: levels.max.0 }
    }
}

/// The binary of the feature `next`.
///
/// # Panics
/// If it was not built.
pub(crate) fn next() -> PathBuf {
    let beside = || Path::new(PRODUCT).with_file_name("ironcache-next");
    let path = std::env::var_os("IRONCACHE_NEXT").map_or_else(beside, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: `make train` builds it, or IRONCACHE_NEXT names it",
        path.display()
    );
    path
}

/// A cluster of this release that is final by command only.
pub(crate) fn spec(shards: u16, replicas: u16) -> Spec {
    spec_of(&End::this(), shards, replicas)
}

/// The same of any release.
pub(crate) fn spec_of(end: &End, shards: u16, replicas: u16) -> Spec {
    let binary = end.binary.to_str().expect("a path of ours is text");
    let mut spec = Spec::new(binary, shards, replicas).setting("finalize-after-s", "never");
    spec = spec.setting("settle-ms", "200").with(&[("hang-timeout-ms", 60_000)]);
    spec.witnesses = 1;
    spec
}

/// Runs a command of `binary` that knows one node only.
pub(crate) fn cli_of(binary: &Path, node: &Node, args: &[&str]) -> Output {
    let mut command = std::process::Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("IRONCACHE_"))
    {
        command.env_remove(name);
    }
    command.args(args).env("IRONCACHE_SEED", node.http_addr()).env("IRONCACHE_CREDENTIALS", "none");
    command.output().expect("the binary can be started")
}

/// Asks every node alike.
pub(crate) fn cli_of_all(binary: &Path, cluster: &Cluster, args: &[&str]) -> Vec<Output> {
    cluster.nodes.iter().map(|node| cli_of(binary, node, args)).collect()
}

pub(crate) async fn until_soaking(cluster: &Cluster) -> Plan {
    cluster
        .until_plan("every node runs the target", |plan| {
            assert!(!matches!(plan.phase, Phase::Held { .. }), "{plan:#?}");
            matches!(plan.phase, Phase::Soaking { .. }).then(|| plan.clone())
        })
        .await
}

/// Waits for a plan that was turned round to end.
pub(crate) async fn until_rolled_back(cluster: &Cluster, plan: PlanId) -> Plan {
    let (plan, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::RolledBack, "{plan:#?}");
    assert!(matches!(plan.direction, Direction::Back { .. }), "{plan:#?}");
    plan
}

/// Stops node `index` as an operator does; `change` happens while it is stopped. Returns when its next process is a whole
/// part of the cluster.
pub(crate) async fn restart(cluster: &mut Cluster, index: usize, change: impl FnOnce(&mut Node)) {
    let before = until("the node answers", async || cluster.status(index).await).await.incarnation;
    assert!(cluster.nodes[index].stop().success());
    change(&mut cluster.nodes[index]);
    cluster.nodes[index].start_again();
    until_returned(cluster, index, before).await;
}

/// Waits until a later process of node `index` than that of `before` is a whole part of the cluster.
pub(crate) async fn until_returned(cluster: &Cluster, index: usize, before: Incarnation) {
    let status = until("its next process answers", async || {
        cluster.status(index).await.filter(|status| status.incarnation > before)
    })
    .await;
    cluster
        .until_cluster("it has registered", |seen| {
            (seen.control.nodes[&status.node].incarnation > before).then_some(())
        })
        .await;
    cluster.until_whole().await;
}

/// What the file `level` of a node says, without its checksum.
pub(crate) fn level_file(node: &Node) -> String {
    let line = std::fs::read_to_string(node.data_dir.join("level")).expect("a member has the file");
    line.split(" crc32 ").next().unwrap_or_default().to_owned()
}

pub(crate) fn level_line(level: u16) -> String {
    format!("ironcache-level {level}")
}

pub(crate) async fn until_level(cluster: &Cluster, level: u16) {
    let line = level_line(level);
    until("every node's file says the level", async || {
        cluster.nodes.iter().all(|node| level_file(node) == line).then_some(())
    })
    .await;
}

/// A gauge of node `index` by the line that begins with `name`.
pub(crate) async fn gauge(cluster: &Cluster, index: usize, name: &str) -> Option<u64> {
    let url = format!("http://{}/metrics", cluster.nodes[index].http_addr());
    let client = reqwest::Client::builder().no_proxy().build().ok()?;
    let text = client.get(url).timeout(Duration::from_secs(2)).send().await.ok()?.text().await.ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
        .map(|value| value as u64)
}

pub(crate) const PURGED: &str = "ironcache_raft_index{at=\"purged\"}";
pub(crate) const APPLIED: &str = "ironcache_raft_index{at=\"applied\"}";

/// Which launchers were seen with which daemons: `(launcher is of the later release, daemon is)`.
pub(crate) struct Pairs {
    seen: Arc<Mutex<BTreeSet<(bool, bool)>>>,
    stop: Arc<AtomicBool>,
}

impl Pairs {
    /// Looks at these launchers and their children until it is dropped. `next` is the later release.
    pub(crate) fn watch(launchers: Vec<Pid>, next: Digest) -> Self {
        let (seen, stop) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let (noted, over) = (Arc::clone(&seen), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for launcher in &launchers {
                    if let Some(pair) = pair(*launcher, next) {
                        noted.lock().expect("nothing panics while it holds it").insert(pair);
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Pairs { seen, stop }
    }

    pub(crate) fn seen(&self) -> BTreeSet<(bool, bool)> {
        self.seen.lock().expect("nothing panics while it holds it").clone()
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn pair(launcher: Pid, next: Digest) -> Option<(bool, bool)> {
    let id = launcher.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    let daemon: i32 = children.split_whitespace().next()?.parse().ok()?;
    // A preflight, or a child that has not reached its exec, is no daemon yet.
    let line = std::fs::read(format!("/proc/{daemon}/cmdline")).ok()?;
    let verb = line.split(|byte| *byte == 0).nth(1)?;
    (verb == b"server-daemon").then_some(())?;
    Some((runs(id.get(), next)?, runs(daemon, next)?))
}

/// Does the process run the release of this digest? A slot's path names its digest.
fn runs(process: i32, next: Digest) -> Option<bool> {
    let exe = std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
    Some(exe.to_string_lossy().contains(&next.to_string()))
}

/// Does the launcher of a node run the release of this digest?
pub(crate) fn launcher_runs(node: &Node, next: Digest) -> Option<bool> {
    runs(node.launcher_pid().as_raw_nonzero().get(), next)
}
