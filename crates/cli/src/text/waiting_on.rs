//! What a plan waits for: each reason with its number and its bar.

use super::hold_reason;
use super::soaking::problem_text;
use crate::output;
use ironcache_api::{OutStage, WaitingOn};
use std::fmt;

pub fn waiting_on(wait: &WaitingOn) -> String {
    match wait {
        WaitingOn::LeaderSettling { leader } => {
            format!("node {leader} leads raft, and has not yet applied an entry of its own term")
        }
        WaitingOn::Unreachable { node, seen_ms_ago: Some(ms), max_ms } => {
            let (ago, max) = (Seconds(*ms), Seconds(*max_ms));
            format!("node {node} has not answered for {ago}; at most {max} is allowed")
        }
        WaitingOn::Unreachable { node, seen_ms_ago: None, max_ms: _ } => {
            format!("node {node} has not answered this leader yet")
        }
        WaitingOn::OtherLife { node, registered, answers } => {
            format!("node {node} answers as process {answers}, and {registered} is registered")
        }
        WaitingOn::NotReady { node } => format!("node {node} answers, and does not serve its role yet"),
        WaitingOn::RaftLag { node, entries, max_entries } => {
            format!("node {node} is {entries} log entries behind; at most {max_entries} is allowed")
        }
        WaitingOn::Artifact { node, held_by, nodes } => {
            format!("node {node} does not hold the artifact ({held_by} of {nodes} do)")
        }
        WaitingOn::WeakMode { shard } => {
            format!("shard {shard} acknowledges in mode primary; its primary has to raise it to in-sync")
        }
        WaitingOn::Reclaim { shard, last } => format!(
            "shard {shard} has no primary and 0 members in sync; node {last}, its last owner, has to come back"
        ),
        WaitingOn::InSyncUnreachable { shard, in_sync } => {
            format!("shard {shard} has no primary, and 0 of its {in_sync} members in sync answer; 1 needed")
        }
        WaitingOn::PrimaryNotServing { shard, primary } => {
            format!("node {primary}, the primary of shard {shard}, does not answer or does not serve")
        }
        WaitingOn::NodeOut { node, out_for_ms, max_ms, stage } => {
            let (out, max) = (Seconds(*out_for_ms), Seconds(*max_ms));
            format!("node {node} has been out for {out} of at most {max}: {}", out_stage(stage))
        }
        WaitingOn::NotInSync { shard, node } => {
            format!("node {node} is not in the in-sync set of shard {shard} yet")
        }
        WaitingOn::NotAttached { shard, node } => {
            format!("replica {node} is not attached to the primary of shard {shard}")
        }
        WaitingOn::Syncing { shard, node } => {
            format!("replica {node} of shard {shard} is still receiving the dataset")
        }
        WaitingOn::Lag { shard, node, lag_bytes, max_bytes } => format!(
            "replica {node} of shard {shard} is {lag_bytes} bytes behind; at most {max_bytes} is allowed"
        ),
        WaitingOn::Settling { shard, node, in_sync_for_ms, settle_ms } => format!(
            "replica {node} of shard {shard} has been in sync for {in_sync_for_ms} ms of {settle_ms} ms"
        ),
        WaitingOn::HandoverInFlight { shard, to, age_ms, timeout_ms } => format!(
            "shard {shard} is being handed over to node {to} since {age_ms} ms; aborted at {timeout_ms} ms"
        ),
        WaitingOn::HandoverBackoff { shard, remaining_ms } => {
            format!("the last handover of shard {shard} failed; the next begins in {remaining_ms} ms")
        }
        WaitingOn::Voters { reachable, voters, needed } => format!(
            "only {reachable} of {voters} voters are reachable and in service; {needed} needed before the next step"
        ),
        WaitingOn::Parallel { out, max } => format!("{out} nodes are out; at most {max} may be at a time"),
        WaitingOn::NoOtherLeader { leader } => format!(
            "node {leader} leads raft and is next; 0 other voters are reachable and caught up, 1 needed to lead"
        ),
        WaitingOn::CannotUpgrade { node, reason } => {
            format!("node {node} cannot change its binary: {}", reason.reason)
        }
        WaitingOn::Quarantined { node, reason } => {
            format!("the release is quarantined: it failed on node {node}: {}", reason.reason)
        }
        WaitingOn::Paused { plan } => {
            format!("plan {plan} is paused; `ironcache cluster upgrade resume` goes on")
        }
        WaitingOn::Held { plan, reason } => format!("plan {plan} is held: {}", hold_reason(reason)),
        WaitingOn::Preflight { node } => {
            format!("node {node} has not said yet whether the release would start there")
        }
        WaitingOn::PreflightFailed { node, problem } => {
            format!("the release would not start on node {node}: {}", problem_text(problem))
        }
        WaitingOn::Soaking { plan, remaining_ms: Some(ms) } => {
            format!("plan {plan} soaks, and finalizes by itself in {}", output::duration(*ms))
        }
        WaitingOn::Soaking { plan, remaining_ms: None } => {
            format!("plan {plan} soaks, and waits for `ironcache cluster upgrade finalize`")
        }
        WaitingOn::OldLevel { node, oldest, needed } => {
            format!(
                "node {node} still holds bytes of level {oldest}; {needed} is the oldest that the target reads"
            )
        }
        WaitingOn::Unknown(unknown) => unknown.to_string(),
    }
}

fn out_stage(stage: &OutStage) -> String {
    match stage {
        OutStage::Replacing => "the new binary has not registered yet".to_owned(),
        OutStage::Silent => "the new binary is registered and does not answer".to_owned(),
        OutStage::NotReady => "the new binary answers and does not serve its role yet".to_owned(),
        OutStage::RaftLag { entries, max_entries } => {
            format!("the new binary is {entries} log entries behind; at most {max_entries} is allowed")
        }
        OutStage::GoingBack => "the release was quarantined meanwhile, and the node goes back".to_owned(),
        OutStage::Confirming => "the trial is accepted, and the node makes it final".to_owned(),
        OutStage::Unknown(unknown) => unknown.to_string(),
    }
}

/// Milliseconds, shown in seconds with one digit.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ms) = self;
        write!(f, "{}.{} s", ms / 1000, ms % 1000 / 100)
    }
}
