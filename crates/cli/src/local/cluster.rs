//! The nodes of a local cluster, together.

use super::links::Links;
use super::node::LocalNode;
use super::ports;
use crate::cluster::create::{self, CreateSpec};
use crate::cluster::found::{FIRST_ADMIN, Founding};
use crate::cluster::newcomer::{CodeFrom, Newcomer};
use crate::cluster::served;
use crate::exit::Failure;
use anyhow::Context;
use ironcache_api::AckMode;
use ironcache_client::{Access, Client};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A debug build on a loaded machine takes some seconds; more is a fault.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Above what a launcher gives its daemon to drain.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is to be started.
#[derive(Clone, Debug)]
pub struct LocalSpec {
    /// The binary that every node starts with.
    pub binary: PathBuf,
    /// Variables of this process that no node inherits.
    pub private_variables: &'static [&'static str],
    /// Data directories and logs go there.
    pub dir: PathBuf,
    pub shards: u16,
    pub replicas: u16,
    /// The first node's client port; `None` looks for free ones.
    pub base_port: Option<u16>,
    pub links: Links,
    /// Settings of the cluster that differ from their defaults.
    pub set: BTreeMap<String, String>,
}

impl LocalSpec {
    /// What a cluster for trying things out is created with: a plan is final as soon as every node runs its target,
    /// unless `given` says otherwise.
    ///
    /// # Errors
    /// One of `given` is no `KEY=VALUE`, or its key is given twice.
    pub fn settings(given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
        let mut set = create::assignments(given)?;
        set.entry("finalize-after-s".to_owned()).or_insert_with(|| "0".to_owned());
        Ok(set)
    }

    /// The admin's; `None` where nobody has a key.
    pub fn credentials(&self) -> Option<PathBuf> {
        (!self.links.insecure).then(|| self.dir.join("credentials.json"))
    }

    fn access(&self) -> Result<Access, Failure> {
        self.credentials().map_or_else(|| Ok(Access::open()), |file| Ok(Access::of_file(&file)?))
    }

    /// Where a node has its data.
    pub(super) fn node_dir(&self, index: u16) -> PathBuf {
        self.dir.join(format!("node-{index}"))
    }

    /// A node that was started, and its join code, which it keeps in its directory until it belongs to a cluster.
    fn newcomer(&self, index: u16, addr: String) -> Newcomer {
        let code = || CodeFrom::File(self.node_dir(index).join("join.code"));
        Newcomer { addr, code: (!self.links.insecure).then(code) }
    }

    /// Witnesses included; `None` beyond what one machine has ports for.
    pub fn nodes(&self) -> Option<u16> {
        self.data_nodes()?.checked_add(self.witnesses())
    }

    fn data_nodes(&self) -> Option<u16> {
        self.shards.checked_mul(self.replicas.checked_add(1)?)
    }

    /// A primary and its replica alone are two voters, and neither may be away: a third one lets each be upgraded.
    fn witnesses(&self) -> u16 {
        u16::from(self.data_nodes() == Some(2) && self.replicas == 1)
    }
}

#[derive(Debug)]
pub struct LocalCluster {
    spec: LocalSpec,
    /// Those with data first.
    nodes: Vec<LocalNode>,
    client: Client,
}

impl LocalCluster {
    /// Starts the nodes, makes them one cluster, and returns when every replica is in sync and every node serves. `progress`
    /// is told what happens. In a cluster with keys the admin's credentials lie beside the nodes. The first poll to the last
    /// have to be on a thread that lives as long as the cluster should.
    pub async fn start(spec: &LocalSpec, mut progress: impl FnMut(&str)) -> Result<Self, Failure> {
        let count = spec
            .nodes()
            .ok_or_else(|| Failure::Usage("that is more nodes than there are ports".to_owned()))?;
        let ports = match spec.base_port {
            Some(base) => ports::from_base(base, count),
            None => ports::anywhere(count, spread()),
        };
        let ports = ports.map_err(|error| Failure::failed(error.to_string()))?;
        std::fs::create_dir_all(&spec.dir)
            .with_context(|| format!("could not make {}", spec.dir.display()))?;
        progress(&format!("starting {count} nodes in {}", spec.dir.display()));
        if spec.witnesses() > 0 {
            progress(
                "one of them is a witness: it votes and keeps no data, so that each other one can be upgraded",
            );
        }
        // From here on `cluster` owns what was started: an error below drops it, and that stops them.
        let http_addrs = ports.iter().map(|p| format!("127.0.0.1:{}", p.http)).collect();
        let mut cluster = Self { spec: spec.clone(), nodes: Vec::new(), client: Client::of_http(http_addrs) };
        for (index, ports) in (0..).zip(&ports) {
            cluster.nodes.push(LocalNode::start(spec, index, *ports)?);
        }
        let give_up = Instant::now() + START_TIMEOUT;
        cluster.wait_for_status(give_up).await?;
        if !cluster.is_member_already().await? {
            progress("creating the cluster");
            let mut data: Vec<Newcomer> =
                (0..).zip(cluster.http_addrs()).map(|(i, a)| spec.newcomer(i, a)).collect();
            let witnesses = data.split_off(data.len() - usize::from(spec.witnesses()));
            let create = CreateSpec {
                data,
                witnesses,
                replicas: spec.replicas,
                mode: AckMode::Primary,
                set: spec.set.clone(),
            };
            match spec.credentials() {
                Some(file) => Founding::prepare(&create, FIRST_ADMIN, &file).await?.carry_out().await?,
                None => create::create(&create::plan(&create).await?).await?,
            };
        }
        cluster.client = Client::with(spec.access()?, cluster.http_addrs());
        progress("waiting until every replica is in sync");
        cluster.wait_until_served(give_up).await?;
        Ok(cluster)
    }

    /// The admin's.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Of the nodes with data.
    pub fn client_addrs(&self) -> Vec<String> {
        let data = self.nodes.len() - usize::from(self.spec.witnesses());
        self.nodes[..data].iter().map(|n| format!("127.0.0.1:{}", n.ports.client)).collect()
    }

    /// Where their clients come by TLS, and what certificate they are to be shown; `None` if they come in plain.
    pub fn tls(&self) -> Option<(Vec<String>, &Path)> {
        let shown = self.spec.links.shown()?;
        let data = self.nodes.len() - usize::from(self.spec.witnesses());
        let addrs = self.nodes[..data].iter().map(|n| format!("127.0.0.1:{}", n.ports.tls)).collect();
        Some((addrs, shown.certificate))
    }

    pub fn http_addrs(&self) -> Vec<String> {
        self.nodes.iter().map(|n| format!("127.0.0.1:{}", n.ports.http)).collect()
    }

    pub fn credentials(&self) -> Option<PathBuf> {
        self.spec.credentials()
    }

    pub fn launcher_pids(&self) -> Vec<u32> {
        self.nodes.iter().map(LocalNode::launcher_pid).collect()
    }

    /// An error with its log's end, if a node has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.nodes.iter_mut().try_for_each(LocalNode::check)
    }

    /// Starts nodes again that have ended by themselves, and says so: one that ends at once is tried again after a while.
    pub fn revive(&mut self, mut say: impl FnMut(&str)) {
        let Self { spec, nodes, client: _ } = self;
        for (index, node) in (0..).zip(nodes) {
            if let Some(told) = node.revive(spec, index) {
                say(&told);
            }
        }
    }

    /// Stops every node and waits for that; what does not stop in time is killed.
    pub fn stop(&mut self) {
        for node in &self.nodes {
            node.ask_to_stop();
        }
        let give_up = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < give_up && !self.nodes.iter_mut().all(LocalNode::has_ended) {
            std::thread::sleep(Duration::from_millis(10));
        }
        for node in &mut self.nodes {
            if !node.has_ended() {
                node.kill();
            }
        }
        self.nodes.clear();
    }

    async fn wait_for_status(&mut self, give_up: Instant) -> Result<(), Failure> {
        for addr in self.http_addrs() {
            let node = Client::of_http(vec![addr.clone()]);
            loop {
                self.check()?;
                // Not the error but the deadline ends this: a node that is starting refuses connections.
                match tokio::time::timeout_at(give_up.into(), node.status()).await {
                    Ok(Ok(_)) => break,
                    Ok(Err(_)) if Instant::now() < give_up => tokio::time::sleep(LOOK_EVERY).await,
                    Ok(Err(_)) | Err(_) => return Err(late(&format!("the node at {addr} does not answer"))),
                }
            }
        }
        Ok(())
    }

    /// A kept directory holds a cluster that comes back by itself.
    async fn is_member_already(&self) -> Result<bool, Failure> {
        Ok(!self.client.status().await?.pristine)
    }

    async fn wait_until_served(&mut self, give_up: Instant) -> Result<(), Failure> {
        let Self { spec: _, nodes, client } = self;
        let count = nodes.len();
        let alive = || nodes.iter_mut().try_for_each(LocalNode::check);
        served::wait(client, count, give_up, alive).await.map_err(|failure| match failure {
            Failure::Unreachable(what) => late(&what),
            other => other,
        })
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn late(what: &str) -> Failure {
    Failure::Unreachable(format!("{what}, {} s after the start", START_TIMEOUT.as_secs()))
}

/// A number that differs between processes that start at the same moment.
fn spread() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(std::process::id())
}
