//! `ironcache cluster status` and `nodes`.

use super::ShowArgs;
use crate::exit::{Failure, Format};
use crate::output;
use crate::text;
use ironcache_api::{
    ClusterStatus, ControlView, Losses, MembershipStage, Node, NodeRole, Ownership, SecurityMode,
    ServingRole, Shard,
};
use ironcache_types::NodeId;

pub(super) async fn status(args: &ShowArgs) -> Result<(), Failure> {
    let status = args.seeds.client().await?.cluster().await?;
    match Format::of(args.json) {
        Format::Json => output::json(&status),
        Format::Text => output::line(&overview(&status)),
    }
}

pub(super) async fn nodes(args: &ShowArgs) -> Result<(), Failure> {
    let status = args.seeds.client().await?.cluster().await?;
    match Format::of(args.json) {
        Format::Json => output::json(&node_rows(&status)),
        Format::Text => output::line(&node_table(&node_rows(&status))),
    }
}

/// One node, as `cluster nodes --json` shows it.
#[derive(Clone, Debug, serde::Serialize)]
struct NodeRow {
    node: NodeId,
    client_addr: String,
    peer_addr: String,
    http_addr: String,
    shard: Option<u16>,
    /// `primary`, `replica` or `witness`, by the log.
    role: ServingRole,
    leader: bool,
    voter: bool,
    version: String,
    digest: String,
    in_sync: bool,
    /// Committed out for a step of a plan.
    out: bool,
    /// It joins or leaves: `joining`, `leaving`.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    /// The shards whose tail it keeps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keeps: Vec<u16>,
    ready: bool,
    /// `None` if the node does not answer the leader.
    keys: Option<u64>,
    offset: Option<u64>,
    #[cfg(feature = "next")]
    zone: Option<String>,
}

fn node_rows(status: &ClusterStatus) -> Vec<NodeRow> {
    let control = &status.control;
    let row = |node: &Node| {
        let shard = control.shard_of_node(node.id);
        let brief = status.nodes.get(&node.id);
        NodeRow {
            node: node.id,
            client_addr: node.client_addr.clone(),
            peer_addr: node.peer_addr.clone(),
            http_addr: node.http_addr.clone(),
            shard: node.shard.map(|s| s.0),
            role: match &node.role {
                NodeRole::Witness => ServingRole::Witness,
                NodeRole::Data if control.is_primary_node(node.id) => ServingRole::Primary,
                NodeRole::Data => ServingRole::Replica,
                NodeRole::Unknown(word) => ServingRole::Unknown(word.clone()),
            },
            leader: node.id == status.leader,
            voter: node.voter,
            version: node.release.version.to_string(),
            digest: node.release.digest.to_string(),
            in_sync: shard.is_some_and(|s| s.in_sync.contains(&node.member())),
            out: node.out.is_some(),
            change: change_of(control, node.id),
            keeps: kept_by(control, node.id),
            ready: brief.is_some_and(|b| b.ready),
            keys: brief.map(|b| b.data.keys),
            offset: brief.map(|b| b.data.offset.0),
            #[cfg(feature = "next")]
            zone: node.zone.clone(),
        }
    };
    let mut rows: Vec<_> = control.nodes.values().map(row).collect();
    rows.sort_by_cached_key(|r| (r.shard.is_none(), r.shard, r.role != ServingRole::Primary, r.node));
    rows
}

fn kept_by(control: &ControlView, node: NodeId) -> Vec<u16> {
    let keeps = |shard: &&Shard| shard.keeper.as_ref().is_some_and(|keeper| keeper.member.node == node);
    control.shards.values().filter(keeps).map(|shard| shard.id.0).collect()
}

/// Who keeps what the shard acknowledges, and what that covers; or that nobody does although somebody should.
fn keeping(control: &ControlView, shard: &Shard) -> String {
    let node = |id: NodeId| control.nodes.get(&id);
    let keeper = shard.keeper.as_ref().and_then(|keeper| node(keeper.member.node));
    let beside = |keeper: &Node| {
        let machine = |id: &NodeId| node(*id).is_some_and(|node| node.machine.is_same(keeper.machine));
        shard.primary().is_some_and(|primary| machine(&primary.node))
    };
    let kept = match keeper {
        Some(keeper) if beside(keeper) => {
            format!(
                ", tail kept by {} (the primary's machine: only a process is covered)",
                keeper.client_addr
            )
        }
        Some(keeper) => format!(", tail kept by {}", keeper.client_addr),
        None => String::new(),
    };
    let exposed = if shard.exposed { ", EXPOSED: what it acknowledges is in one process only" } else { "" };
    format!("{kept}{exposed}")
}

fn change_of(control: &ControlView, node: NodeId) -> Option<&'static str> {
    let change = control.membership.as_ref().filter(|change| change.node == node)?;
    match &change.stage {
        MembershipStage::Joining { .. } => Some("joining"),
        MembershipStage::Leaving | MembershipStage::Left => Some("leaving"),
        MembershipStage::Unknown(_) => None,
    }
}

fn node_table(rows: &[NodeRow]) -> String {
    let heading = ["NODE", "ADDRESS", "SHARD", "ROLE", "VERSION", "STATE", "KEYS", "OFFSET", "VOTES"];
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    for row in rows {
        let dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let role = if row.leader { format!("{}, leader", row.role) } else { row.role.to_string() };
        let state = match (row.keys, row.out, row.ready, row.in_sync || row.shard.is_none()) {
            (None, ..) => "silent",
            (Some(_), true, ..) => "out",
            (Some(_), false, false, _) => "not ready",
            (Some(_), false, true, false) => "syncing",
            (Some(_), false, true, true) => "ok",
        };
        let state = row.change.unwrap_or(state);
        table.push(vec![
            row.node.to_string(),
            row.client_addr.clone(),
            dash(row.shard.map(|s| s.to_string())),
            role,
            row.version.clone(),
            state.to_owned(),
            dash(row.keys.map(|k| k.to_string())),
            dash(row.offset.map(|o| o.to_string())),
            if row.voter { "yes" } else { "no" }.to_owned(),
        ]);
    }
    output::table(&table)
}

fn security(mode: &SecurityMode) -> String {
    match mode {
        SecurityMode::Insecure => "insecure: whoever reaches a peer or HTTP port is believed".to_owned(),
        SecurityMode::Keys => "keys".to_owned(),
        SecurityMode::Unknown(word) => word.clone(),
    }
}

fn overview(status: &ClusterStatus) -> String {
    let control = &status.control;
    let address =
        |node: NodeId| control.nodes.get(&node).map_or_else(|| node.to_string(), |n| n.client_addr.clone());
    let mut versions: Vec<_> = control.nodes.values().map(|n| n.release.version.to_string()).collect();
    versions.sort();
    versions.dedup();
    let mut lines = vec![
        format!("cluster    {}, epoch {}", control.cluster_id.unwrap_or_default(), control.epoch),
        format!("leader     {} ({}), term {}", address(status.leader), status.leader, status.term),
        format!(
            "nodes      {} ({} voters), {} answering, version {}",
            control.nodes.len(),
            control.voters().count(),
            status.nodes.len(),
            versions.join(" and ")
        ),
    ];
    lines.extend(control.security.as_ref().map(|mode| format!("security   {}", security(mode))));
    for shard in control.shards.values() {
        let primary = match &shard.ownership {
            Ownership::Serving(member) => address(member.node),
            Ownership::Recovering { last } => format!("none, recovering (last {})", address(last.node)),
            Ownership::Unknown(unknown) => unknown.to_string(),
        };
        let losses = match &shard.losses {
            Losses { recoveries: 0, .. } => String::new(),
            Losses { recoveries, bytes_min, newest } => {
                let age =
                    newest.last().and_then(|last| Some(last.at_ms.saturating_sub(last.as_of_ms?) / 1000));
                let age = age.map_or_else(String::new, |age_s| {
                    format!("; the last time with a copy that was {age_s} s old")
                });
                format!(
                    ", recovered {recoveries} times without its in-sync set (at least {bytes_min} bytes lost{age})"
                )
            }
        };
        lines.push(format!(
            "shard {:<4} slots {}, primary {primary}, {} of {} in sync, mode {}, epoch {}{}{losses}",
            shard.id,
            shard.slots,
            shard.in_sync.len(),
            shard.nodes.len(),
            shard.mode,
            shard.epoch,
            keeping(control, shard)
        ));
    }
    if let Some(change) = text::change(control) {
        lines.push(format!("change     {change}"));
        lines.extend(status.waiting_on.iter().map(|wait| format!("           {}", text::waiting_on(wait))));
    }
    lines.push(match &control.plan {
        Some(plan) => format!("plan {:<5} to {}: {}", plan.id, plan.target.version, text::phase_word(plan)),
        None => "plan       none".to_owned(),
    });
    lines.join("\n")
}
