//! What the log knows: shards, the plan, and how long past steps and handovers took.

use super::writer::{Writer, plain, seconds};
use ironcache_control::{
    ControlState, HandoverRecord, Outcome, Phase, Plan, Security, StepRecord, StepRole, StepState,
};
use std::fmt;

/// From well below the aim of 2 ms to far beyond what a client's timeout forgives.
const STALL_BOUNDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// From a restart with nothing to load to the default step timeout.
const STEP_BOUNDS: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0];

pub(super) fn write(state: &ControlState, to: &mut Writer<'_>) -> fmt::Result {
    let ControlState {
        cluster_id,
        epoch,
        cluster_level,
        policy: _,
        policy_epoch: _,
        nodes,
        shards: _,
        releases,
        quarantined,
        declined,
        unfinished,
        plan,
        last_plan: _,
        history: _,
        membership,
        removed: _,
        security,
        audit,
        users,
        libraries,
    } = state;
    to.gauge(&plain("cluster_epoch", "The cluster's one counter"), epoch.0)?;
    to.gauge(
        &plain("cluster_level", "The feature level that every node may write"),
        u64::from(cluster_level.0),
    )?;
    to.gauge(&plain("cluster_nodes", "Nodes of the cluster"), nodes.len() as u64)?;
    to.gauge(
        &plain("cluster_audit_records", "The number of the newest record of the audit chain"),
        audit.head.seq,
    )?;
    to.gauge(
        &plain("cluster_acl_users", "Users of the access control list that somebody has set"),
        users.by_name.len() as u64,
    )?;
    to.gauge(
        &plain("cluster_libraries", "Libraries of functions that somebody has loaded"),
        libraries.by_name.len() as u64,
    )?;
    // A label `node` or `replica` elsewhere is an id: this is who that is.
    to.info(
        &plain("member", "The nodes of the cluster, and where clients reach them"),
        nodes.iter().map(|(id, node)| [("node", id.to_string()), ("address", node.client_addr.clone())]),
    )?;
    let out = nodes.values().filter(|node| node.out.is_some()).count();
    to.gauge(&plain("cluster_nodes_out", "Nodes that are out for a step"), out as u64)?;
    to.gauge(
        &plain("cluster_nodes_changing", "1 while a node joins or leaves: no step of a plan begins"),
        u64::from(membership.is_some()),
    )?;
    to.gauge(
        &plain(
            "cluster_insecure",
            "1 while whoever reaches a peer or HTTP port is believed: nobody has a key",
        ),
        u64::from(cluster_id.is_some() && *security == Security::Insecure),
    )?;
    to.gauge(&plain("releases", "Releases that the cluster knows"), releases.len() as u64)?;
    to.gauge(
        &plain("releases_quarantined", "Releases that are never activated again"),
        quarantined.len() as u64,
    )?;
    to.gauge(
        &plain("releases_declined", "Releases that no policy starts before somebody allows it"),
        declined.len() as u64,
    )?;
    to.gauge(
        &plain("plan_unfinished", "1 while an aborted plan has left nodes on two releases"),
        u64::from(unfinished.is_some()),
    )?;
    write_shards(state, to)?;
    write_plan(plan.as_ref(), to)?;
    write_past(state, to)
}

fn write_shards(state: &ControlState, to: &mut Writer<'_>) -> fmt::Result {
    let each = |value: fn(&ironcache_control::Shard) -> u64| {
        state.shards.values().map(move |shard| ([("shard", shard.id.to_string())], value(shard)))
    };
    to.gauges(
        &plain("shard_in_sync_members", "Size of the in-sync set, the primary included"),
        each(|shard| shard.in_sync.len() as u64),
    )?;
    to.gauges(&plain("shard_nodes", "Nodes that hold the shard"), each(|shard| shard.nodes.len() as u64))?;
    to.gauges(
        &plain("shard_has_primary", "0 while nobody serves the shard"),
        each(|shard| u64::from(shard.primary().is_some())),
    )?;
    to.gauges(&plain("shard_epoch", "Epoch of the present ownership"), each(|shard| shard.epoch.0))?;
    to.gauges(
        &plain("shard_handover_in_flight", "1 while the shard is handed over"),
        each(|shard| u64::from(shard.handover.is_some())),
    )?;
    to.gauges(
        &plain(
            "shard_exposed",
            "1 while what the shard acknowledges is in one process only, with a node of it out",
        ),
        each(|shard| u64::from(shard.exposed)),
    )?;
    to.gauges(
        &plain("shard_kept", "1 while a node of another shard, or a witness, keeps the tail of its stream"),
        each(|shard| u64::from(shard.keeper.is_some())),
    )?;
    to.gauges(
        &plain("shard_recoveries", "How often the shard went on with nobody left of its in-sync set"),
        each(|shard| shard.losses.recoveries),
    )?;
    to.gauges(
        &plain(
            "shard_lost_bytes_min",
            "Bytes of the shard's stream that are known to be gone; there may be more",
        ),
        each(|shard| shard.losses.bytes_min),
    )?;
    to.gauges(
        &plain(
            "shard_recovered_as_of_seconds",
            "When what the shard last went on with had been written to a disk, in Unix time; 0: never, or from memory",
        ),
        each(|shard| shard.losses.newest.last().and_then(|newest| newest.as_of_ms).unwrap_or(0) / 1000),
    )?;
    to.gauges(
        &plain("shard_mode_in_sync", "1 if writes wait for every in-sync member"),
        each(|shard| u64::from(shard.mode == ironcache_control::AckMode::InSync)),
    )
}

const PHASES: [&str; 7] = ["none", "staging", "rolling", "paused", "held", "turning-back", "soaking"];

fn write_plan(plan: Option<&Plan>, to: &mut Writer<'_>) -> fmt::Result {
    let phase = match plan.map(|plan| &plan.phase) {
        None => "none",
        Some(Phase::Staging) => "staging",
        Some(Phase::Rolling) => "rolling",
        Some(Phase::Paused) => "paused",
        Some(Phase::Held { .. }) => "held",
        Some(Phase::TurningBack { .. }) => "turning-back",
        Some(Phase::Soaking { .. }) => "soaking",
    };
    to.states(&plain("plan_phase", "1 for the phase of the active plan"), "phase", &PHASES, phase)?;
    to.info(
        &plain("plan", "The active plan"),
        plan.map(|plan| {
            [
                ("plan", plan.id.to_string()),
                ("from", plan.origin.version.to_string()),
                ("target", plan.target.version.to_string()),
                ("digest", plan.target.digest.to_string()),
                ("direction", if plan.goes_back() { "back" } else { "forward" }.to_owned()),
            ]
        }),
    )?;
    to.gauges(
        &plain("plan_steps", "Steps of the active plan, by their state"),
        ["out", "confirmed", "failed", "inconclusive", "set-aside"].map(|state| {
            let steps = plan.iter().flat_map(|plan| &plan.steps);
            ([("state", state)], steps.filter(|step| step_state(step) == state).count() as u64)
        }),
    )
}

fn step_state(step: &StepRecord) -> &'static str {
    match step.state {
        StepState::Out => "out",
        StepState::Confirmed => "confirmed",
        StepState::Failed { .. } => "failed",
        StepState::Inconclusive { .. } => "inconclusive",
        StepState::SetAside => "set-aside",
    }
}

/// Plans that the log has forgotten leave these, which then fall.
fn write_past(state: &ControlState, to: &mut Writer<'_>) -> fmt::Result {
    let ended =
        |outcome: Outcome| state.history.iter().filter(|entry| entry.outcome == outcome).count() as u64;
    to.gauges(
        &plain("plans_ended", "Plans in the log's bounded history, by their outcome"),
        [
            ([("outcome", "finalized")], ended(Outcome::Finalized)),
            ([("outcome", "aborted")], ended(Outcome::Aborted)),
            ([("outcome", "rolled-back")], ended(Outcome::RolledBack)),
            ([("outcome", "superseded")], ended(Outcome::Superseded)),
        ],
    )?;
    let plans = || state.history.iter().map(|entry| &entry.plan).chain(&state.plan);
    let took = |role: StepRole| {
        let steps = plans().flat_map(|plan| &plan.steps).filter(|step| step.role == role);
        steps.filter_map(step_seconds).collect::<Vec<_>>()
    };
    to.histograms(
        &seconds(
            "step_duration",
            "From the entry that took a node out to the end of its step, in the log's history",
        ),
        &STEP_BOUNDS,
        [
            ([("role", "replica")], took(StepRole::Replica)),
            ([("role", "primary")], took(StepRole::Primary)),
            ([("role", "witness")], took(StepRole::Witness)),
        ],
    )?;
    let stalls = plans().flat_map(|plan| &plan.handovers).filter_map(stall_seconds).collect();
    to.histograms(
        &seconds("handover_stall", "How long handovers held commands back, in the log's history"),
        &STALL_BOUNDS,
        [([("kind", "planned")], stalls)],
    )
}

fn step_seconds(step: &StepRecord) -> Option<f64> {
    Some(step.ended_at_ms?.saturating_sub(step.began_at_ms) as f64 / 1e3)
}

fn stall_seconds(handover: &HandoverRecord) -> Option<f64> {
    Some(handover.stall_us? as f64 / 1e6)
}
