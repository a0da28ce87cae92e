//! What a plan waits for: each reason with its number and its bar.

use super::hold_reason;
use super::soaking::problem_text;
use crate::output;
use ironcache_api::{CannotKeep, OutStage, RecoverWhen, WaitingOn};
use ironcache_types::{Offset, ShardId};
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
        WaitingOn::OldAnswer { node, shard, epoch } => {
            format!("node {node} has not answered yet for epoch {epoch} of shard {shard}")
        }
        WaitingOn::StateDiffers { node, log_index } => {
            format!("node {node} holds another control state than the others at log index {log_index}")
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
        WaitingOn::Keeper { shard, wanted: Some(node) } => format!(
            "the next step leaves shard {shard} with one member in sync, and node {node}, which is to keep the tail of its \
             stream, is not on record yet"
        ),
        WaitingOn::Keeper { shard, wanted: None } => format!(
            "the next step leaves shard {shard} with one member in sync, and no node answers that could keep the tail of \
             its stream"
        ),
        WaitingOn::CannotKeep { shard, node, why } => format!(
            "node {node} cannot keep the tail of shard {shard}'s stream, and no other node that answers could: {}",
            cannot_keep(why)
        ),
        WaitingOn::KeepsShard { shard, node } => format!(
            "node {node} keeps the tail of shard {shard}'s stream, and goes when that has two members in sync"
        ),
        WaitingOn::KeeperStays { shard, node } => format!(
            "the handover of shard {shard} begins when node {node} keeps the tail of its stream no more"
        ),
        WaitingOn::LastLease { shard, last, remaining_ms } => format!(
            "shard {shard} has no primary; node {last}, its last owner, registered from another machine, and the process \
             before may answer clients for another {}",
            Seconds(*remaining_ms)
        ),
        WaitingOn::Exposed { shard } => format!(
            "what shard {shard} acknowledges is in one process only; another keeper, or two members in sync, are needed"
        ),
        WaitingOn::TotalLoss { shard, until } => {
            format!("shard {shard} lost its in-sync set: {}", recover_when(*shard, until))
        }
        WaitingOn::Reclaim { shard, last } => format!(
            "shard {shard} has no primary; node {last}, its last owner, holds all of it and takes it back"
        ),
        WaitingOn::InSyncUnreachable { shard, in_sync: 0 } => {
            format!("shard {shard} has no primary, and its in-sync set is empty")
        }
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
        WaitingOn::Unknown(unknown) => unknown.to_string(),
    }
}

fn cannot_keep(why: &CannotKeep) -> String {
    let mb = |bytes: &u64| bytes / 1_000_000;
    match why {
        CannotKeep::Full { free_bytes, reserve_bytes } => format!(
            "its disk has {} MB free, and leaves {} MB to the node itself; make room there, or add a node",
            mb(free_bytes),
            mb(reserve_bytes)
        ),
        CannotKeep::Disk { error } => format!("its disk takes nothing: {error}; mend it, or add a node"),
        CannotKeep::Unknown(said) => said.to_string(),
    }
}

fn recover_when(shard: ShardId, until: &RecoverWhen) -> String {
    let recover = format!("`ironcache cluster recover --shard {shard}");
    match until {
        RecoverWhen::Answer { node, remaining_ms } => {
            let remaining = Seconds(*remaining_ms);
            format!("node {node}, which may hold more, has {remaining} to answer")
        }
        RecoverWhen::Loaded { node } => format!("node {node} is reading its dataset"),
        RecoverWhen::Back { node } => format!(
            "node {node} is out for its step, and may come back with more; {recover}` says what there is without it"
        ),
        RecoverWhen::Tail { keeper, node } => format!(
            "node {keeper} keeps the tail that continues what node {node} holds: with both nothing is lost; {recover}` says \
             what there is without it"
        ),
        RecoverWhen::Base { keeper } => {
            format!("node {keeper} keeps the tail, and waits for a node that holds what lies before it")
        }
        RecoverWhen::AnyAnswer => "no node of the shard has said what it holds; start one of them".to_owned(),
        RecoverWhen::Accepted { node, at: Offset(0) } => format!(
            "no node that answers holds anything; {recover} --accept-loss` begins anew with node {node}"
        ),
        RecoverWhen::Accepted { node, at } => {
            format!("{recover} --accept-loss` goes on with what node {node} holds, up to offset {at}")
        }
        RecoverWhen::Unknown(unknown) => unknown.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::samples::reason;
    use expect_test::expect;
    use ironcache_api::{HoldReason, Problem};
    use ironcache_types::{Incarnation, NodeId, PlanId};

    const NODE: NodeId = NodeId(2);
    const SHARD: ShardId = ShardId(1);
    const PLAN: PlanId = PlanId(3);

    fn problem() -> Problem {
        Problem {
            code: "unknown_key".to_owned(),
            key: Some("zone".to_owned()),
            text: "is not known".to_owned(),
        }
    }

    fn told(waits: &[WaitingOn]) -> String {
        waits.iter().map(waiting_on).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_node_that_is_waited_for_is_told_with_its_numbers_and_bars() {
        let out = |stage| WaitingOn::NodeOut { node: NODE, out_for_ms: 1_500, max_ms: 120_000, stage };
        let waits = [
            WaitingOn::LeaderSettling { leader: NODE },
            WaitingOn::Unreachable { node: NODE, seen_ms_ago: Some(4_200), max_ms: 3_000 },
            WaitingOn::Unreachable { node: NODE, seen_ms_ago: None, max_ms: 3_000 },
            WaitingOn::OtherLife { node: NODE, registered: Incarnation(7), answers: Incarnation(8) },
            WaitingOn::NotReady { node: NODE },
            WaitingOn::RaftLag { node: NODE, entries: 9, max_entries: 4 },
            WaitingOn::Artifact { node: NODE, held_by: 2, nodes: 3 },
            out(OutStage::Replacing),
            out(OutStage::Silent),
            out(OutStage::NotReady),
            out(OutStage::RaftLag { entries: 9, max_entries: 4 }),
            out(OutStage::GoingBack),
            out(OutStage::Confirming),
            WaitingOn::Voters { reachable: 2, voters: 3, needed: 3 },
            WaitingOn::Parallel { out: 1, max: 1 },
            WaitingOn::NoOtherLeader { leader: NODE },
            WaitingOn::CannotUpgrade { node: NODE, reason: reason("it has no launcher") },
            WaitingOn::Quarantined { node: NODE, reason: reason("exited with code 3") },
            WaitingOn::Preflight { node: NODE },
            WaitingOn::PreflightFailed { node: NODE, problem: problem() },
        ];
        expect![[r#"
            node 0000000000000002 leads raft, and has not yet applied an entry of its own term
            node 0000000000000002 has not answered for 4.2 s; at most 3.0 s is allowed
            node 0000000000000002 has not answered this leader yet
            node 0000000000000002 answers as process 0000000000000008, and 0000000000000007 is registered
            node 0000000000000002 answers, and does not serve its role yet
            node 0000000000000002 is 9 log entries behind; at most 4 is allowed
            node 0000000000000002 does not hold the artifact (2 of 3 do)
            node 0000000000000002 has been out for 1.5 s of at most 120.0 s: the new binary has not registered yet
            node 0000000000000002 has been out for 1.5 s of at most 120.0 s: the new binary is registered and does not answer
            node 0000000000000002 has been out for 1.5 s of at most 120.0 s: the new binary answers and does not serve its role yet
            node 0000000000000002 has been out for 1.5 s of at most 120.0 s: the new binary is 9 log entries behind; at most 4 is allowed
            node 0000000000000002 has been out for 1.5 s of at most 120.0 s: the release was quarantined meanwhile, and the node goes back
            node 0000000000000002 has been out for 1.5 s of at most 120.0 s: the trial is accepted, and the node makes it final
            only 2 of 3 voters are reachable and in service; 3 needed before the next step
            1 nodes are out; at most 1 may be at a time
            node 0000000000000002 leads raft and is next; 0 other voters are reachable and caught up, 1 needed to lead
            node 0000000000000002 cannot change its binary: it has no launcher
            the release is quarantined: it failed on node 0000000000000002: exited with code 3
            node 0000000000000002 has not said yet whether the release would start there
            the release would not start on node 0000000000000002: key `zone`: is not known (unknown_key)"#]].assert_eq(&told(&waits));
    }

    #[test]
    fn a_shard_that_is_waited_for_is_told_with_its_numbers_and_bars() {
        let (shard, node) = (SHARD, NODE);
        let waits = [
            WaitingOn::WeakMode { shard },
            WaitingOn::Reclaim { shard, last: node },
            WaitingOn::TotalLoss { shard, until: RecoverWhen::Answer { node, remaining_ms: 7_500 } },
            WaitingOn::TotalLoss { shard, until: RecoverWhen::Loaded { node } },
            WaitingOn::TotalLoss { shard, until: RecoverWhen::Back { node } },
            WaitingOn::TotalLoss { shard, until: RecoverWhen::Tail { keeper: NodeId(6), node } },
            WaitingOn::TotalLoss { shard, until: RecoverWhen::Base { keeper: NodeId(6) } },
            WaitingOn::TotalLoss { shard, until: RecoverWhen::AnyAnswer },
            WaitingOn::TotalLoss { shard, until: RecoverWhen::Accepted { node, at: Offset(0) } },
            WaitingOn::TotalLoss { shard, until: RecoverWhen::Accepted { node, at: Offset(90) } },
            WaitingOn::InSyncUnreachable { shard, in_sync: 0 },
            WaitingOn::InSyncUnreachable { shard, in_sync: 2 },
            WaitingOn::PrimaryNotServing { shard, primary: node },
            WaitingOn::NotInSync { shard, node },
            WaitingOn::NotAttached { shard, node },
            WaitingOn::Syncing { shard, node },
            WaitingOn::Lag { shard, node, lag_bytes: 9, max_bytes: 4 },
            WaitingOn::Settling { shard, node, in_sync_for_ms: 40, settle_ms: 100 },
            WaitingOn::HandoverInFlight { shard, to: node, age_ms: 40, timeout_ms: 100 },
            WaitingOn::HandoverBackoff { shard, remaining_ms: 40 },
        ];
        expect![[r#"
            shard 1 acknowledges in mode primary; its primary has to raise it to in-sync
            shard 1 has no primary; node 0000000000000002, its last owner, holds all of it and takes it back
            shard 1 lost its in-sync set: node 0000000000000002, which may hold more, has 7.5 s to answer
            shard 1 lost its in-sync set: node 0000000000000002 is reading its dataset
            shard 1 lost its in-sync set: node 0000000000000002 is out for its step, and may come back with more; `ironcache cluster recover --shard 1` says what there is without it
            shard 1 lost its in-sync set: node 0000000000000006 keeps the tail that continues what node 0000000000000002 holds: with both nothing is lost; `ironcache cluster recover --shard 1` says what there is without it
            shard 1 lost its in-sync set: node 0000000000000006 keeps the tail, and waits for a node that holds what lies before it
            shard 1 lost its in-sync set: no node of the shard has said what it holds; start one of them
            shard 1 lost its in-sync set: no node that answers holds anything; `ironcache cluster recover --shard 1 --accept-loss` begins anew with node 0000000000000002
            shard 1 lost its in-sync set: `ironcache cluster recover --shard 1 --accept-loss` goes on with what node 0000000000000002 holds, up to offset 90
            shard 1 has no primary, and its in-sync set is empty
            shard 1 has no primary, and 0 of its 2 members in sync answer; 1 needed
            node 0000000000000002, the primary of shard 1, does not answer or does not serve
            node 0000000000000002 is not in the in-sync set of shard 1 yet
            replica 0000000000000002 is not attached to the primary of shard 1
            replica 0000000000000002 of shard 1 is still receiving the dataset
            replica 0000000000000002 of shard 1 is 9 bytes behind; at most 4 is allowed
            replica 0000000000000002 of shard 1 has been in sync for 40 ms of 100 ms
            shard 1 is being handed over to node 0000000000000002 since 40 ms; aborted at 100 ms
            the last handover of shard 1 failed; the next begins in 40 ms"#]].assert_eq(&told(&waits));
    }

    #[test]
    fn a_plan_that_stands_says_what_takes_it_on() {
        let held = |reason| WaitingOn::Held { plan: PLAN, reason };
        let waits = [
            WaitingOn::Paused { plan: PLAN },
            WaitingOn::Soaking { plan: PLAN, remaining_ms: Some(5_400_000) },
            WaitingOn::Soaking { plan: PLAN, remaining_ms: None },
            held(HoldReason::StepFailed { node: NODE, reason: reason("exited with code 3") }),
            held(HoldReason::StepInconclusive { node: NODE, reason: reason("it was cut off") }),
            held(HoldReason::StepTimedOut { node: NODE, waited_ms: 120_000 }),
            held(HoldReason::StateMismatch { node: NODE, log_index: 64 }),
            held(HoldReason::PreflightFailed { node: NODE, problem: problem() }),
            held(HoldReason::Exposed { shard: SHARD }),
            WaitingOn::Keeper { shard: SHARD, wanted: Some(NODE) },
            WaitingOn::Keeper { shard: SHARD, wanted: None },
            WaitingOn::CannotKeep {
                shard: SHARD,
                node: NODE,
                why: CannotKeep::Full { free_bytes: 50_000_000, reserve_bytes: 67_108_864 },
            },
            WaitingOn::KeepsShard { shard: SHARD, node: NODE },
            WaitingOn::KeeperStays { shard: SHARD, node: NODE },
            WaitingOn::Exposed { shard: SHARD },
            WaitingOn::LastLease { shard: SHARD, last: NODE, remaining_ms: 900 },
        ];
        expect![[r#"
            plan 3 is paused; `ironcache cluster upgrade resume` goes on
            plan 3 soaks, and finalizes by itself in 1 h 30 min
            plan 3 soaks, and waits for `ironcache cluster upgrade finalize`
            plan 3 is held: node 0000000000000002 could not run the release and went back to its old binary: exited with code 3; the release is quarantined: `ironcache cluster upgrade rollback` takes everybody back, `ironcache cluster upgrade abort` ends the plan where it stands; then stage a mended release
            plan 3 is held: node 0000000000000002 went back to its old binary without proof against the release: it was cut off; `ironcache cluster upgrade resume` tries again
            plan 3 is held: node 0000000000000002 has been out for 120000 ms; look at its log. Once it is back: `ironcache cluster upgrade resume`; if it is lost: `ironcache cluster replace-node OLD HOST:PORT` and `resume`, or `ironcache cluster upgrade abort`
            plan 3 is held: node 0000000000000002 holds another control state at log index 64: a defect, to be reported; nothing becomes final, and `ironcache cluster upgrade rollback` takes everybody back
            plan 3 is held: the binary would not start on node 0000000000000002: key `zone`: is not known (unknown_key); mend that and `ironcache cluster upgrade resume`
            plan 3 is held: what shard 1 acknowledges is in one process only; the plan goes on by itself as soon as another node keeps it, or two are in sync (`ironcache cluster status` shows who is)
            the next step leaves shard 1 with one member in sync, and node 0000000000000002, which is to keep the tail of its stream, is not on record yet
            the next step leaves shard 1 with one member in sync, and no node answers that could keep the tail of its stream
            node 0000000000000002 cannot keep the tail of shard 1's stream, and no other node that answers could: its disk has 50 MB free, and leaves 67 MB to the node itself; make room there, or add a node
            node 0000000000000002 keeps the tail of shard 1's stream, and goes when that has two members in sync
            the handover of shard 1 begins when node 0000000000000002 keeps the tail of its stream no more
            what shard 1 acknowledges is in one process only; another keeper, or two members in sync, are needed
            shard 1 has no primary; node 0000000000000002, its last owner, registered from another machine, and the process before may answer clients for another 0.9 s"#]].assert_eq(&told(&waits));
    }
}
