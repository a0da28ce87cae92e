//! The leader's loop: ask the nodes, decide, do the one act, again.
//!
//! *Invariant:* nothing here outlives leadership; the next leader rebuilds all of it from the log and from the
//! nodes' answers.

use crate::app::{App, Lead, NodeReport, Seen};
use crate::clock::unix_ms;
use crate::odd::Told;
use crate::tasks::share_panic;
use ironcache_control::{ControlState, Origin, Proposal};
use ironcache_coordinator::{
    Bars, CannotKeep, DataObservation, Decision, Duty, Holding, LeaderMemory, LeaseObservation,
    NodeObservation, Observation, RaftGroup, ReplicaObservation, StateHash, Timers, WaitingOn, decide,
    outvoted,
};
use ironcache_raft::{AskError, PeerAddr, Proposed, RaftView};
use ironcache_shard::{depose_after_ms, deposed};
use ironcache_spine::boottime_ms;
use ironcache_types::{Member, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Between two looks while something is under way: what gates wait for changes in milliseconds.
const BUSY: Duration = Duration::from_millis(25);
/// Between two looks while a node's answer is from before what the log says by now: the node applies it within a
/// millisecond or two, and the roll stands still until it has said so.
const OLD_ANSWER: Duration = Duration::from_millis(5);
/// Between two looks while nothing is.
const IDLE: Duration = Duration::from_millis(500);
/// A node that takes longer has not answered.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a decision waits for answers: a node in order answers within a few milliseconds.
const ANSWER_SOON: Duration = Duration::from_millis(20);
/// After an act that had no effect.
const AGAIN: Duration = Duration::from_millis(50);

/// Runs until the process ends; acts only while this node leads.
pub(crate) async fn run(app: Arc<App>) {
    let mut leadership = app.raft.view_changes();
    loop {
        if leadership.borrow_and_update().is_leader {
            lead(&app).await;
            app.grantor().ended();
            *app.lead() = Lead::default();
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// One term of leadership.
async fn lead(app: &Arc<App>) {
    tracing::info!("this node leads raft");
    let began = Instant::now();
    let bars = Bars::default();
    let mut memory = LeaderMemory::default();
    let mut views = app.raft.applied();
    let leadership = app.raft.view_changes();
    let mut asked: Option<Instant> = None;
    let mut waiting_on = Vec::new();
    let mut asking = Asking::default();
    let mut told_odd = Told::default();
    loop {
        if !leadership.borrow().is_leader {
            tracing::info!("this node leads raft no more");
            return;
        }
        let view = Arc::clone(&views.borrow_and_update());
        let state = &view.state;
        let raft = app.raft.view();
        let leader_settled = view.term == raft.term;
        if leader_settled {
            app.grantor().leads(raft.term, state, boottime_ms());
        }
        if asked.is_none_or(|at| at.elapsed() >= pause(state, &waiting_on, &leases(app, state))) {
            asked = Some(Instant::now());
            ask_all(app, state, &mut asking).await;
        }
        let now_ms = began.elapsed().as_millis() as u64;
        let leases = leases(app, state);
        let observation = Observation {
            now_ms,
            leader: app.me.node,
            leader_settled,
            term: raft.term,
            leases: leases.clone(),
            nodes: observations(&app.lead().reports, raft.committed.unwrap_or(0)),
            timers: memory.note(state, &bars, now_ms),
            raft: group(&raft),
        };
        let decision = decide(state, &observation, &bars, unix_ms());
        if let Some(odd) = outvoted(state, &observation, &bars)
            && let Some(node) = state.nodes.get(&odd.node)
        {
            told_odd.tell(app, odd, &node.peer_addr);
        }
        waiting_on = match &decision {
            Decision::Wait(reasons) => reasons.clone(),
            Decision::Propose(_)
            | Decision::TransferLeader { .. }
            | Decision::AddLearner { .. }
            | Decision::ChangeMembership { .. }
            | Decision::Done => Vec::new(),
        };
        {
            let mut lead = app.lead();
            lead.waiting_on.clone_from(&waiting_on);
            lead.soaked_ms = observation.timers.soaked_ms;
        }
        match decision {
            Decision::Propose(command) => {
                tracing::info!(?command, "proposing");
                match commit(app, state, Origin::policy(unix_ms()).asks(command)).await {
                    Ok(proposed) => match proposed.outcome {
                        Ok(_) => {}
                        Err(rejection) => {
                            tracing::info!(%rejection, "the log rejects it; looking again");
                            tokio::time::sleep(AGAIN).await;
                        }
                    },
                    Err(error) => {
                        tracing::warn!(%error, "a proposal has no outcome; looking again");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
            Decision::TransferLeader { to } => {
                tracing::info!(%to, "handing leadership over");
                if let Err(error) = app.raft.transfer_leader(to).await {
                    tracing::warn!(%error, "leadership was not handed over");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            Decision::AddLearner { node, peer_addr } => {
                tracing::info!(%node, peer_addr, "taking a node into raft's group");
                if let Err(error) = app.raft.add_learner(node, PeerAddr(peer_addr)).await {
                    tracing::warn!(%node, %error, "the node was not taken into raft's group; looking again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            Decision::ChangeMembership { voters, learners } => {
                tracing::info!(?voters, ?learners, "changing raft's group");
                if let Err(error) = app.raft.change_membership(voters, learners).await {
                    tracing::warn!(%error, "raft's group was not changed; looking again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            Decision::Wait(_) | Decision::Done => {
                tokio::select! {
                    changed = views.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(pause(state, &waiting_on, &leases)) => {}
                }
            }
        }
    }
}

type Leases = BTreeMap<ShardId, LeaseObservation>;

fn leases(app: &App, state: &ControlState) -> Leases {
    let (grantor, now_ms) = (app.grantor(), boottime_ms());
    let over_after_ms = depose_after_ms(&state.policy.timers);
    let observed = |(shard, unanswered_ms)| (shard, LeaseObservation { unanswered_ms, over_after_ms });
    grantor.unanswered(state, now_ms).map(observed).collect()
}

/// Has the leader's own command committed: what deposes an owner by this node itself, while it leads.
pub(crate) async fn commit(
    app: &App,
    state: &ControlState,
    proposal: Proposal,
) -> Result<Proposed, AskError> {
    match deposed(state, &proposal.command) {
        Some((shard, owner)) => depose(app, state, shard, owner, proposal).await,
        None => app.raft.propose(proposal).await,
    }
}

/// Proposes what deposes an owner: from here on it is granted no lease, unless the log rejects the entry.
async fn depose(
    app: &App,
    state: &ControlState,
    shard: ShardId,
    owner: Member,
    proposal: Proposal,
) -> Result<Proposed, AskError> {
    let deposing = app.grantor().depose(shard, owner, &state.policy.timers, boottime_ms());
    let Some(deposing) = deposing else {
        let text = format!("{owner} was granted a lease in between");
        return Err(AskError::Unknown { after_ms: 0, last: text });
    };
    let proposed = app.raft.propose_as_leader(proposal).await?;
    app.grantor().settled(deposing, proposed.index);
    Ok(proposed)
}

/// From one look to the next.
fn pause(state: &ControlState, waiting_on: &[WaitingOn], leases: &Leases) -> Duration {
    let runs_out = leases.values().any(|lease| lease.is_running_out());
    match is_busy(state) || runs_out {
        true if waiting_on.iter().any(WaitingOn::is_old_answer) => OLD_ANSWER,
        true => BUSY,
        // Soon enough to see a lease run out before it is over.
        false => IDLE.min(Duration::from_millis(state.policy.timers.lease_ms() / 4)),
    }
}

fn is_busy(state: &ControlState) -> bool {
    state.plan.is_some()
        || state.membership.is_some()
        || state.shards.values().any(|s| s.primary().is_none() || s.handover.is_some())
}

/// Asks every node for its report, all at once, and waits for those that answer soon. One that is slow keeps nobody
/// waiting: its answer is taken in whenever it comes, and a panic of its task at the next look.
async fn ask_all(app: &Arc<App>, state: &ControlState, asking: &mut Asking) {
    let Asking { asked, answers } = asking;
    for (id, node) in &state.nodes {
        let (app, asking, id, addr) = (Arc::clone(app), asked.clone(), *id, node.peer_addr.clone());
        if !asking.begin(id) {
            continue;
        }
        answers.spawn(async move {
            // An answer is as old as its question: it may have been given at once, and have been long on its way.
            let at = Instant::now();
            let report =
                if id == app.me.node { app.report().await.ok() } else { ask(&app, id, &addr).await.ok() };
            asking.end(id);
            if let Some(report) = report {
                app.lead().reports.insert(id, Seen { report, at });
            }
        });
    }
    let all = async {
        while let Some(answered) = answers.join_next().await {
            share_panic(answered);
        }
    };
    // Who has not answered by now is decided without.
    let _ = tokio::time::timeout(ANSWER_SOON, all).await;
    app.lead().reports.retain(|id, _| state.nodes.contains_key(id));
}

/// Who is being asked, and the tasks that do.
#[derive(Default)]
struct Asking {
    asked: Asked,
    answers: JoinSet<()>,
}

/// The nodes that have been asked and have not answered yet.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<BTreeSet<NodeId>>>);

impl Asked {
    /// `false` if the node is being asked already.
    fn begin(&self, node: NodeId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node)
    }

    fn end(&self, node: NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }
}

async fn ask(app: &App, node: NodeId, addr: &str) -> Result<NodeReport, ironcache_host::http::Error> {
    let url = format!("http://{addr}/node/report");
    app.client.get(url).to(node).timeout(REPORT_TIMEOUT).send().await?.error_for_status()?.json().await
}

/// What the nodes said last, for whoever asks between two looks of the loop. Without its timers: nothing that the loop
/// measures is decided by it.
pub(crate) fn what_nodes_said(app: &App, state: &ControlState) -> Observation {
    let raft = app.raft.view();
    Observation {
        now_ms: 0,
        leader: app.me.node,
        leader_settled: true,
        term: raft.term,
        leases: leases(app, state),
        nodes: observations(&app.lead().reports, raft.committed.unwrap_or(0)),
        timers: Timers::default(),
        raft: group(&raft),
    }
}

fn group(raft: &RaftView) -> RaftGroup {
    RaftGroup {
        voters: raft.voters.iter().copied().collect(),
        is_joint: raft.is_joint,
        learners: raft.learners.iter().copied().collect(),
    }
}

fn observations(reports: &BTreeMap<NodeId, Seen>, committed: u64) -> BTreeMap<NodeId, NodeObservation> {
    reports.iter().map(|(id, seen)| (*id, observation(seen, committed))).collect()
}

fn observation(seen: &Seen, committed: u64) -> NodeObservation {
    let NodeReport { member, release, ready, applied_index, state_hashes, cannot_upgrade, cannot_keep, data } =
        &seen.report;
    NodeObservation {
        seen_ms_ago: seen.at.elapsed().as_millis() as u64,
        member: *member,
        release: release.clone(),
        ready: *ready,
        raft_lag_entries: committed.saturating_sub(*applied_index),
        state_hashes: state_hashes
            .iter()
            .map(|(log_index, hash)| StateHash { log_index: *log_index, hash: *hash })
            .collect(),
        cannot_upgrade: cannot_upgrade.clone(),
        cannot_keep: cannot_keep.as_ref().map(why_not_kept),
        data: data.shard.map(|shard| DataObservation {
            shard,
            duty: match (data.serves, data.follows) {
                (Some(epoch), _) => Duty::Serves(epoch),
                (None, Some(epoch)) => Duty::Follows(epoch),
                (None, None) => Duty::Neither,
            },
            isr_epoch: data.isr_epoch,
            offset: data.offset,
            holds: data.holds.as_ref().and_then(holding),
            replicas: data
                .replicas
                .iter()
                .map(|r| ReplicaObservation {
                    member: ironcache_types::Member { node: r.node, incarnation: r.incarnation },
                    applied: r.applied,
                    lag_bytes: r.lag_bytes,
                    syncing: r.syncing,
                    in_sync_for_ms: r.in_sync_for_ms,
                })
                .collect(),
        }),
    }
}

/// An unknown word is one that it cannot: nothing is kept where somebody says so.
fn why_not_kept(said: &ironcache_api::CannotKeep) -> CannotKeep {
    match said {
        ironcache_api::CannotKeep::Full { free_bytes, reserve_bytes } => {
            CannotKeep::Full { free_bytes: *free_bytes, reserve_bytes: *reserve_bytes }
        }
        ironcache_api::CannotKeep::Disk { error } => CannotKeep::Disk { error: error.clone() },
        ironcache_api::CannotKeep::Unknown(said) => CannotKeep::Other { said: said.to_string() },
    }
}

/// What a node says it holds. In the words of another release it has said nothing: the shard waits, and an operator sees
/// for whom.
fn holding(said: &ironcache_api::Holding) -> Option<Holding> {
    match said {
        ironcache_api::Holding::Nothing => Some(Holding::Nothing),
        ironcache_api::Holding::UpTo { epoch, offset, as_of_ms } => {
            Some(Holding::UpTo { epoch: *epoch, offset: *offset, as_of_ms: *as_of_ms })
        }
        ironcache_api::Holding::Sealed { offset } => Some(Holding::Sealed { offset: *offset }),
        ironcache_api::Holding::Unknown(_) => None,
    }
}
