//! `ironcache cluster add-node`, `replace-node`, `remove-node`: nodes that join and leave.
//!
//! Who joins a cluster with keys is met first: both sides prove the node's join code, and the node is told who it belongs with.
//!
//! Asked again, a change that was begun goes on: who is a member by now is known by its key, and is never told to forget what it
//! has.
//!
//! Each begins a change and returns; with `--wait` it returns when the change has come to its end, data included.

use super::Seeds;
use super::newcomer::Newcomer;
use crate::exit::{Failure, Format};
use crate::output;
use crate::text;
use ironcache_api::{AddNode, Admitted, ClusterStatus, ControlView, Done, JoinBind, RemoveNode, ReplaceNode};
use ironcache_client::{Access, Client, ClientError, join, seed};
use ironcache_identity::Tls;
use ironcache_types::{KeyHash, NodeId, ShardId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Between two looks at a change that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Clone, Debug, clap::Args)]
pub struct AddNodeArgs {
    /// A pristine node that runs: its client or http address, and a file with the join code that it prints (an insecure cluster takes none)
    #[arg(value_name = "HOST:PORT=@FILE")]
    newcomer: Newcomer,
    /// The shard that it is to hold a copy of; of a cluster with one shard, that one
    #[arg(long, value_name = "SHARD", conflicts_with = "witness")]
    shard: Option<u16>,
    /// It is to vote, and to hold no data
    #[arg(long)]
    witness: bool,
    /// Without a vote: as an eighth node, or where the number of voters is right already
    #[arg(long)]
    learner: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ReplaceNodeArgs {
    /// The node that is to go, dead or alive: its id, or an address of it
    #[arg(value_name = "NODE")]
    old: String,
    /// A pristine node that runs, maybe where the old one was: its client or http address, and a file with the join code
    /// that it prints
    #[arg(value_name = "HOST:PORT=@FILE")]
    newcomer: Newcomer,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RemoveNodeArgs {
    /// The node that is to go, dead or alive: its id, or an address of it
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    seeds: Seeds,
    /// Return when the change is done, and the node in sync
    #[arg(long)]
    wait: bool,
    /// Stop waiting after this (the change goes on): 90s, 10m
    #[arg(long, value_name = "DURATION", value_parser = output::parse_duration, requires = "wait")]
    timeout: Option<Duration>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl AddNodeArgs {
    pub fn json(&self) -> bool {
        self.common.json
    }
}

impl ReplaceNodeArgs {
    pub fn json(&self) -> bool {
        self.common.json
    }
}

impl RemoveNodeArgs {
    pub fn json(&self) -> bool {
        self.common.json
    }
}

pub(super) async fn add(args: AddNodeArgs) -> Result<(), Failure> {
    let AddNodeArgs { newcomer, shard, witness, learner, common } = args;
    let client = common.seeds.client().await?;
    client.may_order()?;
    let control = client.cluster().await?.control;
    let shard = if witness { None } else { Some(shard_of(&control, shard)?) };
    let stays = match client.access() {
        Access::Open | Access::Without { looked: _ } => None,
        Access::Keyed(_) => is_leaving(&control, &newcomer),
    };
    let Admission { node, http_addr, admitted } = match stays {
        Some(stays) => stays,
        None => admit(&client, &control, &newcomer).await?,
    };
    let done = client.add_node(&AddNode { http_addr, node, shard, learner, admitted }).await?;
    common.end(&client, &done, Expected { joins: Some(node), goes: None }).await
}

pub(super) async fn replace(args: ReplaceNodeArgs) -> Result<(), Failure> {
    let ReplaceNodeArgs { old, newcomer, common } = args;
    let client = common.seeds.client().await?;
    client.may_order()?;
    let control = client.cluster().await?.control;
    // Before the new one is asked: it may have the old one's address.
    let old = find(&control, &old)?;
    let Admission { node, http_addr, admitted } = admit(&client, &control, &newcomer).await?;
    let done = if has_replaced(&control, node, old) {
        Done { done: format!("node {node} is a member already, and who it replaced has gone") }
    } else {
        client.replace_node(&ReplaceNode { old, http_addr, node, admitted }).await?
    };
    common
        .end(&client, &done, Expected { joins: Some(node), goes: Some(old).filter(|old| *old != node) })
        .await
}

/// Is nothing left to be done? Where the new node has the address of the old one, that address is the new node's by then.
fn has_replaced(control: &ControlView, node: NodeId, old: NodeId) -> bool {
    control.nodes.contains_key(&node) && (old == node || control.removed.contains(&old))
}

pub(super) async fn remove(args: RemoveNodeArgs) -> Result<(), Failure> {
    let RemoveNodeArgs { node, common } = args;
    let client = common.seeds.client().await?;
    client.may_order()?;
    let node = find(&client.cluster().await?.control, &node)?;
    let done = client.remove_node(&RemoveNode { node }).await?;
    common.end(&client, &done, Expected { joins: None, goes: Some(node) }).await
}

/// A node that may join.
struct Admission {
    node: NodeId,
    /// What the node itself announces, not how it was reached from here: the others go there.
    http_addr: String,
    admitted: Option<Admitted>,
}

/// A node that is leaving is a member yet: it has no join code to prove any more, and stays what it is.
fn is_leaving(control: &ControlView, newcomer: &Newcomer) -> Option<Admission> {
    let node = find(control, &newcomer.addr).ok().filter(|_| newcomer.code.is_none())?;
    let http_addr = control.nodes.get(&node)?.http_addr.clone();
    control.membership.as_ref().filter(|change| change.is_about(node))?;
    Some(Admission { node, http_addr, admitted: None })
}

/// Who the node is, if it is a member: an order was received whose answer was lost. It is known by its key, and has no code to
/// prove any more.
async fn member_at(addr: &str, tls: &Tls, control: &ControlView) -> Result<Option<Admission>, Failure> {
    let pins: BTreeSet<KeyHash> = control.pins.values().copied().collect();
    let Some(key) = join::who_is_at(addr, tls, &pins).await? else { return Ok(None) };
    let node = control.pins.iter().find(|(_, pin)| **pin == key).and_then(|(id, _)| control.nodes.get(id));
    Ok(node.map(|node| Admission { node: node.id, http_addr: node.http_addr.clone(), admitted: None }))
}

async fn admit(client: &Client, control: &ControlView, newcomer: &Newcomer) -> Result<Admission, Failure> {
    match client.access() {
        Access::Open | Access::Without { looked: _ } => {
            let Newcomer { addr, code } = newcomer;
            if code.is_some() {
                return Err(Failure::Usage(format!(
                    "the cluster is insecure, and asks no join code of {addr}"
                )));
            }
            let http_addr = seed::resolve(addr).await.map_err(ClientError::from)?;
            let status = Client::of_http(vec![http_addr]).status().await?;
            Ok(Admission { node: status.node, http_addr: status.http_addr, admitted: None })
        }
        Access::Keyed(keyed) => {
            let cluster =
                control.cluster_id.ok_or_else(|| Failure::failed("the cluster is not founded yet"))?;
            let addr = seed::resolve(&newcomer.addr).await.map_err(ClientError::from)?;
            if let Some(member) = member_at(&addr, keyed.tls(), control).await? {
                return Ok(member);
            }
            let (mut contact, code) = newcomer.meet(keyed.tls()).await?;
            let (node, key) = (contact.node, contact.key);
            let http_addr = contact.status().await?.http_addr;
            let mut nodes = control.pins.clone();
            nodes.insert(node, key);
            contact.bind(&JoinBind { cluster, nodes }).await?;
            Ok(Admission { node, http_addr, admitted: Some(Admitted { key, code: code.digest() }) })
        }
    }
}

fn shard_of(control: &ControlView, named: Option<u16>) -> Result<ShardId, Failure> {
    let mut shards = control.shards.keys();
    match (named, shards.next(), shards.next()) {
        (Some(named), ..) => Ok(ShardId(named)),
        (None, Some(only), None) => Ok(*only),
        (None, ..) => {
            let text =
                format!("the cluster has {} shards: --shard SHARD, or --witness", control.shards.len());
            Err(Failure::Usage(text))
        }
    }
}

/// By id, of members and of those that left, or by an address, of members.
fn find(control: &ControlView, named: &str) -> Result<NodeId, Failure> {
    if let Ok(id) = named.parse::<NodeId>() {
        return Ok(id);
    }
    let has = |addr: &String| addr == named;
    let here =
        |node: &&ironcache_api::Node| has(&node.client_addr) || has(&node.http_addr) || has(&node.peer_addr);
    let mut found = control.nodes.values().filter(here);
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node.id),
        (Some(_), Some(_)) => Err(Failure::Usage(format!(
            "two nodes are known at {named}: name the one that you mean by its id (`ironcache cluster nodes`)"
        ))),
        (None, _) => Err(Failure::Usage(format!(
            "no node of the cluster is at {named}, and it is no id (`ironcache cluster nodes` lists both)"
        ))),
    }
}

/// How the cluster looks when the change has come to its end.
#[derive(Clone, Copy, Debug)]
struct Expected {
    joins: Option<NodeId>,
    goes: Option<NodeId>,
}

impl Expected {
    fn is_met(self, status: &ClusterStatus) -> Result<bool, Failure> {
        let control = &status.control;
        let about = |node: Option<NodeId>| {
            node.is_some_and(|node| control.membership.as_ref().is_some_and(|c| c.is_about(node)))
        };
        if let Some(joins) = self.joins
            && !control.nodes.contains_key(&joins)
            && control.removed.contains(&joins)
        {
            return Err(Failure::failed(format!("node {joins} was removed from the cluster again")));
        }
        let whole = self.joins.is_none_or(|joins| {
            control.nodes.get(&joins).is_some_and(|node| {
                let answers = status.nodes.get(&joins).is_some_and(|brief| brief.ready);
                let shard = control.shard_of_node(joins);
                answers && shard.is_none_or(|shard| shard.in_sync.contains(&node.member()))
            })
        });
        let gone = self.goes.is_none_or(|goes| !control.nodes.contains_key(&goes));
        Ok(whole && gone && !about(self.joins) && !about(self.goes))
    }
}

impl Common {
    async fn end(&self, client: &Client, done: &Done, expected: Expected) -> Result<(), Failure> {
        let format = Format::of(self.json);
        if !self.wait {
            return output::done(done, format);
        }
        if format == Format::Text {
            output::done(done, format)?;
        }
        let began = Instant::now();
        let mut told = String::new();
        loop {
            let status = client.cluster().await?;
            if expected.is_met(&status)? {
                let done = Done { done: format!("done after {} s", began.elapsed().as_secs()) };
                return output::done(&done, format);
            }
            let now = waits(&status);
            if format == Format::Text && now != told {
                output::line(&now)?;
                told = now;
            }
            if self.timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
                return Err(Failure::Unreachable(format!(
                    "not done after {} s ({told}); it goes on, and `ironcache cluster status` shows how",
                    began.elapsed().as_secs()
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn waits(status: &ClusterStatus) -> String {
    let reasons: Vec<String> = status.waiting_on.iter().map(text::waiting_on).collect();
    match (text::change(&status.control), reasons.is_empty()) {
        (Some(change), true) => change,
        (Some(change), false) => format!("{change}: {}", reasons.join("; ")),
        (None, _) => "the dataset is on its way".to_owned(),
    }
}
