//! A node, the step that took it out, and what an unstarted binary said of it.

use crate::BadField;
#[cfg(feature = "next")]
use crate::state::next::Node;
#[cfg(not(feature = "next"))]
use crate::state::v1::node::Node;
use crate::state::v1::node::{OutStep, Preflight, TrialPhase};
use ironcache_control as live;
use ironcache_types::{Digest, Epoch, Incarnation, Level, MachineId, NodeId, Offset, PlanId, ShardId};

impl From<&live::Node> for Node {
    fn from(node: &live::Node) -> Self {
        let live::Node {
            id,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            role,
            voter,
            shard,
            incarnation,
            release,
            levels,
            launcher_protocol,
            machine,
            oldest,
            staged,
            preflight,
            out,
            #[cfg(feature = "next")]
            zone,
        } = node;
        Node {
            id: id.0,
            client_addr: client_addr.clone(),
            peer_addr: peer_addr.clone(),
            http_addr: http_addr.clone(),
            tls_port: *tls_port,
            role: (*role).into(),
            voter: *voter,
            shard: shard.map(|id| id.0),
            incarnation: incarnation.0,
            release: release.into(),
            levels: (*levels).into(),
            launcher_protocol: (*launcher_protocol).into(),
            machine: machine.0,
            oldest: oldest.0,
            staged: staged.iter().map(|digest| digest.0).collect(),
            preflight: preflight.as_ref().map(Into::into),
            out: out.as_ref().map(Into::into),
            #[cfg(feature = "next")]
            zone: zone.clone(),
        }
    }
}

impl TryFrom<Node> for live::Node {
    type Error = BadField;

    fn try_from(node: Node) -> Result<Self, BadField> {
        let Node {
            id,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            role,
            voter,
            shard,
            incarnation,
            release,
            levels,
            launcher_protocol,
            machine,
            oldest,
            staged,
            preflight,
            out,
            #[cfg(feature = "next")]
            zone,
        } = node;
        Ok(live::Node {
            id: NodeId(id),
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            role: role.into(),
            voter,
            shard: shard.map(ShardId),
            incarnation: Incarnation(incarnation),
            release: release.try_into()?,
            levels: levels.into(),
            launcher_protocol: launcher_protocol.into(),
            machine: MachineId(machine),
            oldest: Level(oldest),
            staged: staged.into_iter().map(Digest).collect(),
            preflight: preflight.map(Into::into),
            out: out.map(TryInto::try_into).transpose()?,
            #[cfg(feature = "next")]
            zone,
        })
    }
}

impl From<&live::OutStep> for OutStep {
    fn from(live::OutStep { plan, epoch, target, log_index, phase, base_from }: &live::OutStep) -> Self {
        OutStep {
            plan: plan.0,
            epoch: epoch.0,
            target: target.into(),
            log_index: *log_index,
            phase: match phase {
                live::TrialPhase::Told => TrialPhase::Told,
                live::TrialPhase::Confirming { incarnation } => {
                    TrialPhase::Confirming { incarnation: incarnation.0 }
                }
                live::TrialPhase::SetAside => TrialPhase::SetAside,
            },
            base_from: base_from.map(|offset| offset.0),
        }
    }
}

impl TryFrom<OutStep> for live::OutStep {
    type Error = BadField;

    fn try_from(step: OutStep) -> Result<Self, BadField> {
        let OutStep { plan, epoch, target, log_index, phase, base_from } = step;
        Ok(live::OutStep {
            plan: PlanId(plan),
            epoch: Epoch(epoch),
            target: target.try_into()?,
            log_index,
            phase: match phase {
                TrialPhase::Told => live::TrialPhase::Told,
                TrialPhase::Confirming { incarnation } => {
                    live::TrialPhase::Confirming { incarnation: Incarnation(incarnation) }
                }
                TrialPhase::SetAside => live::TrialPhase::SetAside,
            },
            base_from: base_from.map(Offset),
        })
    }
}

impl From<&live::Preflight> for Preflight {
    fn from(live::Preflight { digest, turn, problem }: &live::Preflight) -> Self {
        Preflight { digest: digest.0, turn: turn.0, problem: problem.as_ref().map(Into::into) }
    }
}

impl From<Preflight> for live::Preflight {
    fn from(Preflight { digest, turn, problem }: Preflight) -> Self {
        live::Preflight { digest: Digest(digest), turn: Epoch(turn), problem: problem.map(Into::into) }
    }
}
