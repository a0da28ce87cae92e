//! A shard of whose set nobody is left alive: who holds most, and whether to go on with that.
//!
//! ```text
//!   every node of the shard ── what it holds ──► the most complete claim ──► Recover{to, at}
//!                                                 │ one of them may hold more and is not heard: recover-wait-s
//!                                                 │ the last owner holds it all: it reclaims, and nothing is lost
//!                                                 └ on-total-loss = wait: an operator accepts the loss
//! ```
//! A claim is compared by its line of primaries first, and only then by how far it goes: what a later primary never had
//! was given up when that one began, however much of it there is.
//!
//! *Invariant:* a claim counts only of the registered life, and as of the set's present epoch: what a node held before
//! it had applied the end of its primary is not what it holds.
//! *Invariant:* while a member of the set answers, nothing is given up.
//! *Invariant:* nor, by itself, while a registered keeper holds a tail that continues what somebody holds, or may hold. A
//! tail that nobody reaches helps nobody, and keeps no shard down.

use crate::bars::Bars;
use crate::disagreement;
use crate::keeper;
use crate::observation::{Holding, Observation};
use crate::view::{View, note};
use crate::waiting_on::{RecoverWhen, WaitingOn};
use ironcache_control::{
    Command, ControlState, Keeper, KeeperBase, LastLease, Node, OnTotalLoss, Ownership, Recover, RecoveredBy,
    Rejection, Shard,
};
use ironcache_types::{Epoch, Member, NodeId, Offset, ShardId};

/// What an operator would go on with, if the loss were accepted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    pub recover: Recover,
    /// Nodes of the shard that have not said what they hold.
    pub not_heard: Vec<NodeId>,
}

/// Why an operator cannot have the shard go on either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotRecover {
    #[error(transparent)]
    Refused(#[from] Rejection),
    #[error("node {node}, the last owner of shard {shard}, holds all of it and takes it back by itself")]
    Reclaims { shard: ShardId, node: NodeId },
    #[error("no node of shard {shard} has said what it holds; start one of them, and ask again")]
    NobodyAnswers { shard: ShardId },
}

impl CannotRecover {
    /// A stable word for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            CannotRecover::Refused(rejection) => rejection.code(),
            CannotRecover::Reclaims { .. } => "reclaims",
            CannotRecover::NobodyAnswers { .. } => "nobody_answers",
        }
    }
}

/// What one node could begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    member: Member,
    worth: Worth,
    /// The newest primary whose start it has reached; 0 of nothing.
    epoch: Epoch,
    offset: Offset,
    /// When it was written to a disk.
    as_of_ms: Option<u64>,
}

/// What a claim is worth, whatever its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Nothing,
    /// A later primary began below its end: of what lies in between nobody knew any more.
    CutOff,
    /// A part of what the last owner had.
    Prefix,
}

impl Worth {
    fn of(shard: &Shard, epoch: Epoch, offset: Offset) -> Worth {
        let later = shard.lineage.iter().filter(|entry| entry.epoch > epoch).filter_map(|entry| entry.start);
        if later.min().is_some_and(|start| start < offset) { Worth::CutOff } else { Worth::Prefix }
    }
}

/// A shard that nobody serves and of whose set nobody can take over.
#[derive(Clone, Copy)]
pub(crate) struct Lost<'a> {
    pub shard: &'a Shard,
    /// Its last owner. By the log it may own it still: then its lease is over.
    pub owner: Member,
    /// For how long it has been so, as this leader saw it.
    pub without_ms: u64,
}

impl<'a> Lost<'a> {
    /// `None` while somebody may serve it.
    fn of(view: View<'_>, shard: &'a Shard) -> Option<Self> {
        let lease = view.obs.leases.get(&shard.id).filter(|lease| lease.is_over());
        let (owner, without_ms) = match shard.ownership {
            Ownership::Recovering { last, lease: ended } => {
                match ended {
                    LastLease::Ended => {}
                    LastLease::MayRun => {
                        lease?;
                    }
                }
                (last, view.obs.timers.recovering_ms.get(&shard.id).copied())
            }
            Ownership::Serving(owner) => (owner, Some(lease?.over_for_ms())),
        };
        Some(Lost { shard, owner, without_ms: without_ms.unwrap_or(0) })
    }
}

/// What is known of the nodes of such a shard.
struct Claims<'a> {
    lost: Lost<'a>,
    /// The nodes of the shard that may be chosen, in the order of the cluster's creation.
    held: Vec<Claim>,
    /// It answers, and reads its dataset.
    loading: Vec<NodeId>,
    /// It does not answer, or not as of the set's present epoch.
    silent: Vec<NodeId>,
    out: Vec<NodeId>,
    /// It holds all that the last owner had.
    sealed: Option<NodeId>,
}

/// What is done about a shard that nobody serves, and of whose set nobody can take over.
pub(crate) fn next(
    view: View<'_>,
    lost: Lost<'_>,
    now_wall_ms: u64,
    waiting: &mut Vec<WaitingOn>,
) -> Option<Command> {
    if let Some(member) = alive(view, lost.shard).next() {
        // It answers, and does not take over: it holds another state, or has not answered since the lease's end.
        let odd = disagreement::odd(view).filter(|odd| odd.node == member.node);
        if let Some(odd) = odd {
            note(waiting, WaitingOn::StateDiffers { node: odd.node, log_index: odd.log_index });
        }
        return None;
    }
    let claims = Claims::of(view, lost);
    match claims.when(view) {
        Err(reasons) => {
            reasons.into_iter().for_each(|reason| note(waiting, reason));
            None
        }
        Ok(claim) => Some(Command::Recover(claims.recover(view, claim, RecoveredBy::Policy, now_wall_ms))),
    }
}

/// What the operator of `shard` would accept now, as the leader sees it.
///
/// # Errors
/// The shard has a primary or gets one without a loss, or nobody has said what it holds.
pub fn by_operator(
    state: &ControlState,
    obs: &Observation,
    bars: &Bars,
    id: ShardId,
    now_wall_ms: u64,
) -> Result<Remains, CannotRecover> {
    let view = View { state, obs, bars };
    let shard = state.shards.get(&id).ok_or(Rejection::UnknownShard { shard: id })?;
    let lost = Lost::of(view, shard).ok_or(Rejection::StillServing { shard: id })?;
    if let Some(member) = alive(view, shard).next() {
        return Err(Rejection::TakesOver { shard: id, member }.into());
    }
    let claims = Claims::of(view, lost);
    if let Some(node) = claims.sealed {
        return Err(CannotRecover::Reclaims { shard: id, node });
    }
    let claim = claims.most_complete(view).ok_or(CannotRecover::NobodyAnswers { shard: id })?;
    let recover = claims.recover(view, claim, RecoveredBy::Operator, now_wall_ms);
    let Claims { loading, silent, out, .. } = claims;
    Ok(Remains { recover, not_heard: [loading, silent, out].concat() })
}

/// The members of the set that answer, whatever they say.
fn alive<'a>(view: View<'a>, shard: &'a Shard) -> impl Iterator<Item = Member> + 'a {
    let answers = move |member: &Member| {
        let node = view.state.nodes.get(&member.node).filter(|node| node.member() == *member);
        node.is_some_and(|node| view.answer(node).is_ok())
    };
    shard.in_sync.iter().copied().filter(answers)
}

/// What the tail of `keeper` waits for: who holds what it continues, to follow it; or somebody who may, if one may come.
fn tail_waits(keeper: &Keeper, best: Option<Claim>, may_come: bool) -> Option<RecoverWhen> {
    let by = keeper.member.node;
    let reaches = |claim: &Claim| match keeper.base {
        KeeperBase::Own => true,
        KeeperBase::Leaver => claim.worth == Worth::Prefix && claim.offset >= keeper.from,
    };
    match best.filter(reaches) {
        Some(claim) => Some(RecoverWhen::Tail { keeper: by, node: claim.member.node }),
        None if may_come => Some(RecoverWhen::Base { keeper: by }),
        None => None,
    }
}

impl<'a> Claims<'a> {
    fn of(view: View<'a>, lost: Lost<'a>) -> Self {
        let (held, loading, silent, out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut claims = Claims { lost, held, loading, silent, out, sealed: None };
        let odd = disagreement::odd(view).map(|odd| odd.node);
        for node in lost.shard.nodes.iter().filter_map(|id| view.state.nodes.get(id)) {
            claims.hear(view, node, odd);
        }
        claims
    }

    fn hear(&mut self, view: View<'_>, node: &Node, odd: Option<NodeId>) {
        if node.out.is_some() {
            self.out.push(node.id);
            return;
        }
        let Lost { shard, without_ms, .. } = self.lost;
        // An owner without a lease sends nothing, so that what is held since its end is final.
        let is_final = |seen_ms_ago| shard.primary().is_none() || seen_ms_ago <= without_ms;
        let answer =
            view.answer(node).ok().filter(|answer| Some(node.id) != odd && is_final(answer.seen_ms_ago));
        let Some(data) = answer.and_then(|answer| View::data_of_set(answer, shard).ok()) else {
            self.silent.push(node.id);
            return;
        };
        let member = node.member();
        match data.holds {
            None => self.loading.push(node.id),
            Some(Holding::Nothing) => {
                let (worth, epoch, offset) = (Worth::Nothing, Epoch::default(), Offset(0));
                self.held.push(Claim { member, worth, epoch, offset, as_of_ms: None });
            }
            // Of an epoch that the log has not reached: not of this log.
            Some(Holding::UpTo { epoch, .. }) if epoch > shard.epoch => self.silent.push(node.id),
            Some(Holding::UpTo { epoch, offset, as_of_ms }) => {
                let worth = Worth::of(shard, epoch, offset);
                self.held.push(Claim { member, worth, epoch, offset, as_of_ms });
            }
            Some(Holding::Sealed { offset }) => {
                self.sealed = Some(node.id);
                let (worth, epoch) = (Worth::Prefix, shard.epoch);
                self.held.push(Claim { member, worth, epoch, offset, as_of_ms: None });
            }
        }
    }

    /// The claim to go on with now, by itself, or everything that this waits for.
    fn when(&self, view: View<'_>) -> Result<Claim, Vec<WaitingOn>> {
        let Self { lost: Lost { shard, without_ms, .. }, held: _, loading, silent, out, sealed } = self;
        if let Some(last) = sealed {
            return Err(vec![WaitingOn::Reclaim { shard: shard.id, last: *last }]);
        }
        let wait = |until| WaitingOn::TotalLoss { shard: shard.id, until };
        let remaining_ms = view.state.policy.recover_wait_s.saturating_mul(1000).saturating_sub(*without_ms);
        let mut reasons: Vec<_> = out.iter().map(|node| wait(RecoverWhen::Back { node: *node })).collect();
        reasons.extend(loading.iter().map(|node| wait(RecoverWhen::Loaded { node: *node })));
        if remaining_ms > 0 {
            let answer = |node: &NodeId| wait(RecoverWhen::Answer { node: *node, remaining_ms });
            reasons.extend(silent.iter().map(answer));
        }
        let best = self.most_complete(view);
        if let Some(keeper) = keeper::registered(view, shard) {
            let may_come = keeper::alive(view, shard).is_some() && !(out.is_empty() && silent.is_empty());
            reasons.extend(tail_waits(keeper, best, may_come).map(wait));
        }
        if reasons.is_empty() && best.is_none() {
            reasons.push(wait(RecoverWhen::AnyAnswer));
        }
        match (best, view.state.policy.on_total_loss) {
            (Some(claim), OnTotalLoss::ServeWhatIsLeft) if reasons.is_empty() => Ok(claim),
            (Some(claim), OnTotalLoss::Wait) => {
                let (node, at) = (claim.member.node, claim.offset);
                reasons.push(wait(RecoverWhen::Accepted { node, at }));
                Err(reasons)
            }
            (Some(_), OnTotalLoss::ServeWhatIsLeft) | (None, _) => Err(reasons),
        }
    }

    /// Of equals the one that runs the plan's target (it spares a handover), then the last owner, then the first.
    fn most_complete(&self, view: View<'_>) -> Option<Claim> {
        let target = view.state.plan.as_ref().map(|plan| plan.target.digest);
        let rank = |claim: &Claim| {
            let node = claim.member.node;
            let on_target = target.is_some_and(|target| view.is_on(node, target));
            (claim.worth, claim.epoch, claim.offset, on_target, node == self.lost.owner.node)
        };
        // The last of equals wins, so the order is turned round.
        self.held.iter().rev().max_by_key(|claim| rank(claim)).copied()
    }

    fn recover(&self, view: View<'_>, claim: Claim, by: RecoveredBy, at_ms: u64) -> Recover {
        let shard = self.lost.shard;
        Recover {
            shard: shard.id,
            shard_epoch: shard.epoch,
            isr_epoch: shard.isr_epoch,
            to: claim.member,
            at: claim.offset,
            lost_bytes_min: self.known_end(view).0.saturating_sub(claim.offset.0),
            given_up: shard.in_sync.iter().copied().chain(shard.keeper.map(|k| k.member)).collect(),
            term: view.obs.term,
            by,
            at_ms,
            as_of_ms: claim.as_of_ms,
        }
    }

    /// How far the stream had come as the last owner, or a member of its set, said last. Whoever has registered a new
    /// life since has answered anew, and what it said before is forgotten.
    fn known_end(&self, view: View<'_>) -> Offset {
        let Lost { shard, owner, .. } = self.lost;
        let of_the_set = |member: Member| member == owner || shard.in_sync.contains(&member);
        let answers = view.obs.nodes.values().filter(|answer| of_the_set(answer.member));
        let said = answers.filter_map(|answer| answer.data.as_ref()).filter(|data| data.shard == shard.id);
        said.map(|data| data.offset).max().unwrap_or_default()
    }
}
