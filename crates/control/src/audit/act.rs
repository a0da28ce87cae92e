//! Which commands are audited, as what; and of all others, why they are not.
//!
//! *Invariant:* the match over the commands is total: a new one does not compile before somebody has said here which it is.

use crate::command::{Command, InitCluster, Recover};
use crate::plan::{Outcome, StartedBy};
use crate::reason::Reason;
use crate::security::{Admitted, OperatorRole, Security};
use crate::shard::RecoveredBy;
use crate::state::{ControlState, ReleaseInfo, StageHold};
use ironcache_types::{ClusterId, Digest, KeyHash, Level, NodeId, Offset, PlanId, Release, ShardId, Version};

/// What a record is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    ClusterCreated {
        cluster: ClusterId,
        nodes: usize,
        shards: usize,
        has_keys: bool,
    },
    /// By an operator, or a node that made the release known that it runs.
    ReleaseStaged {
        release: Release,
        hold: StageHold,
    },
    ReleaseAllowed {
        digest: Digest,
        version: Option<Version>,
    },
    PlanStarted {
        plan: PlanId,
        from: Version,
        target: Release,
        by: StartedBy,
        instead_of: Option<PlanId>,
    },
    PlanPaused {
        plan: PlanId,
    },
    PlanResumed {
        plan: PlanId,
    },
    PlanAborted {
        plan: PlanId,
    },
    PlanRolledBack {
        plan: PlanId,
        reason: Reason,
    },
    /// `outcome`: on its target, or back where it began.
    PlanFinalized {
        plan: PlanId,
        outcome: Option<Outcome>,
        level: Level,
    },
    ShardRecovered {
        shard: ShardId,
        to: NodeId,
        at: Offset,
        lost_bytes_min: u64,
        by: RecoveredBy,
    },
    NodeAdded {
        node: NodeId,
        replaces: Option<NodeId>,
        admitted: Option<Admitted>,
    },
    NodeRemoved {
        node: NodeId,
    },
    /// Each setting with what it was and what it is.
    PolicyChanged {
        changes: Vec<(&'static str, String)>,
    },
    OperatorAdded {
        key: KeyHash,
        name: String,
        role: OperatorRole,
    },
    OperatorRevoked {
        key: KeyHash,
        name: Option<String>,
    },
    /// Names alone: rules hold hashes of passwords.
    UsersChanged {
        by: Vec<u8>,
        set: Vec<Vec<u8>>,
        deleted: Vec<Vec<u8>>,
    },
    /// Names alone: code is long, and the log has it.
    LibrariesChanged {
        by: Vec<u8>,
        set: Vec<Vec<u8>>,
        deleted: Vec<Vec<u8>>,
    },
    #[cfg(feature = "next")]
    ZoneSet {
        node: NodeId,
        zone: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audited {
    Yes(Act),
    No(Unaudited),
}

/// Why a command leaves no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unaudited {
    /// A node says what is the case of itself: that it started, holds a binary, or has come so far.
    Report,
    /// A shard keeps itself served: sets, modes, keepers, handovers and failovers, none of which anybody orders.
    OfAShard,
    /// It follows from a plan or a change of nodes that is in the chain; the plan's own record says how it went.
    Follows,
}

/// What `command` did, that made `after` of `before`.
pub(super) fn audited(command: &Command, before: &ControlState, after: &ControlState) -> Audited {
    let act = match command {
        Command::InitCluster(InitCluster { cluster_id, nodes, shards, policy: _, security: _ }) => {
            let has_keys = matches!(after.security, Security::Keys(_));
            Act::ClusterCreated { cluster: *cluster_id, nodes: nodes.len(), shards: shards.len(), has_keys }
        }
        Command::RegisterRelease { info } => {
            let ReleaseInfo { release, size_bytes: _, min_from: _, levels: _, launcher_protocol: _, hold } =
                info;
            Act::ReleaseStaged { release: release.clone(), hold: *hold }
        }
        Command::AllowRelease { digest } => {
            let version = before.declined.get(digest).map(|declined| declined.version.clone());
            Act::ReleaseAllowed { digest: *digest, version }
        }
        Command::StartPlan { target, options: _, leader: _, started_by, at_ms: _ } => {
            let Some(plan) = &after.plan else { return Audited::No(Unaudited::Follows) };
            Act::PlanStarted {
                plan: plan.id,
                from: plan.origin.version.clone(),
                target: target.clone(),
                by: *started_by,
                instead_of: before.plan.as_ref().map(|plan| plan.id),
            }
        }
        Command::Pause { plan } => Act::PlanPaused { plan: *plan },
        Command::Resume { plan } => Act::PlanResumed { plan: *plan },
        Command::Abort { plan, at_ms: _ } => Act::PlanAborted { plan: *plan },
        Command::Rollback { plan, plan_epoch: _, reason } => {
            Act::PlanRolledBack { plan: *plan, reason: reason.clone() }
        }
        Command::Finalize { plan, plan_epoch: _, level, at_ms: _ } => {
            let outcome = after.history.back().map(|ended| ended.outcome);
            Act::PlanFinalized { plan: *plan, outcome, level: *level }
        }
        Command::Recover(Recover {
            shard,
            shard_epoch: _,
            isr_epoch: _,
            to,
            at,
            lost_bytes_min,
            given_up: _,
            term: _,
            by,
            at_ms: _,
            as_of_ms: _,
        }) => Act::ShardRecovered {
            shard: *shard,
            to: to.node,
            at: *at,
            lost_bytes_min: *lost_bytes_min,
            by: *by,
        },
        Command::AddNode { spec, replaces, admitted } => {
            Act::NodeAdded { node: spec.member.node, replaces: *replaces, admitted: *admitted }
        }
        Command::RemoveNode { node } => Act::NodeRemoved { node: *node },
        Command::SetPolicy { seen: _, policy } => {
            let (old, new) = (before.policy.words(), policy.words());
            let changed = old.into_iter().zip(new).filter(|(old, new)| old != new);
            let changes = changed.map(|((key, old), (_, new))| (key, format!("{old} -> {new}"))).collect();
            Act::PolicyChanged { changes }
        }
        Command::AddOperator { by: _, key, name, role } => {
            Act::OperatorAdded { key: *key, name: name.clone(), role: *role }
        }
        Command::RevokeOperator { by: _, key } => {
            let name = before.security.operator_name(*key).map(str::to_owned);
            Act::OperatorRevoked { key: *key, name }
        }
        Command::ChangeUsers { seen: _, by, set, deleted } => Act::UsersChanged {
            by: by.clone(),
            set: set.keys().cloned().collect(),
            deleted: deleted.iter().cloned().collect(),
        },
        Command::ChangeLibraries { seen: _, by, set, deleted } => Act::LibrariesChanged {
            by: by.clone(),
            set: set.keys().cloned().collect(),
            deleted: deleted.iter().cloned().collect(),
        },
        #[cfg(feature = "next")]
        Command::SetZone { node, zone } => Act::ZoneSet { node: *node, zone: zone.clone() },
        Command::RegisterNode { .. }
        | Command::ReportStaged { .. }
        | Command::ReportHandover { .. }
        | Command::ReportPreflight { .. }
        | Command::LevelReached { .. } => return Audited::No(Unaudited::Report),
        Command::AddInSync { .. }
        | Command::RemoveInSync { .. }
        | Command::SetMode { .. }
        | Command::WantKeeper { .. }
        | Command::SetKeeper { .. }
        | Command::BeginHandover { .. }
        | Command::BeginRecovery { .. }
        | Command::Promote { .. }
        | Command::AbortHandover { .. }
        | Command::Failover { .. }
        | Command::Reclaim { .. }
        | Command::PrimaryReady { .. } => return Audited::No(Unaudited::OfAShard),
        Command::BeginRolling { .. }
        | Command::UpgradeSelf { .. }
        | Command::Confirm { .. }
        | Command::Confirmed { .. }
        | Command::StepFailed { .. }
        | Command::Hold { .. }
        | Command::BeginSoaking { .. }
        | Command::Soaked { .. }
        | Command::TurnBack { .. }
        | Command::Rejoin { .. }
        | Command::NodeLeft { .. }
        | Command::MembershipDone { .. } => return Audited::No(Unaudited::Follows),
    };
    Audited::Yes(act)
}

impl Act {
    /// Stable, and part of what is hashed.
    pub fn word(&self) -> &'static str {
        match self {
            Act::ClusterCreated { .. } => "cluster-created",
            Act::ReleaseStaged { .. } => "release-staged",
            Act::ReleaseAllowed { .. } => "release-allowed",
            Act::PlanStarted { .. } => "plan-started",
            Act::PlanPaused { .. } => "plan-paused",
            Act::PlanResumed { .. } => "plan-resumed",
            Act::PlanAborted { .. } => "plan-aborted",
            Act::PlanRolledBack { .. } => "plan-rolled-back",
            Act::PlanFinalized { .. } => "plan-finalized",
            Act::ShardRecovered { .. } => "shard-recovered",
            Act::NodeAdded { .. } => "node-added",
            Act::NodeRemoved { .. } => "node-removed",
            Act::PolicyChanged { .. } => "policy-changed",
            Act::OperatorAdded { .. } => "operator-added",
            Act::OperatorRevoked { .. } => "operator-revoked",
            Act::UsersChanged { .. } => "users-changed",
            Act::LibrariesChanged { .. } => "libraries-changed",
            #[cfg(feature = "next")]
            Act::ZoneSet { .. } => "zone-set",
        }
    }

    /// Words and values, part of what is hashed: a word that is there is never given another meaning.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        let plan_of = |plan: &PlanId| vec![("plan", plan.to_string())];
        match self {
            Act::ClusterCreated { cluster, nodes, shards, has_keys } => vec![
                ("cluster", cluster.to_string()),
                ("nodes", nodes.to_string()),
                ("shards", shards.to_string()),
                ("security", if *has_keys { "keys" } else { "insecure" }.to_owned()),
            ],
            Act::ReleaseStaged { release, hold } => {
                let mut details = of_release(release);
                match hold {
                    StageHold::None => {}
                    StageHold::Held => details.push(("hold", "held".to_owned())),
                }
                details
            }
            Act::ReleaseAllowed { digest, version } => {
                let mut details = vec![("digest", digest.to_string())];
                details.extend(version.iter().map(|version| ("version", version.to_string())));
                details
            }
            Act::PlanStarted { plan, from, target, by, instead_of } => {
                let mut details = plan_of(plan);
                details.extend(of_release(target));
                details.push(("from", from.to_string()));
                details.push((
                    "by",
                    match by {
                        StartedBy::Operator => "operator",
                        StartedBy::Policy => "policy",
                    }
                    .to_owned(),
                ));
                details.extend(instead_of.iter().map(|other| ("instead-of", other.to_string())));
                details
            }
            Act::PlanPaused { plan } | Act::PlanResumed { plan } | Act::PlanAborted { plan } => plan_of(plan),
            Act::PlanRolledBack { plan, reason: Reason { code, text } } => {
                let mut details = plan_of(plan);
                details.push(("code", code.clone()));
                details.push(("reason", text.clone()));
                details
            }
            Act::PlanFinalized { plan, outcome, level } => {
                let mut details = plan_of(plan);
                details.push(("level", level.to_string()));
                details.extend(outcome.map(|outcome| ("outcome", outcome_word(outcome).to_owned())));
                details
            }
            Act::ShardRecovered { shard, to, at, lost_bytes_min, by } => vec![
                ("shard", shard.to_string()),
                ("to", to.to_string()),
                ("at", at.to_string()),
                ("lost-bytes-min", lost_bytes_min.to_string()),
                (
                    "by",
                    match by {
                        RecoveredBy::Operator => "operator",
                        RecoveredBy::Policy => "policy",
                    }
                    .to_owned(),
                ),
            ],
            Act::NodeAdded { node, replaces, admitted } => {
                let mut details = vec![("node", node.to_string())];
                details.extend(replaces.iter().map(|old| ("replaces", old.to_string())));
                if let Some(Admitted { key, code }) = admitted {
                    details.push(("key", key.to_string()));
                    details.push(("join-code", code.to_string()));
                }
                details
            }
            Act::NodeRemoved { node } => vec![("node", node.to_string())],
            Act::PolicyChanged { changes } => changes.clone(),
            Act::OperatorAdded { key, name, role } => {
                vec![("key", key.to_string()), ("name", name.clone()), ("role", role.word().to_owned())]
            }
            Act::OperatorRevoked { key, name } => {
                let mut details = vec![("key", key.to_string())];
                details.extend(name.iter().map(|name| ("name", name.clone())));
                details
            }
            Act::UsersChanged { by, set, deleted } | Act::LibrariesChanged { by, set, deleted } => {
                let text = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
                let all = |names: &[Vec<u8>]| names.iter().map(text).collect::<Vec<_>>().join(" ");
                let lists = [("set", set), ("deleted", deleted)];
                let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
                [("user", text(by))]
                    .into_iter()
                    .chain(lists.map(|(word, names)| (word, all(names))))
                    .collect()
            }
            #[cfg(feature = "next")]
            Act::ZoneSet { node, zone } => vec![("node", node.to_string()), ("zone", zone.clone())],
        }
    }
}

fn of_release(Release { version, digest }: &Release) -> Vec<(&'static str, String)> {
    vec![("version", version.to_string()), ("digest", digest.to_string())]
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Finalized => "finalized",
        Outcome::RolledBack => "rolled-back",
        Outcome::Aborted => "aborted",
        Outcome::Superseded => "superseded",
    }
}
