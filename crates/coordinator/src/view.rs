//! State, observation and bars side by side, and the questions that every gate asks of them.

use crate::bars::Bars;
use crate::observation::{DataObservation, Duty, NodeObservation, Observation};
use crate::waiting_on::WaitingOn;
use ironcache_control::{ControlState, Node, Shard};
use ironcache_types::{Digest, NodeId};

#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub state: &'a ControlState,
    pub obs: &'a Observation,
    pub bars: &'a Bars,
}

impl<'a> View<'a> {
    /// The node's answer, if it is recent and comes from the registered process.
    pub(crate) fn answer(&self, node: &Node) -> Result<&'a NodeObservation, WaitingOn> {
        let max_ms = self.bars.seen_ms_max;
        let Some(answer) = self.obs.nodes.get(&node.id) else {
            return Err(WaitingOn::Unreachable { node: node.id, seen_ms_ago: None, max_ms });
        };
        if answer.seen_ms_ago > max_ms {
            let seen_ms_ago = Some(answer.seen_ms_ago);
            return Err(WaitingOn::Unreachable { node: node.id, seen_ms_ago, max_ms });
        }
        if answer.member != node.member() {
            let (registered, answers) = (node.incarnation, answer.member.incarnation);
            return Err(WaitingOn::OtherLife { node: node.id, registered, answers });
        }
        Ok(answer)
    }

    /// Is the node in service, as far as anybody can see? The reason if not.
    ///
    /// A data node has to do for its shard what the log says, under the very epoch: ready as a replica, or for an earlier
    /// primary, is no answer to what it does since.
    pub(crate) fn in_service(&self, node: &Node) -> Result<&'a NodeObservation, WaitingOn> {
        let answer = self.answer(node)?;
        if !answer.ready {
            return Err(WaitingOn::NotReady { node: node.id });
        }
        let Some(shard) = self.state.shard_of_node(node.id) else { return Ok(answer) };
        let duty = if shard.is_primary(node.member()) {
            Duty::Serves(shard.epoch)
        } else {
            Duty::Follows(shard.epoch)
        };
        let data = answer.data.as_ref().filter(|data| data.shard == shard.id);
        if data.is_some_and(|data| data.duty == duty) {
            Ok(answer)
        } else {
            Err(WaitingOn::OldAnswer { node: node.id, shard: shard.id, epoch: shard.epoch })
        }
    }

    /// What the answer says of the data, if it was given under the in-sync set that the log names now. The set's epoch
    /// is fresh at every start and end of a primary, too.
    pub(crate) fn data_of_set(
        answer: &'a NodeObservation,
        shard: &Shard,
    ) -> Result<&'a DataObservation, WaitingOn> {
        let data = answer.data.as_ref();
        data.filter(|data| data.shard == shard.id && data.isr_epoch == shard.isr_epoch)
            .ok_or(WaitingOn::OldAnswer { node: answer.member.node, shard: shard.id, epoch: shard.isr_epoch })
    }

    pub(crate) fn caught_up(&self, node: NodeId, answer: &NodeObservation) -> Result<(), WaitingOn> {
        let (entries, max_entries) = (answer.raft_lag_entries, self.bars.raft_lag_entries_max);
        if entries > max_entries { Err(WaitingOn::RaftLag { node, entries, max_entries }) } else { Ok(()) }
    }

    /// Can the node change its binary? It has to say so itself: it may be dead, or have lost its launcher since.
    pub(crate) fn can_upgrade(&self, node: &Node) -> Result<(), WaitingOn> {
        match self.answer(node)?.cannot_upgrade.clone() {
            Some(reason) => Err(WaitingOn::CannotUpgrade { node: node.id, reason }),
            None => Ok(()),
        }
    }

    /// Voters that answer, follow the log and are not out.
    pub(crate) fn voters_in_service(&self) -> impl Iterator<Item = &'a Node> + '_ {
        self.state.voters().filter(|n| {
            n.out.is_none() && self.answer(n).is_ok_and(|answer| self.caught_up(n.id, answer).is_ok())
        })
    }

    /// The answer of the shard's primary, which has to serve under the shard's ownership epoch.
    pub(crate) fn primary(&self, shard: &Shard) -> Result<&'a NodeObservation, WaitingOn> {
        let Some(primary) = shard.primary() else {
            return Err(self.no_primary(shard));
        };
        let silent = WaitingOn::PrimaryNotServing { shard: shard.id, primary: primary.node };
        let node = self.state.nodes.get(&primary.node).ok_or(silent.clone())?;
        self.in_service(node).map_err(|reason| if reason.is_old_answer() { reason } else { silent })
    }

    pub(crate) fn no_primary(&self, shard: &Shard) -> WaitingOn {
        use ironcache_control::Ownership;
        match shard.ownership {
            Ownership::Recovering { .. } => {
                WaitingOn::InSyncUnreachable { shard: shard.id, in_sync: shard.in_sync.len() }
            }
            Ownership::Serving(member) => {
                WaitingOn::PrimaryNotServing { shard: shard.id, primary: member.node }
            }
        }
    }

    /// The shard's nodes, in the order of the cluster's creation.
    pub(crate) fn nodes_of(&self, shard: &'a Shard) -> impl Iterator<Item = &'a Node> + '_ {
        shard.nodes.iter().filter_map(|id| self.state.nodes.get(id))
    }

    /// Does the node run `target` for good?
    pub(crate) fn is_on(&self, node: NodeId, target: Digest) -> bool {
        self.state.nodes.get(&node).is_some_and(|n| n.release.digest == target && n.out.is_none())
    }
}

/// Adds a reason once.
pub(crate) fn note(reasons: &mut Vec<WaitingOn>, reason: WaitingOn) {
    if !reasons.contains(&reason) {
        reasons.push(reason);
    }
}
