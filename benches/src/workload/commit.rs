//! Committing an entry of the control plane: real log files, real HTTP on loopback, all nodes in this process.

use anyhow::{Context, Result, ensure};
use ironcache_control::{Command, InitCluster, NodeRole, NodeSpec, Policy, ShardSpec};
use ironcache_raft::{PeerAddr, RaftNode, RaftOptions, Role};
use ironcache_types::{
    ClusterId, Digest, Incarnation, LEVELS, Level, Member, NodeId, Release, ShardId, SlotSet, Version,
    WireRange,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const CLUSTER: ClusterId = ClusterId(0xbe);
/// An election takes a second or two.
const LEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// About what the log writes for one entry.
const ENTRY_BYTES: usize = 200;

/// Voters in this process. Dropped without [`Group::stop`], the nodes end with their runtime.
pub struct Group {
    voters: Vec<Voter>,
    leader: usize,
    next_incarnation: u64,
}

struct Voter {
    node: RaftNode,
    server: JoinHandle<()>,
}

impl Group {
    /// Starts `voters` nodes with their logs in `dir`, and waits for a leader.
    pub async fn start(dir: &Path, voters: u64) -> Result<Self> {
        let mut group = Group { voters: Vec::new(), leader: 0, next_incarnation: 1000 };
        let mut members = BTreeMap::new();
        for id in 1..=voters {
            let (voter, addr) = Voter::start(NodeId(id), dir).await?;
            members.insert(NodeId(id), (addr, Role::Voter));
            group.voters.push(voter);
        }
        group.voters[0]
            .node
            .initialize(CLUSTER, Level::FIRST, members)
            .await
            .context("the group was not founded")?;
        group.leader = group.wait_for_leader().await?;
        let first = group.voters[group.leader].node.propose(init_cluster(voters)).await?;
        ensure!(first.outcome.is_ok(), "the control state refused its first command: {first:?}");
        Ok(group)
    }

    async fn wait_for_leader(&self) -> Result<usize> {
        let started = Instant::now();
        loop {
            if let Some(leader) = self.voters.iter().position(|voter| voter.node.view().is_leader) {
                return Ok(leader);
            }
            ensure!(started.elapsed() < LEADER_TIMEOUT, "nobody leads after {} s", LEADER_TIMEOUT.as_secs());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Proposes on the leader an entry that changes the state, and waits until it is committed and applied.
    pub async fn commit(&mut self) -> Result<()> {
        self.next_incarnation += 1;
        let command = register(NodeId(1), Incarnation(self.next_incarnation));
        let proposed = self.voters[self.leader].node.propose(command).await?;
        ensure!(proposed.outcome.is_ok(), "the control state refused a registration: {proposed:?}");
        Ok(())
    }

    /// The times of `count` commits, and of as many bare appends to `floor`, in turns.
    pub async fn commits_beside(&mut self, floor: &mut Appends, count: usize) -> Result<[Vec<Duration>; 2]> {
        let mut times = [Vec::with_capacity(count), Vec::with_capacity(count)];
        for _ in 0..count {
            let started = Instant::now();
            self.commit().await?;
            times[0].push(started.elapsed());
            let started = Instant::now();
            floor.append()?;
            times[1].push(started.elapsed());
        }
        Ok(times)
    }

    pub async fn stop(self) {
        for Voter { node, server } in self.voters {
            server.abort();
            node.shutdown().await;
        }
    }
}

impl Voter {
    async fn start(id: NodeId, dir: &Path) -> Result<(Voter, PeerAddr)> {
        let node = RaftNode::open(RaftOptions::new(
            Member { node: id, incarnation: Incarnation(1) },
            dir.join(format!("node-{id}")),
        ))
        .await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = PeerAddr(listener.local_addr()?.to_string());
        let router = node.router();
        let server = tokio::spawn(async move {
            use axum::serve::ListenerExt;
            let listener = listener.tap_io(|stream| {
                // A stream whose peer has gone already is of no use either way.
                let _ = stream.set_nodelay(true);
            });
            // It ends only when the task is aborted; a commit that fails says more than an error here.
            let _ = axum::serve(listener, router).await;
        });
        Ok((Voter { node, server }, addr))
    }
}

/// The floor under a commit: a file to which bytes of an entry's size are appended, each made durable.
pub struct Appends(File);

impl Appends {
    pub fn new(dir: &Path) -> io::Result<Self> {
        File::create(dir.join("appends")).map(Appends)
    }

    pub fn append(&mut self) -> io::Result<()> {
        self.0.write_all(&[7; ENTRY_BYTES])?;
        self.0.sync_data()
    }
}

fn spec(node: NodeId) -> NodeSpec {
    let addr = |base: u64| format!("127.0.0.1:{}", base + node.0);
    NodeSpec {
        member: Member { node, incarnation: Incarnation(100 + node.0) },
        client_addr: addr(7000),
        peer_addr: addr(17000),
        http_addr: addr(27000),
        role: NodeRole::Data,
        voter: true,
        shard: Some(ShardId(0)),
        release: Release { version: Version::new(0, 1, 0), digest: Digest([7; 32]) },
        levels: LEVELS,
        launcher_protocol: WireRange::CURRENT,
        machine: ironcache_types::MachineId::default(),
    }
}

fn init_cluster(nodes: u64) -> Command {
    let ids = || (1..=nodes).map(NodeId);
    Command::InitCluster(InitCluster {
        cluster_id: CLUSTER,
        nodes: ids().map(spec).collect(),
        shards: vec![ShardSpec { id: ShardId(0), slots: SlotSet::part(0, 1), nodes: ids().collect() }],
        policy: Policy::default(),
        security: ironcache_control::NewSecurity::Insecure,
    })
}

fn register(node: NodeId, incarnation: Incarnation) -> Command {
    let NodeSpec { client_addr, peer_addr, http_addr, release, levels, launcher_protocol, machine, .. } =
        spec(node);
    let member = Member { node, incarnation };
    Command::RegisterNode {
        member,
        client_addr,
        peer_addr,
        http_addr,
        release,
        levels,
        launcher_protocol,
        machine,
    }
}
