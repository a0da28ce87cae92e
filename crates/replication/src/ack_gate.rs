//! The primary's side of acknowledgement, and the gate of the in-sync set: one mechanism (DESIGN §5).
//!
//! ```text
//!  frame written ───► on_frame                           in-sync: replies ≤ acknowledged() may leave
//!  Ack arrives ─────► on_ack ───► progress of members ─┤
//!  it moves, only ──► on_progress                        primary: may_acknowledge(end) → Open | WaitFor
//!  entry applied ───► set_committed, set_mode
//!  a tick ──────────► silent_members ──► whom the primary has to have removed
//! ```
//!
//! Whoever trails is waited for, however large what it lacks is: one write may be larger than every bound. A member
//! leaves by time alone: unheard, or owing something and showing no progress. Progress is that it acknowledged more,
//! received more bytes, or moved inside what it applies ([`Progress`]). A member that holds nobody back has
//! `isr_timeout_ms`; one for which replies or commands wait, `hold_ms`.
//!
//! Who is required:
//! - **committed**: in the in-sync set by applied state. Not required any more only when its removal is applied.
//! - **proposed**: a proposal to add it is on its way, and may be committed already without our knowing. Required
//!   from the proposal until it is committed, or until its entry is known to be rejected.
//! - **awaited**: about to be proposed. Under constant load a replica is always a round trip behind what mode
//!   `primary` has acknowledged; awaiting it for that round trip makes "holds every acknowledged offset" come
//!   true. Nobody else relies on it: it may be dropped at any time.
//!
//! *Invariant:* no offset is acknowledged in mode `in-sync` that a required member has not applied; in mode
//! `primary` a required member misses at most the mode's lag.
//! *Invariant:* an acknowledgement counts only for the link, source and epoch it was sent on. A gate lives as long
//! as one (ownership epoch, incarnation) of a primary; a new one knows nothing.
//! *Invariant:* a member is proposed only while it holds every offset that was ever acknowledged.
//! *Invariant:* nothing that is counted in bytes or operations makes a member leave.
//! *Invariant:* times are those of a [`RunningClock`](crate::RunningClock): while this process stands still nobody is
//! silent.

use crate::lag_log::LagLog;
use crate::message::{Ack, Progress, Source};
use crate::resync::SyncMode;
use crate::verdict::{
    AckError, AckStep, AttachError, Eligibility, FollowerView, Gate, LacksAcknowledged, ProposeError,
    RaiseError, Requirement, Silence, Silent,
};
use ironcache_types::{Member, Offset};
use std::collections::{BTreeMap, BTreeSet};

/// How long a member may go without acknowledging its oldest outstanding byte, not counting the time in which it shows
/// progress: else one that moves a little, and stops again, would never be late. Larger: it slows its shard for longer.
/// Smaller: a disk or a machine that stutters under a large write empties the set. Never below `isr_timeout_ms`.
const ISR_LAG_MS_MAX: u64 = 10_000;

/// A member whose last progress is older shows none: four of the reports that a busy one makes.
const PROGRESS_MS: u64 = 200;

/// Decides what a primary may acknowledge, and whom it may propose.
#[derive(Clone, Debug)]
pub struct AckGate {
    source: Source,
    limits: GateLimits,
    mode: AckMode,
    tightening: Tightening,
    /// Where this primary's epoch began.
    start: Offset,
    end: Offset,
    /// The highest offset that may have been acknowledged to anyone.
    high_water: Offset,
    committed: BTreeSet<Member>,
    /// With the number of the proposal.
    proposed: BTreeMap<Member, u64>,
    awaited: BTreeSet<Member>,
    /// Every attached replica, and every required one.
    followers: BTreeMap<Member, Follower>,
    lag: LagLog,
    links: u64,
    proposals: u64,
    /// When stalls were last added up.
    ticked_ms: u64,
}

/// When a write is acknowledged. Log state per shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// At once, while no required member trails by more than this.
    Primary { max_lag_bytes: u64, max_lag_ops: u64 },
    /// After every required member applied it.
    InSync,
}

/// The gate's times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// A required member that is unheard, or owes something and makes no progress, for this long is to be removed.
    pub isr_timeout_ms: u64,
    /// The same for one that was heard before, and for which something waits. Larger: the shard stands still longer when
    /// a member dies. Smaller: a member is removed for a hiccup. [`Patience`](crate::Patience) finds the mean.
    pub hold_ms: u64,
    /// A replica must have kept up for this long before it may enter. Smaller: members flap in and out.
    pub settle_ms: u64,
    /// A replica keeps up while its oldest outstanding byte is at most this old.
    pub near_ms: u64,
}

/// One link of one replica. Acknowledgements of an older link of the same replica count for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub member: Member,
    source: Source,
    number: u64,
}

/// One proposal of one primary, so that a late rejection is never taken for another one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    subject: Subject,
    source: Source,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Member(Member),
    InSyncMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tightening {
    No,
    /// Acting as `InSync` ahead of the log.
    UnderWay,
    /// So, and a `SetMode` is on its way.
    Proposed {
        number: u64,
    },
}

#[derive(Clone, Debug)]
struct Follower {
    link: Option<u64>,
    applied: Option<Offset>,
    /// Operations below `applied`; 0 if that is too far back to tell.
    applied_ops: u64,
    /// When it began to owe its first acknowledgement.
    since_ms: u64,
    heard_ms: u64,
    /// When it last showed progress, and what it then said of it.
    progress_ms: u64,
    progress: Option<Progress>,
    /// How long it has shown none since it last acknowledged more.
    stalled_ms: u64,
    near_since_ms: Option<u64>,
}

impl AckGate {
    /// The gate of a primary that starts at `start` with the given applied state.
    pub fn new(
        source: Source,
        start: Offset,
        mode: AckMode,
        committed: &BTreeSet<Member>,
        limits: GateLimits,
        now_ms: u64,
    ) -> Self {
        let mut gate = AckGate {
            source,
            limits,
            mode,
            tightening: Tightening::No,
            start,
            end: start,
            // The predecessor may have acknowledged all of it.
            high_water: start,
            committed: BTreeSet::new(),
            proposed: BTreeMap::new(),
            awaited: BTreeSet::new(),
            followers: BTreeMap::new(),
            lag: LagLog::new(start, now_ms),
            links: 0,
            proposals: 0,
            ticked_ms: now_ms,
        };
        gate.set_committed(committed, now_ms);
        gate
    }

    /// A new ownership epoch begins: every acknowledgement, proposal and link is forgotten.
    pub fn reset(&mut self, source: Source, start: Offset, committed: &BTreeSet<Member>, now_ms: u64) {
        *self = AckGate::new(source, start, self.mode, committed, self.limits, now_ms);
    }

    /// The bounds that hold from now on; what was judged by the earlier ones stays judged.
    pub fn set_limits(&mut self, limits: GateLimits) {
        self.limits = limits;
    }

    pub fn source(&self) -> Source {
        self.source
    }

    /// The end of the stream.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// A frame was written: the stream now ends at `end`. On the path of every write.
    pub fn on_frame(&mut self, end: Offset, now_ms: u64) {
        self.lag.on_frame(self.end, end, now_ms);
        self.end = end;
        if self.followers.is_empty() {
            self.lag.forget_below(end);
        }
    }

    // --- links ---------------------------------------------------------------------------------------------

    /// A replica said hello; `mode` is what the primary would accept it with. Its older link, if any, counts no
    /// more; nor, on a full sync, does anything that it acknowledged. Refused: a full sync of a member that is
    /// committed or proposed. Only the primary knows of a proposal under way, so that only it can keep the
    /// replica from throwing away what the log may be about to rely on.
    pub fn attach(&mut self, member: Member, mode: SyncMode, now_ms: u64) -> Result<Link, AttachError> {
        let required = self.committed.contains(&member) || self.proposed.contains_key(&member);
        let follower = self.followers.entry(member).or_insert_with(|| Follower::unheard(now_ms));
        match mode {
            SyncMode::Full if required => return Err(AttachError { member }),
            SyncMode::Full => *follower = Follower::unheard(now_ms),
            SyncMode::Partial { from } => {
                if follower.applied.is_some_and(|applied| from < applied) {
                    follower.applied = Some(from);
                    follower.applied_ops = self.lag.ops_at(from).unwrap_or(0);
                }
            }
        }
        self.links += 1;
        follower.link = Some(self.links);
        follower.heard_ms = now_ms;
        follower.near_since_ms = None;
        self.awaited.remove(&member);
        Ok(Link { member, source: self.source, number: self.links })
    }

    /// The link is gone. A committed or proposed member stays required.
    pub fn detach(&mut self, link: Link) {
        if self.follower_of(link).is_none() {
            return;
        }
        self.awaited.remove(&link.member);
        if self.requirement(link.member).is_none() {
            self.followers.remove(&link.member);
        } else if let Some(follower) = self.followers.get_mut(&link.member) {
            follower.link = None;
            follower.near_since_ms = None;
        }
    }

    /// An acknowledgement arrived.
    pub fn on_ack(&mut self, link: Link, ack: Ack, now_ms: u64) -> Result<AckStep, AckError> {
        let Ack { source, applied } = ack;
        let (expected, end, near_ms, member) = (self.source, self.end, self.limits.near_ms, link.member);
        if source != expected {
            return Err(AckError::OtherSource { expected, got: source });
        }
        if applied > end {
            return Err(AckError::PastEnd { member, applied, end });
        }
        let held_before = self.held_by_all();
        let follower = self.follower_of(link).ok_or(AckError::StaleLink { member })?;
        if let Some(before) = follower.applied.filter(|before| applied < *before) {
            return Err(AckError::Backwards { member, applied, before });
        }
        let advanced = follower.applied != Some(applied);
        let was_near = follower.applied.is_some_and(|before| self.age_at(before, now_ms) <= near_ms);
        let is_near = self.age_at(applied, now_ms) <= near_ms;
        let ops = self.lag.ops_at(applied);
        let follower = self.followers.get_mut(&member).expect("found above");
        follower.applied = Some(applied);
        follower.applied_ops = ops.unwrap_or(follower.applied_ops);
        follower.heard_ms = now_ms;
        if advanced {
            follower.progress_ms = now_ms;
            follower.stalled_ms = 0;
        }
        follower.near_since_ms = match (was_near, is_near) {
            (_, false) => None,
            (true, true) => follower.near_since_ms.or(Some(now_ms)),
            (false, true) => Some(now_ms),
        };
        self.forget_what_all_hold();
        let acknowledged = self.held_by_all();
        Ok(match (acknowledged > held_before, advanced) {
            (true, _) => AckStep::Released { acknowledged },
            (false, true) => AckStep::Advanced,
            (false, false) => AckStep::Unchanged,
        })
    }

    /// It says how far it is with what it has not acknowledged yet.
    pub fn on_progress(&mut self, link: Link, progress: Progress, now_ms: u64) -> Result<(), AckError> {
        let member = link.member;
        self.follower_of(link).ok_or(AckError::StaleLink { member })?;
        let follower = self.followers.get_mut(&member).expect("found above");
        follower.heard_ms = now_ms;
        if follower.progress.replace(progress) != Some(progress) {
            follower.progress_ms = now_ms;
        }
        Ok(())
    }

    // --- acknowledgement -----------------------------------------------------------------------------------

    /// Everything at or below it was applied by every required member (and by every awaited one), so that in mode
    /// `in-sync` its replies may leave; the end of the stream when there is none. Counts as acknowledged.
    pub fn acknowledged(&mut self) -> Offset {
        let held = self.held_by_all();
        self.high_water = self.high_water.max(held);
        held
    }

    /// Whether the reply to a write that ends at `end` may leave. `Open` counts as acknowledged.
    pub fn may_acknowledge(&mut self, end: Offset) -> Gate {
        let gate = self.gate_at(end);
        if gate == Gate::Open {
            self.high_water = self.high_water.max(end);
        }
        gate
    }

    /// Below it every committed or proposed member holds everything, as far as this primary was told; `None` without
    /// members. What is above it, one of them may still ask for.
    pub fn held_by_members(&self) -> Option<Offset> {
        self.required().map(|member| self.applied_by(member)).min()
    }

    /// Whether every required member holds all that was ever acknowledged: what a `SetMode` to `in-sync`
    /// waits for.
    pub fn all_hold_acknowledged(&self) -> Result<(), LacksAcknowledged> {
        match self.furthest_behind(self.required(), self.high_water) {
            Some((member, behind_bytes)) => Err(LacksAcknowledged { member, behind_bytes }),
            None => Ok(()),
        }
    }

    /// How many followers of those that `counts`, required or not, have applied everything below `offset`.
    pub fn holders(&self, offset: Offset, counts: impl Fn(Member) -> bool) -> usize {
        let holds = |follower: &Follower| follower.applied.is_some_and(|at| at >= offset);
        self.followers.iter().filter(|(member, follower)| holds(follower) && counts(**member)).count()
    }

    /// Members of the committed in-sync set, without the primary: what `min_in_sync` is compared with.
    pub fn committed(&self) -> &BTreeSet<Member> {
        &self.committed
    }

    /// Is its link up, and did it say something on it at `at_ms` or later?
    pub fn is_heard_since(&self, member: Member, at_ms: u64) -> bool {
        self.followers.get(&member).is_some_and(|f| f.link.is_some() && f.heard_ms >= at_ms)
    }

    pub fn followers(&self) -> impl Iterator<Item = FollowerView> + '_ {
        self.followers.iter().map(|(&member, follower)| FollowerView {
            member,
            requirement: self.requirement(member),
            attached: follower.link.is_some(),
            applied: follower.applied,
            behind_bytes: self.behind_bytes(member, self.end),
            behind_ops: self.behind_ops(follower),
        })
    }

    // --- mode ----------------------------------------------------------------------------------------------

    /// The mode of the applied state. While tightening, `Primary` changes nothing yet.
    pub fn set_mode(&mut self, applied: AckMode) {
        self.mode = applied;
        if applied == AckMode::InSync {
            self.tightening = Tightening::No;
        }
    }

    /// Act as `in-sync` from now on, ahead of the log: the first half of a rise of the mode. The second is
    /// [`AckGate::propose_in_sync`].
    pub fn tighten(&mut self) {
        if self.mode != AckMode::InSync && self.tightening == Tightening::No {
            self.tightening = Tightening::UnderWay;
        }
    }

    /// The primary is about to propose `SetMode(in-sync)`: allowed when every required member holds all that was
    /// acknowledged, once until the outcome is known.
    pub fn propose_in_sync(&mut self) -> Result<Proposal, RaiseError> {
        match self.tightening {
            Tightening::No => return Err(RaiseError::NotTightened),
            Tightening::Proposed { .. } => return Err(RaiseError::AlreadyProposed),
            Tightening::UnderWay => {}
        }
        self.all_hold_acknowledged()?;
        self.proposals += 1;
        self.tightening = Tightening::Proposed { number: self.proposals };
        Ok(Proposal { subject: Subject::InSyncMode, source: self.source, number: self.proposals })
    }

    /// The rise is not wanted any more. Fails once it was proposed: then only its outcome ends it.
    pub fn stop_tightening(&mut self) -> Result<(), RaiseError> {
        match self.tightening {
            Tightening::Proposed { .. } => Err(RaiseError::AlreadyProposed),
            Tightening::No | Tightening::UnderWay => {
                self.tightening = Tightening::No;
                Ok(())
            }
        }
    }

    /// The mode by which replies are judged now.
    pub fn effective_mode(&self) -> AckMode {
        match self.tightening {
            Tightening::UnderWay | Tightening::Proposed { .. } => AckMode::InSync,
            Tightening::No => self.mode,
        }
    }

    // --- the set -------------------------------------------------------------------------------------------

    /// The in-sync set of the applied state, without the primary. A proposed member that it contains is
    /// proposed no more; one that it lacks stays required.
    pub fn set_committed(&mut self, members: &BTreeSet<Member>, now_ms: u64) {
        if self.committed == *members && !self.proposed.keys().any(|member| members.contains(member)) {
            return;
        }
        self.committed.clone_from(members);
        for member in members {
            self.proposed.remove(member);
            self.awaited.remove(member);
            self.followers.entry(*member).or_insert_with(|| Follower::unheard(now_ms));
        }
        self.drop_strangers();
    }

    /// Requires this replica's acknowledgement until it is proposed, dropped or detached, so that it comes to hold
    /// everything acknowledged. Await who is `Eligible`: the shard waits with it.
    pub fn await_member(&mut self, member: Member) -> Result<(), ProposeError> {
        self.check_candidate(member)?;
        self.awaited.insert(member);
        Ok(())
    }

    /// Drops an awaited replica: nothing was promised on it.
    pub fn stop_awaiting(&mut self, member: Member) {
        self.awaited.remove(&member);
        self.drop_strangers();
    }

    /// The primary is about to propose this replica for the in-sync set: it is required from here on.
    pub fn propose(&mut self, member: Member) -> Result<Proposal, ProposeError> {
        self.check_candidate(member)?;
        let applied = self.followers.get(&member).and_then(|follower| follower.applied);
        if applied < Some(self.high_water) {
            let behind_bytes = self.behind_bytes(member, self.high_water);
            return Err(ProposeError::NotCaughtUp { member, behind_bytes });
        }
        self.awaited.remove(&member);
        self.proposals += 1;
        self.proposed.insert(member, self.proposals);
        Ok(Proposal { subject: Subject::Member(member), source: self.source, number: self.proposals })
    }

    /// The log rejected this proposal: what it required is required no more. A rejection of another epoch, or of
    /// a proposal that is settled, changes nothing.
    pub fn on_rejected(&mut self, proposal: Proposal) {
        let Proposal { subject, source, number } = proposal;
        if source != self.source {
            return;
        }
        match subject {
            Subject::Member(member) => {
                if self.proposed.get(&member) == Some(&number) {
                    self.abandon_proposal(member);
                }
            }
            Subject::InSyncMode => {
                if self.tightening == (Tightening::Proposed { number }) {
                    self.tightening = Tightening::No;
                }
            }
        }
    }

    /// By applied state the member's proposal was accepted and undone by a later entry. Never call this while its
    /// outcome is unknown (the log may have admitted the member already), nor for a rejection, which may be an
    /// older proposal's: that is [`AckGate::on_rejected`].
    pub fn abandon_proposal(&mut self, member: Member) {
        self.proposed.remove(&member);
        self.drop_strangers();
    }

    /// Required members to be removed. Awaited ones are to be dropped as soon as they do not keep up (`near_ms`). To be
    /// called at every tick.
    pub fn silent_members(&mut self, now_ms: u64) -> Vec<Silent> {
        self.add_up_stalls(now_ms);
        let silent = self.all_required().filter_map(|(member, requirement)| {
            let follower = self.followers.get(&member)?;
            let evidence = match requirement {
                Requirement::Committed | Requirement::Proposed => self.silence_of(member, follower, now_ms),
                Requirement::Awaited => {
                    let age_ms = self.age_of(follower, now_ms);
                    (age_ms > self.limits.near_ms).then(|| self.outstanding(member, follower, age_ms))
                }
            }?;
            Some(Silent { member, requirement, evidence })
        });
        silent.collect()
    }

    /// Whether this replica has kept up for long enough to enter the set.
    pub fn eligible(&self, member: Member, now_ms: u64) -> Eligibility {
        match self.requirement(member) {
            Some(Requirement::Committed | Requirement::Proposed) => return Eligibility::AlreadyRequired,
            Some(Requirement::Awaited) | None => {}
        }
        let Some(follower) = self.followers.get(&member).filter(|follower| follower.link.is_some()) else {
            return Eligibility::NotAttached;
        };
        let age_ms = self.age_of(follower, now_ms);
        let Some(since_ms) = follower.near_since_ms.filter(|_| age_ms <= self.limits.near_ms) else {
            return Eligibility::Behind { behind_bytes: self.behind_bytes(member, self.end), age_ms };
        };
        match self.limits.settle_ms.saturating_sub(now_ms.saturating_sub(since_ms)) {
            0 => Eligibility::Eligible,
            remaining_ms => Eligibility::Settling { remaining_ms },
        }
    }

    // --- helpers -------------------------------------------------------------------------------------------

    fn gate_at(&self, end: Offset) -> Gate {
        let wait = |(member, behind_bytes)| Gate::WaitFor { member, behind_bytes };
        match self.effective_mode() {
            AckMode::InSync => {
                let required = self.all_required().map(|(member, _)| member);
                self.furthest_behind(required, end).map_or(Gate::Open, wait)
            }
            AckMode::Primary { .. } => {
                let trailing = self.required().find(|member| self.trails(*member, end));
                match trailing {
                    Some(member) => wait((member, self.behind_bytes(member, end))),
                    None => self.furthest_behind(self.awaited.iter().copied(), end).map_or(Gate::Open, wait),
                }
            }
        }
    }

    /// Does what ends at `end` wait for this committed or proposed member?
    fn trails(&self, member: Member, end: Offset) -> bool {
        let behind_bytes = self.behind_bytes(member, end);
        match self.effective_mode() {
            AckMode::InSync => behind_bytes > 0,
            AckMode::Primary { max_lag_bytes, max_lag_ops } => {
                match self.followers.get(&member).filter(|f| f.applied >= Some(self.start)) {
                    Some(follower) => {
                        behind_bytes > max_lag_bytes || self.lacks_ops(follower, end, max_lag_ops)
                    }
                    // How far it trails in the predecessor's part of the stream is not known here.
                    None => true,
                }
            }
        }
    }

    /// Does this member lack more operations of what is below `end`?
    fn lacks_ops(&self, follower: &Follower, end: Offset, max_lag_ops: u64) -> bool {
        // Counting those below `end` is a search; mostly there is no need.
        self.behind_ops(follower) > max_lag_ops
            && self.lag.ops_at(end).is_none_or(|ops| ops.saturating_sub(follower.applied_ops) > max_lag_ops)
    }

    /// Why this committed or proposed member is to leave, if it is.
    fn silence_of(&self, member: Member, follower: &Follower, now_ms: u64) -> Option<Silence> {
        let GateLimits { isr_timeout_ms, hold_ms, settle_ms: _, near_ms: _ } = self.limits;
        // Of one that was never heard nobody knows how long it takes to find its way here.
        let is_known = follower.applied.is_some();
        let holds_back = is_known && self.trails(member, self.end);
        let timeout_ms = if holds_back { hold_ms } else { isr_timeout_ms };
        let for_ms = now_ms.saturating_sub(follower.heard_ms);
        if for_ms >= timeout_ms {
            return Some(Silence::Unheard { for_ms });
        }
        let age_ms = self.age_of(follower, now_ms);
        let for_ms = now_ms.saturating_sub(follower.progress_ms).min(age_ms);
        if for_ms >= timeout_ms {
            let (behind_bytes, behind_ops) = (self.behind_bytes(member, self.end), self.behind_ops(follower));
            return Some(Silence::Stalled { for_ms, behind_bytes, behind_ops });
        }
        (follower.stalled_ms >= ISR_LAG_MS_MAX.max(isr_timeout_ms))
            .then(|| self.outstanding(member, follower, age_ms))
    }

    fn outstanding(&self, member: Member, follower: &Follower, age_ms: u64) -> Silence {
        let (behind_bytes, behind_ops) = (self.behind_bytes(member, self.end), self.behind_ops(follower));
        Silence::Outstanding { age_ms, behind_bytes, behind_ops }
    }

    fn add_up_stalls(&mut self, now_ms: u64) {
        let since_ms = now_ms.saturating_sub(self.ticked_ms);
        self.ticked_ms = now_ms;
        for follower in self.followers.values_mut() {
            let owes = follower.applied.is_none_or(|applied| applied < self.end);
            if owes && now_ms.saturating_sub(follower.progress_ms) >= PROGRESS_MS {
                follower.stalled_ms += since_ms;
            }
        }
    }

    fn required(&self) -> impl Iterator<Item = Member> + '_ {
        self.committed.iter().chain(self.proposed.keys()).copied()
    }

    fn all_required(&self) -> impl Iterator<Item = (Member, Requirement)> + '_ {
        let committed = self.committed.iter().map(|&member| (member, Requirement::Committed));
        let proposed = self.proposed.keys().map(|&member| (member, Requirement::Proposed));
        let awaited = self.awaited.iter().map(|&member| (member, Requirement::Awaited));
        committed.chain(proposed).chain(awaited)
    }

    fn requirement(&self, member: Member) -> Option<Requirement> {
        self.all_required().find(|(required, _)| *required == member).map(|(_, requirement)| requirement)
    }

    fn applied_by(&self, member: Member) -> Offset {
        self.followers.get(&member).and_then(|follower| follower.applied).unwrap_or(Offset(0))
    }

    fn behind_bytes(&self, member: Member, end: Offset) -> u64 {
        end.0.saturating_sub(self.applied_by(member).0)
    }

    fn behind_ops(&self, follower: &Follower) -> u64 {
        self.lag.ops_total() - follower.applied_ops
    }

    fn held_by_all(&self) -> Offset {
        self.all_required().map(|(member, _)| self.applied_by(member)).min().unwrap_or(self.end)
    }

    fn furthest_behind(&self, members: impl Iterator<Item = Member>, end: Offset) -> Option<(Member, u64)> {
        let behind = members.map(|member| (member, self.behind_bytes(member, end)));
        behind.filter(|(_, bytes)| *bytes > 0).max_by_key(|(_, bytes)| *bytes)
    }

    /// The age of the oldest byte past `applied`; 0 if there is none.
    fn age_at(&self, applied: Offset, now_ms: u64) -> u64 {
        if applied >= self.end { 0 } else { self.lag.age_ms(applied, now_ms) }
    }

    /// The age of what this follower lacks; if it acknowledged nothing yet, how long it has owed that.
    fn age_of(&self, follower: &Follower, now_ms: u64) -> u64 {
        match follower.applied {
            Some(applied) => self.age_at(applied, now_ms),
            None => now_ms.saturating_sub(follower.since_ms),
        }
    }

    fn follower_of(&self, link: Link) -> Option<&Follower> {
        let follower = self.followers.get(&link.member)?;
        (link.source == self.source && follower.link == Some(link.number)).then_some(follower)
    }

    fn check_candidate(&self, member: Member) -> Result<(), ProposeError> {
        match self.requirement(member) {
            Some(Requirement::Committed | Requirement::Proposed) => {
                return Err(ProposeError::AlreadyRequired { member });
            }
            Some(Requirement::Awaited) | None => {}
        }
        match self.followers.get(&member) {
            Some(Follower { link: Some(_), .. }) => Ok(()),
            Some(Follower { link: None, .. }) | None => Err(ProposeError::NotAttached { member }),
        }
    }

    fn drop_strangers(&mut self) {
        let required: BTreeSet<Member> = self.all_required().map(|(member, _)| member).collect();
        self.followers.retain(|member, follower| follower.link.is_some() || required.contains(member));
    }

    fn forget_what_all_hold(&mut self) {
        if let Some(Some(held)) = self.followers.values().map(|follower| follower.applied).min() {
            self.lag.forget_below(held);
        }
    }
}

impl Follower {
    fn unheard(now_ms: u64) -> Self {
        Follower {
            link: None,
            applied: None,
            applied_ops: 0,
            since_ms: now_ms,
            heard_ms: now_ms,
            progress_ms: now_ms,
            progress: None,
            stalled_ms: 0,
            near_since_ms: None,
        }
    }
}
