//! A cluster of real processes.

use crate::node::{Node, Ports, clean_command};
use crate::wait::{until, until_just};
use ironcache_api::{
    AckMode, ClusterStatus, NodeRole, NodeStatus, Outcome, Ownership, Plan, PlanRequest, PolicyChange,
    StageHold, StagedRelease, UpgradeStatus,
};
use ironcache_cli::cluster::create::{self, CreateSpec};
use ironcache_cli::cluster::found::{FIRST_ADMIN, Founding};
use ironcache_cli::cluster::newcomer::{CodeFrom, Newcomer};
use ironcache_client::{Access, Client};
use ironcache_types::{Digest, NodeId, PlanId, Version};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Two clusters at once on a small machine elect for nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
/// A node that is stopped takes the question and does not answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// Who may ask the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doors {
    /// Everybody: most tests are about something else.
    Insecure,
    /// Whoever has a key.
    Keys,
}

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Spec {
    pub binary: PathBuf,
    pub shards: u16,
    pub replicas: u16,
    pub witnesses: u16,
    pub mode: AckMode,
    /// Settings of the cluster that differ from their defaults.
    pub set: Vec<(&'static str, &'static str)>,
    /// For every node.
    pub flags: Vec<String>,
    pub doors: Doors,
    /// The configuration file that witnesses are started with again, once they belong to the cluster.
    pub witness_config: &'static str,
}

impl Spec {
    /// Shards of a primary and `replicas`, with timers that suit a test.
    pub fn new(binary: &str, shards: u16, replicas: u16) -> Self {
        Self {
            binary: PathBuf::from(binary),
            shards,
            replicas,
            witnesses: 0,
            mode: AckMode::Primary,
            // Final as soon as every node runs the target, and held where it fails: most tests are about what comes
            // before.
            set: vec![("finalize-after-s", "0"), ("on-failure", "hold")],
            flags: Vec::new(),
            doors: Doors::Insecure,
            witness_config: "",
        }
    }

    /// As `cluster create --set`; the last one of a key counts.
    pub fn setting(mut self, key: &'static str, value: &'static str) -> Self {
        self.set.push((key, value));
        self
    }

    pub fn with(mut self, flags: &[(&str, u64)]) -> Self {
        self.flags.extend(flags.iter().map(|(key, value)| format!("--{key}={value}")));
        self
    }

    /// Witnesses elect themselves before anybody else gives the leader up: one of them leads, once the node
    /// that founded the cluster no longer does. No cluster is created of nodes with other timers than it is to have, so
    /// they are given theirs afterwards.
    pub fn with_leading_witnesses(mut self, count: u16) -> Self {
        self.witnesses = count;
        self.witness_config = "election-min-ms = 250\nelection-max-ms = 300\n";
        self
    }

    /// The cluster has keys; the test asks with the first admin's.
    pub fn keyed(mut self) -> Self {
        self.doors = Doors::Keys;
        self
    }

    pub fn in_sync(mut self) -> Self {
        self.mode = AckMode::InSync;
        self
    }
}

#[derive(Debug)]
pub struct Cluster {
    /// Data nodes, primaries first; then the witnesses.
    pub nodes: Vec<Node>,
    dir: tempfile::TempDir,
    binary: PathBuf,
    doors: Doors,
    http: reqwest::Client,
    /// The node that answered last is asked first.
    preferred: AtomicUsize,
    _one_at_a_time: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts the nodes of `spec`; each is a cluster of its own making yet.
    pub async fn start_nodes(spec: &Spec) -> Self {
        let one_at_a_time = ONE_AT_A_TIME.lock().await;
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let data = usize::from(spec.shards * (1 + spec.replicas));
        let ports = Ports::free(data + usize::from(spec.witnesses));
        let nodes = (0..).zip(&ports);
        let flags = || [spec.doors.flags(), spec.flags.clone()].concat();
        let nodes = nodes.map(|(i, ports)| Node::start(&spec.binary, dir.path(), i, *ports, flags()));
        let mut cluster = Self {
            nodes: nodes.collect(),
            dir,
            binary: spec.binary.clone(),
            doors: spec.doors,
            http: reqwest::Client::builder().no_proxy().build().expect("a plain client can be made"),
            preferred: AtomicUsize::new(0),
            _one_at_a_time: one_at_a_time,
        };
        for index in 0..cluster.nodes.len() {
            cluster.until_answers(index).await;
        }
        cluster
    }

    /// Starts nodes, makes one cluster of them, and waits until every replica is in sync.
    pub async fn start(spec: &Spec) -> Self {
        let cluster = Self::start_nodes(spec).await;
        let data = usize::from(spec.shards * (1 + spec.replicas));
        let mut nodes: Vec<_> = cluster.nodes.iter().map(|node| cluster.doors.newcomer(node)).collect();
        let witnesses = nodes.split_off(data);
        let create = CreateSpec {
            data: nodes,
            witnesses,
            replicas: spec.replicas,
            mode: spec.mode.clone(),
            set: spec.set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        match spec.doors {
            Doors::Insecure => {
                let request = create::plan(&create).await.expect("the layout fits");
                create::create(&request).await.expect("the cluster can be created");
            }
            Doors::Keys => {
                let founding = Founding::prepare(&create, FIRST_ADMIN, &cluster.credentials()).await;
                founding.expect("the nodes are met").carry_out().await.expect("the cluster can be created");
            }
        }
        cluster.until_whole().await;
        if !spec.witness_config.is_empty() {
            for index in data..cluster.nodes.len() {
                cluster.configure_anew(index, spec.witness_config).await;
            }
            cluster.until_whole().await;
        }
        cluster
    }

    /// As [`Cluster::start`], by `cluster create` of the nodes' own binary: of whichever release it is, nothing of this
    /// one's has a part in it.
    pub async fn start_by_command(spec: &Spec) -> Self {
        let cluster = Self::start_nodes(spec).await;
        let Spec { binary: _, shards, replicas, witnesses: _, mode, set, flags: _, doors, witness_config } =
            spec;
        assert!(witness_config.is_empty(), "no witness is configured anew here");
        let named: Vec<String> = cluster.nodes.iter().map(|node| doors.named(node)).collect();
        let (data, witnesses) = named.split_at(usize::from(shards * (1 + replicas)));
        let (mode, replicas) =
            (if *mode == AckMode::InSync { "in-sync" } else { "primary" }, replicas.to_string());
        // A key that is given twice is refused.
        let set: BTreeMap<&str, &str> = set.iter().copied().collect();
        let credentials = cluster.credentials();
        let mut command = cluster.cli_command(&["cluster", "create", "--yes", "--mode", mode, "--replicas"]);
        command.arg(replicas).args(witnesses.iter().flat_map(|witness| ["--witness", witness]));
        command.args(set.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]));
        match doors {
            Doors::Insecure => command.arg("--insecure"),
            Doors::Keys => command.arg("--credentials").arg(credentials),
        };
        let output = command.args(data).output().expect("the binary can be started");
        assert!(output.status.success(), "the cluster cannot be created: {output:?}");
        cluster.until_whole().await;
        cluster
    }

    /// Writes a node's configuration file, and has its launcher start another daemon.
    async fn configure_anew(&self, index: usize, config: &str) {
        let node = &self.nodes[index];
        std::fs::write(&node.config, config).expect("a file can be written");
        let old = node.signal_daemon(Signal::KILL).expect("the daemon runs").as_raw_nonzero().get();
        until("the next daemon answers", async || {
            let status = self.status(index).await?;
            (status.pid != old.unsigned_abs()).then_some(())
        })
        .await;
    }

    /// Starts one node more, and waits until it answers: its position. It belongs to no cluster yet.
    pub async fn start_another(&mut self) -> usize {
        self.start_another_with(Vec::new()).await
    }

    /// The same, with these flags more.
    pub async fn start_another_with(&mut self, more: Vec<String>) -> usize {
        let (index, ports) = (self.nodes.len(), Ports::free(1)[0]);
        let flags = [self.doors.flags(), more].concat();
        self.nodes.push(Node::start(&self.binary, self.dir.path(), index, ports, flags));
        self.until_answers(index).await;
        index
    }

    /// As if the machine died and its disk with it: nothing of the node is left.
    pub fn lose(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.signal_launcher(Signal::KILL);
        node.ended();
        std::fs::remove_dir_all(&node.data_dir).expect("the directory of a node that ended can be removed");
    }

    pub async fn until_answers(&mut self, index: usize) {
        until("a node that was started answers", async || {
            let ended = self.nodes[index].has_ended();
            assert_eq!(ended, None, "node {index} ended:\n{}", self.nodes[index].log_tail());
            self.status(index).await
        })
        .await;
    }

    /// What `GET /readyz` of node `index` says, if it answers.
    pub async fn readyz(&self, index: usize) -> Option<String> {
        let url = format!("http://{}/readyz", self.nodes[index].http_addr());
        self.http.get(url).timeout(ASK_TIMEOUT).send().await.ok()?.text().await.ok()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The first admin's, of a cluster with keys.
    pub fn credentials(&self) -> PathBuf {
        self.dir.path().join("credentials.json")
    }

    pub fn client(&self) -> Client {
        let addrs = self.nodes.iter().map(Node::http_addr).collect();
        match self.doors {
            Doors::Insecure => Client::of_http(addrs),
            Doors::Keys => {
                let access = Access::of_file(&self.credentials()).expect("the cluster was created");
                Client::with(access, addrs)
            }
        }
    }

    // ── looking ──────────────────────────────────────────────────────────────────────────────────

    /// What node `index` says of itself, if it answers.
    pub async fn status(&self, index: usize) -> Option<NodeStatus> {
        self.get(index, "/status").await
    }

    pub async fn cluster(&self) -> Option<ClusterStatus> {
        match self.doors {
            Doors::Insecure => self.ask("/v1/cluster").await,
            Doors::Keys => self.client().cluster().await.ok(),
        }
    }

    pub async fn upgrade(&self) -> Option<UpgradeStatus> {
        match self.doors {
            Doors::Insecure => self.ask("/v1/upgrade").await,
            Doors::Keys => self.client().upgrade().await.ok(),
        }
    }

    pub async fn get<T: DeserializeOwned>(&self, index: usize, path: &str) -> Option<T> {
        let url = format!("http://{}{path}", self.nodes[index].http_addr());
        let answer = self.http.get(url).timeout(ASK_TIMEOUT).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let first = self.preferred.load(Ordering::Relaxed);
        for index in (0..self.nodes.len()).map(|i| (first + i) % self.nodes.len()) {
            if let Some(answer) = self.get(index, path).await {
                self.preferred.store(index, Ordering::Relaxed);
                return Some(answer);
            }
        }
        None
    }

    /// Waits for something in the leader's view.
    pub async fn until_cluster<T>(&self, what: &str, look: impl Fn(&ClusterStatus) -> Option<T>) -> T {
        until(what, async || self.cluster().await.and_then(|status| look(&status))).await
    }

    /// Waits for something in what the leader says of the plan.
    pub async fn until_upgrade<T>(&self, what: &str, look: impl Fn(&UpgradeStatus) -> Option<T>) -> T {
        until(what, async || self.upgrade().await.and_then(|status| look(&status))).await
    }

    /// Waits for something in the active plan.
    pub async fn until_plan<T>(&self, what: &str, look: impl Fn(&Plan) -> Option<T>) -> T {
        self.until_upgrade(what, |status| {
            let ended = status.history.last().filter(|_| status.plan.is_none());
            assert!(ended.is_none(), "the plan ended before this was seen: {what}\n{ended:#?}");
            look(status.plan.as_ref()?)
        })
        .await
    }

    /// Every node ready, every shard with a primary, every replica in sync, nobody out.
    pub async fn until_whole(&self) {
        self.until_cluster("every node is ready and in sync", |status| {
            let whole = status.nodes.values().filter(|n| n.ready).count() == self.nodes.len()
                && status.control.nodes.values().all(|n| n.out.is_none())
                && status.control.shards.values().all(|shard| {
                    matches!(shard.ownership, Ownership::Serving(_))
                        && shard.in_sync.len() == shard.nodes.len()
                });
            whole.then_some(())
        })
        .await;
    }

    /// Waits for the newest plan's end: its last state, and how it ended.
    pub async fn until_ended(&self, plan: PlanId) -> (Plan, Outcome) {
        self.until_upgrade("the plan ends", |status| {
            let entry = status.history.iter().find(|entry| entry.plan.id == plan)?;
            Some((entry.plan.clone(), entry.outcome.clone()))
        })
        .await
    }

    /// Position in [`Cluster::nodes`].
    pub async fn index_of(&self, id: NodeId) -> usize {
        until("the node is among those that were started", async || {
            for index in 0..self.nodes.len() {
                if self.status(index).await.is_some_and(|status| status.node == id) {
                    return Some(index);
                }
            }
            None
        })
        .await
    }

    /// Waits for something in node `index`'s own view, also for what lasts some milliseconds only. It needs no
    /// leader.
    pub async fn until_seen_by<T>(
        &self,
        index: usize,
        what: &str,
        look: impl Fn(&NodeStatus) -> Option<T>,
    ) -> T {
        until_just(what, async || self.status(index).await.and_then(|status| look(&status))).await
    }

    /// Who leads raft: its position, and its view.
    pub async fn leader(&self) -> (usize, ClusterStatus) {
        let status = self.until_cluster("somebody leads", |status| Some(status.clone())).await;
        (self.index_of(status.leader).await, status)
    }

    /// Ids in the order of [`Cluster::nodes`].
    pub async fn ids(&self) -> Vec<NodeId> {
        let mut ids = Vec::new();
        for index in 0..self.nodes.len() {
            ids.push(until("a node says who it is", async || self.status(index).await).await.node);
        }
        ids
    }

    // ── acting ───────────────────────────────────────────────────────────────────────────────────

    /// Runs a command of the product against this cluster.
    pub fn cli(&self, args: &[&str]) -> Output {
        self.cli_command(args).output().expect("the binary can be started")
    }

    pub fn cli_command(&self, args: &[&str]) -> std::process::Command {
        self.command_of(&self.binary, args)
    }

    /// A command of another binary than the one that the cluster was started with.
    pub fn command_of(&self, binary: &Path, args: &[&str]) -> std::process::Command {
        let seeds: Vec<_> = self.nodes.iter().map(Node::http_addr).collect();
        let mut command = clean_command(binary);
        command.args(args).env("IRONCACHE_SEED", seeds.join(","));
        match self.doors {
            Doors::Insecure => command.env("IRONCACHE_CREDENTIALS", "none"),
            Doors::Keys => command.env("IRONCACHE_CREDENTIALS", self.credentials()),
        };
        command
    }

    /// A copy of `binary` that says of itself that it is `version`.
    pub fn release(&self, binary: &Path, version: &str) -> PathBuf {
        let out = self.dir.path().join(format!("release-{version}"));
        let version: Version = version.parse().expect("a version");
        ironcache_cli::release::stamped_copy(binary, &version, &out).expect("the binary can be stamped");
        out
    }

    /// Hands a copy of the product that says of itself that it is `version` to the cluster.
    pub async fn stage(&self, version: &str) -> StagedRelease {
        self.stage_file(&self.release(&self.binary, version)).await
    }

    pub async fn stage_file(&self, file: &Path) -> StagedRelease {
        self.client().stage(file, StageHold::Free).await.expect("the release can be staged")
    }

    /// [`Cluster::stage`] with `--hold`: no policy starts it.
    pub async fn stage_on_hold(&self, version: &str) -> StagedRelease {
        let file = self.release(&self.binary, version);
        self.client().stage(&file, StageHold::Held).await.expect("the release can be staged")
    }

    /// Waits until every node holds the release.
    pub async fn until_held_by_all(&self, digest: Digest) {
        let holds = |status: &ClusterStatus| {
            let nodes = &status.control.nodes;
            nodes.values().all(|node| node.staged.contains(&digest)).then_some(())
        };
        self.until_cluster("every node holds the release", holds).await;
    }

    /// Makes a witness lead raft, if none does: whoever leads is halted until a witness has taken over.
    pub async fn let_a_witness_lead(&self) {
        let is_witness =
            |status: &ClusterStatus| status.control.nodes[&status.leader].role == NodeRole::Witness;
        loop {
            let (leader, status) = self.leader().await;
            if is_witness(&status) {
                break;
            }
            self.nodes[leader].signal_daemon(Signal::STOP);
            self.until_cluster("somebody else leads", |next| (next.term > status.term).then_some(())).await;
            self.nodes[leader].signal_daemon(Signal::CONT);
        }
        self.until_whole().await;
    }

    /// Kills the daemon that leads raft, as `kill -9` does, and waits until somebody leads after it: its view.
    ///
    /// # Panics
    /// If the leader owns a shard.
    pub async fn kill_leader(&self) -> ClusterStatus {
        let (leader, status) = self.leader().await;
        self.kill_this_leader(leader, &status).await
    }

    /// [`Cluster::kill_leader`] without a moment lost on finding it.
    pub async fn kill_this_leader(&self, leader: usize, seen: &ClusterStatus) -> ClusterStatus {
        self.nodes[leader].signal_daemon(Signal::KILL).expect("the leader's daemon runs");
        assert!(!seen.control.is_primary_node(seen.leader), "a primary would be killed");
        self.until_cluster("the next leader leads", |next| (next.term > seen.term).then(|| next.clone()))
            .await
    }

    /// `cluster policy set KEY VALUE`.
    pub async fn set_policy(&self, key: &str, value: &str) {
        let set = [(key.to_owned(), value.to_owned())].into();
        let change = PolicyChange { set, seen: None };
        self.client().set_policy(&change).await.expect("the policy can be changed");
    }

    /// Starts a plan.
    pub async fn set_target(&self, version: &str, settle_ms: Option<u64>) -> PlanId {
        let target = version.parse().expect("a version");
        let request = PlanRequest { target, digest: None, dry_run: false, max_parallel: None, settle_ms };
        let answer = self.client().plan(&request).await.expect("the plan is accepted");
        answer.plan.expect("a plan that was accepted has a number")
    }
}

impl Doors {
    /// Of each node.
    fn flags(self) -> Vec<String> {
        match self {
            Doors::Insecure => vec!["--insecure=yes".to_owned()],
            Doors::Keys => Vec::new(),
        }
    }

    /// As a command names a node that is in no cluster yet.
    fn newcomer(self, node: &Node) -> Newcomer {
        let code = match self {
            Doors::Insecure => None,
            Doors::Keys => Some(CodeFrom::File(node.data_dir.join("join.code"))),
        };
        Newcomer { addr: node.http_addr(), code }
    }

    /// The same, on a command line.
    fn named(self, node: &Node) -> String {
        match self {
            Doors::Insecure => node.http_addr(),
            Doors::Keys => format!("{}=@{}", node.http_addr(), node.data_dir.join("join.code").display()),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (index, node) in self.nodes.iter().enumerate() {
                eprintln!("── the end of node {index}'s log ──\n  {}", node.log_tail());
            }
        }
    }
}
