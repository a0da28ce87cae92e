//! Ready means served: may a client come, to any node, and be answered by what the cluster's log says?
//!
//! ```text
//!   leader: every node ready, every shard's set whole ─► each node, all at once: as far as that log? ready? its duty done?
//!           ^                                                      │ one of them: not yet
//!           └──────────────────────────────────────────────────────┘
//! ```
//! The leader tells what it was told and what it committed. A node acts on that a moment later, and a primary serves once it
//! has a lease; so each says so itself, after the leader has spoken.
//!
//! *Invariant:* a node whose log is older than the leader's answer is not served: it would send clients where they were
//! served before, or say that nobody serves them.

use crate::exit::Failure;
use ironcache_api::{ClusterStatus, NodeStatus, Ownership};
use ironcache_client::{Access, Client};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node that is up answers within milliseconds; one that is stopped takes the question and does not answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// Returns when every node serves, which `count` nodes are.
///
/// # Errors
/// What is missing at `give_up`; and at once what `alive` says.
pub(crate) async fn wait(
    client: &Client,
    count: usize,
    give_up: Instant,
    mut alive: impl FnMut() -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let mut missing = "the cluster does not answer".to_owned();
    while Instant::now() < give_up {
        alive()?;
        match tokio::time::timeout_at(give_up.into(), look(client, count)).await {
            Ok(None) => return Ok(()),
            Ok(Some(what)) => missing = what,
            Err(_) => break,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Failure::Unreachable(missing))
}

/// What keeps the nodes from serving, if anything.
async fn look(client: &Client, count: usize) -> Option<String> {
    let status = match client.cluster().await {
        Ok(status) => status,
        Err(error) => return Some(error.to_string()),
    };
    if let Some(what) = out_of_sync(&status, count) {
        return Some(what);
    }
    // Each is asked after the leader has spoken, and all of them at once: what they say is of one moment.
    let mut asked = JoinSet::new();
    for node in status.control.nodes.values() {
        asked.spawn(ask(client.access().clone(), node.http_addr.clone(), node.client_addr.clone()));
    }
    asked.join_all().await.into_iter().find_map(|said| match said {
        Ok(node) => not_served_by(&status, &node),
        Err(why) => Some(why),
    })
}

async fn ask(access: Access, http_addr: String, client_addr: String) -> Result<NodeStatus, String> {
    let asked = Client::with(access, vec![http_addr]);
    match tokio::time::timeout(ANSWERS_WITHIN, asked.status()).await {
        Ok(said) => said.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the node at {client_addr} does not answer")),
    }
}

/// What keeps the cluster from being whole, if anything.
fn out_of_sync(status: &ClusterStatus, count: usize) -> Option<String> {
    let ready = status.nodes.values().filter(|node| node.ready).count();
    if ready < count {
        return Some(format!("{ready} of {count} nodes are ready"));
    }
    status.control.shards.values().find_map(|shard| {
        let (id, held, all) = (shard.id, shard.in_sync.len(), shard.nodes.len());
        match &shard.ownership {
            Ownership::Recovering { .. } => Some(format!("shard {id} has no primary")),
            Ownership::Serving(_) if held < all => {
                Some(format!("shard {id}: {held} of {all} nodes are in sync"))
            }
            Ownership::Serving(_) => None,
            Ownership::Unknown(unknown) => Some(format!("shard {id}: {unknown}")),
        }
    })
}

/// What `node` does not do yet of what `status` says.
fn not_served_by(status: &ClusterStatus, node: &NodeStatus) -> Option<String> {
    let addr = &node.client_addr;
    if node.control.as_ref().is_none_or(|control| control.epoch < status.control.epoch) {
        return Some(format!("the node at {addr} has not applied the log as far as the leader"));
    }
    if let Some(why) = &node.not_ready {
        return Some(format!("the node at {addr} is not ready: {why}"));
    }
    let shard = status.control.shards.values().find(|shard| shard.nodes.contains(&node.node))?;
    let (id, epoch) = (shard.id, Some(shard.epoch));
    match &shard.ownership {
        Ownership::Serving(primary) if primary.node == node.node => (node.data.serves != epoch)
            .then(|| format!("shard {id}: its primary at {addr} does not serve yet")),
        Ownership::Serving(_) => (node.data.follows != epoch)
            .then(|| format!("shard {id}: its replica at {addr} does not follow the primary yet")),
        Ownership::Recovering { .. } | Ownership::Unknown(_) => Some(format!("shard {id} has no primary")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::Epoch;

    /// A node's whole answer, which the tests of `api` keep.
    const STATUS: &str = include_str!("../../../api/tests/golden/status.json");

    fn of_leader(node: &NodeStatus) -> ClusterStatus {
        let control = node.control.clone().unwrap();
        ClusterStatus {
            leader: node.node,
            term: 1,
            control,
            nodes: Default::default(),
            waiting_on: Vec::new(),
            addresses: Default::default(),
        }
    }

    /// A primary that does what the log says.
    fn serving() -> NodeStatus {
        let mut node: NodeStatus = serde_json::from_str(STATUS).unwrap();
        node.not_ready = None;
        let shard = node.control.as_mut().unwrap().shards.values_mut().next().unwrap();
        shard.ownership =
            Ownership::Serving(ironcache_types::Member { node: node.node, incarnation: node.incarnation });
        if !shard.nodes.contains(&node.node) {
            shard.nodes.push(node.node);
        }
        node.data.serves = Some(shard.epoch);
        node
    }

    #[test]
    fn a_primary_that_does_its_duty_is_served() {
        let node = serving();
        assert_eq!(not_served_by(&of_leader(&node), &node), None);
    }

    #[test]
    fn a_primary_that_has_no_lease_or_has_not_begun_is_not_served() {
        let mut node = serving();
        node.data.serves = None;
        let why = not_served_by(&of_leader(&node), &node).unwrap();
        assert!(why.contains("does not serve yet"), "{why}");
    }

    #[test]
    fn a_node_that_is_behind_the_leaders_answer_is_not_served_whatever_it_does() {
        let node = serving();
        let mut status = of_leader(&node);
        status.control.epoch = Epoch(status.control.epoch.0 + 1);
        let why = not_served_by(&status, &node).unwrap();
        assert!(why.contains("has not applied the log"), "{why}");
        let pristine = NodeStatus { control: None, ..node.clone() };
        assert!(not_served_by(&of_leader(&node), &pristine).is_some());
    }

    #[test]
    fn a_nodes_own_word_outranks_what_the_leader_remembers() {
        let why = "no leader for 3 s";
        let node = NodeStatus { not_ready: Some(why.to_owned()), ..serving() };
        let told = not_served_by(&of_leader(&node), &node).unwrap();
        assert!(told.ends_with(why), "{told}");
        let witness = NodeStatus { node: ironcache_types::NodeId(999), ..node };
        let told = not_served_by(&of_leader(&serving()), &witness).unwrap();
        assert!(told.ends_with(why), "{told}");
    }
}
