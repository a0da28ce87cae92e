//! The keeper: a node that holds the tail of a shard's stream while the shard has one full member left. It holds no
//! dataset: what a member took along when it left, and this tail, are the whole of it.
//!
//! ```text
//!            wished or recorded            the primary goes on from `from`
//!   (idle) ───────────────────► Attaching ─────────────────────────────────► Keeping
//!      ▲                          ▲  │  ▲                link lost             │ │
//!      │ neither any more         │  │  └───────────────────────────────────────┘ │ the disk is full
//!      │                  a while │  │                                            ▼
//!      └─────────────────────── Broken ◄───────────────────────────────────────────
//!
//!   any ── BeginRecovery applied ──► Fenced{handover} ── its end applied ──► as the state says
//! ```
//!
//! The caller's duties:
//! 1. Hand in every applied state, and what became of each action. Perform actions in order.
//! 2. Append a frame only while [`Keepers::keeps`] says so, and hand in [`Event::Appended`] once write(2) has returned.
//! 3. Acknowledge what [`Action::Acknowledge`] says, and nothing else.
//!
//! *Invariant:* what is acknowledged was appended, on the link of the primary that the applied state names; once a
//! `BeginRecovery` through this keeper is applied, nothing is appended or acknowledged any more.
//! *Invariant:* a returning node is served only from the tail that the log records for the present epoch, and not while
//! the primary is heard.
//! *Invariant:* a file goes only when nothing that was proposed while it was written can be accepted any more, the record
//! does not name it, and enough members hold everything ([`Keepers::on`], `Applied`).
//! *Invariant:* a process that stops begins to keep nothing more; what it keeps it keeps to its end.
//! *Invariant:* pure: no clock, no file, no socket; level-triggered: it acts on the applied state, never on an entry.

mod attach;
mod serve;
mod task;

pub(crate) use attach::relied_on;
pub use attach::{Attach, NotAttached, Recorded, Stream, attach};
pub use serve::NotServed;

use ironcache_control::{ControlState, Shard};
use ironcache_replication::Position;
use ironcache_types::{Epoch, Member, Offset, ShardId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use task::Task;

/// A keeper that could not write tries again after this. Sooner, and a full disk is asked for again and again; later, and
/// a shard is exposed for longer than its only possible keeper has been well again.
const TRY_AGAIN_MS: u64 = 5_000;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The applied state advanced.
    Applied(Arc<ControlState>),
    /// A file was read back, as this process started.
    Found { shard: ShardId, file: Kept },
    /// The primary has accepted: what it sends goes to this file.
    Began { shard: ShardId, primary: Member, file: Kept },
    /// The file holds whole commands up to here.
    Appended { shard: ShardId, epoch: Epoch, whole: Offset },
    /// The link to the primary is gone, or the last try to open one failed.
    LinkLost { shard: ShardId, primary: Member },
    /// Nothing can be appended.
    CannotKeep { shard: ShardId },
    /// A returning node asks for what is kept.
    Hello { shard: ShardId, member: Member },
    /// This process stops.
    Leaving,
    /// To be told every second or so.
    Tick,
}

/// What the caller does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a link to this primary, and another one whenever it is lost.
    Dial {
        shard: ShardId,
        primary: Member,
        epoch: Epoch,
    },
    /// Close the link to the primary.
    HangUp {
        shard: ShardId,
    },
    /// Close it with the reason why nothing is kept.
    GiveUp {
        shard: ShardId,
    },
    Acknowledge {
        shard: ShardId,
        whole: Offset,
    },
    /// Send this node what is kept, from its position on.
    Serve {
        shard: ShardId,
        member: Member,
        epoch: Epoch,
    },
    Refuse {
        member: Member,
        why: NotServed,
    },
    /// Whoever is served is told that nothing follows, once it has everything.
    Fence {
        shard: ShardId,
        handover: Epoch,
    },
    /// Nobody is told so any more.
    Lift {
        shard: ShardId,
    },
    /// Serve nobody from this shard's file any more.
    EndServing {
        shard: ShardId,
    },
    /// Remove the file.
    Remove {
        shard: ShardId,
        epoch: Epoch,
    },
}

impl Action {
    /// How far the link may be told that all is kept, if these say so.
    pub fn acknowledged(actions: &[Action]) -> Option<Offset> {
        actions.iter().find_map(|action| match action {
            Action::Acknowledge { shard: _, whole } => Some(*whole),
            Action::Dial { .. }
            | Action::HangUp { .. }
            | Action::GiveUp { .. }
            | Action::Serve { .. }
            | Action::Refuse { .. }
            | Action::Fence { .. }
            | Action::Lift { .. }
            | Action::EndServing { .. }
            | Action::Remove { .. } => None,
        })
    }
}

/// One file: the tail of what one primary wrote in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The shard's.
    pub epoch: Epoch,
    /// The node's life that began the file.
    pub by: Member,
    /// Of the shard, when it was last asked for: what was proposed about it compares this one, or an earlier one.
    pub isr_epoch: Epoch,
    pub from: Offset,
    pub whole: Offset,
}

/// The primary may have a tail recorded that this node said it has, and does not have under that name any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was said of the tail of shard {shard} is out of date: say hello anew")]
pub struct OtherTail {
    shard: ShardId,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Attaching {
        primary: Member,
        epoch: Epoch,
    },
    Keeping {
        primary: Member,
        epoch: Epoch,
    },
    Fenced {
        handover: Epoch,
    },
    /// The disk took nothing more from this primary.
    Broken {
        primary: Member,
        epoch: Epoch,
        again_ms: u64,
    },
}

#[derive(Clone, Debug, Default)]
struct OfShard {
    state: State,
    files: BTreeMap<Epoch, Kept>,
    /// Returning nodes are, or may be, served from the file of this epoch.
    serving: Option<Epoch>,
}

/// What one node keeps, of all shards.
#[derive(Clone)]
pub struct Keepers {
    me: Member,
    /// It begins to keep nothing more.
    leaving: bool,
    state: Arc<ControlState>,
    shards: BTreeMap<ShardId, OfShard>,
}

/// What it knows by itself, besides the applied state.
impl fmt::Debug for Keepers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { me, leaving, state: _, shards } = self;
        let mut out = f.debug_struct("Keepers");
        out.field("me", me).field("leaving", leaving).field("shards", shards).finish_non_exhaustive()
    }
}

impl Keepers {
    pub fn new(me: Member) -> Self {
        Keepers { me, leaving: false, state: Arc::default(), shards: BTreeMap::new() }
    }

    /// May what this primary sends be appended?
    pub fn keeps(&self, shard: ShardId, primary: Member, epoch: Epoch) -> bool {
        self.shards.get(&shard).is_some_and(|of| of.state == State::Keeping { primary, epoch })
    }

    /// The tail that a link to the shard's present primary goes on from. An earlier life's counts only if the log
    /// recorded that very tail: else a proposal of that life's may still be accepted, and would not be about this one.
    pub fn goes_on(&self, id: ShardId) -> Option<Kept> {
        let shard = self.state.shards.get(&id)?;
        let file = *self.shards.get(&id)?.files.get(&shard.epoch)?;
        let recorded = shard.keeper_that_counts();
        let is_recorded = recorded.is_some_and(|k| k.member.node == self.me.node && k.from == file.from);
        (file.by == self.me || is_recorded).then_some(file)
    }

    /// The tail that a primary goes on from which was told `said` in the hello; `None` if it sends one anew.
    ///
    /// # Errors
    /// It was told of a tail with which this node does not go on any more.
    pub fn answered(&self, id: ShardId, said: Option<Position>) -> Result<Option<Kept>, OtherTail> {
        match (self.goes_on(id), said) {
            (None, Some(_)) => Err(OtherTail { shard: id }),
            (goes_on, _) => Ok(goes_on),
        }
    }

    /// The shard as this node has applied it.
    pub fn shard(&self, id: ShardId) -> Option<&Shard> {
        self.state.shards.get(&id)
    }

    pub fn on(&mut self, event: Event, now_ms: u64) -> Vec<Action> {
        match event {
            Event::Applied(state) => {
                self.state = state;
                self.applied()
            }
            Event::Found { shard, file } => {
                self.shards.entry(shard).or_default().files.insert(file.epoch, file);
                Vec::new()
            }
            Event::Began { shard, primary, file } => self.began(shard, primary, file),
            Event::Appended { shard, epoch, whole } => self.appended(shard, epoch, whole),
            Event::LinkLost { shard, primary } => {
                self.link_lost(shard, primary);
                Vec::new()
            }
            Event::CannotKeep { shard } => self.cannot_keep(shard, now_ms),
            Event::Hello { shard, member } => vec![self.hello(shard, member)],
            Event::Leaving => {
                self.leaving = true;
                self.applied()
            }
            Event::Tick => self.tick(now_ms),
        }
    }

    fn applied(&mut self) -> Vec<Action> {
        let state = Arc::clone(&self.state);
        for id in state.shards.keys() {
            self.shards.entry(*id).or_default();
        }
        let mut actions = Vec::new();
        for (id, of) in &mut self.shards {
            match state.shards.get(id) {
                Some(shard) => of.follow(&state, self.me, self.leaving, shard, &mut actions),
                // A view of another time, or of no cluster yet: what it does not know it does not judge.
                None => of.stand(*id, &mut actions),
            }
        }
        actions
    }

    fn began(&mut self, id: ShardId, primary: Member, file: Kept) -> Vec<Action> {
        let of = self.shards.entry(id).or_default();
        let epoch = file.epoch;
        if of.state != (State::Attaching { primary, epoch }) {
            return vec![Action::HangUp { shard: id }];
        }
        of.files.insert(epoch, file);
        of.state = State::Keeping { primary, epoch };
        vec![Action::Acknowledge { shard: id, whole: file.whole }]
    }

    fn appended(&mut self, id: ShardId, epoch: Epoch, whole: Offset) -> Vec<Action> {
        let Some(of) = self.shards.get_mut(&id) else { return Vec::new() };
        let State::Keeping { epoch: kept, .. } = of.state else { return Vec::new() };
        let Some(file) = of.files.get_mut(&epoch).filter(|_| kept == epoch) else { return Vec::new() };
        file.whole = whole;
        vec![Action::Acknowledge { shard: id, whole }]
    }

    fn link_lost(&mut self, id: ShardId, primary: Member) {
        let Some(of) = self.shards.get_mut(&id) else { return };
        if let State::Keeping { primary: of_link, epoch } = of.state
            && of_link == primary
        {
            of.state = State::Attaching { primary, epoch };
        }
    }

    fn cannot_keep(&mut self, id: ShardId, now_ms: u64) -> Vec<Action> {
        let Some(of) = self.shards.get_mut(&id) else { return Vec::new() };
        match of.state {
            State::Attaching { primary, epoch } | State::Keeping { primary, epoch } => {
                of.state = State::Broken { primary, epoch, again_ms: now_ms + TRY_AGAIN_MS };
                vec![Action::GiveUp { shard: id }]
            }
            State::Idle | State::Fenced { .. } | State::Broken { .. } => Vec::new(),
        }
    }

    fn tick(&mut self, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for (id, of) in &mut self.shards {
            if let State::Broken { primary, epoch, again_ms } = of.state
                && now_ms >= again_ms
            {
                of.state = State::Attaching { primary, epoch };
                actions.push(Action::Dial { shard: *id, primary, epoch });
            }
        }
        actions
    }
}

impl OfShard {
    /// Does what the applied state asks of this node for `shard`.
    fn follow(
        &mut self,
        state: &ControlState,
        me: Member,
        leaving: bool,
        shard: &Shard,
        actions: &mut Vec<Action>,
    ) {
        let (id, used) = (shard.id, self.in_use());
        let served = serve::epoch_served(shard, me);
        if self.serving.is_some() && self.serving != served {
            actions.push(Action::EndServing { shard: id });
        }
        self.serving = served;
        match task::of(state, me, shard) {
            Task::Keep { primary, epoch } if !leaving || self.is_counted_on(shard, me) => {
                self.keep(id, primary, epoch, actions);
            }
            Task::Fence { handover } => self.fence(id, handover, actions),
            // What it began to keep now would be gone with it, and might be on record in place of what another one keeps.
            Task::Keep { .. } | Task::Nothing => self.stand(id, actions),
        }
        let (in_use, recorded) = (self.in_use(), task::recorded_epoch(shard, me));
        let wished = shard.keeper_wanted == Some(me.node);
        let enough = shard.in_sync.len() >= shard.members_min();
        self.files.retain(|epoch, file| {
            // It may have been asked for until just now, and a proposal be under way.
            if [used, in_use].contains(&Some(*epoch)) {
                file.isr_epoch = file.isr_epoch.max(shard.isr_epoch);
            }
            let settled = shard.isr_epoch > file.isr_epoch;
            let asked = recorded == Some(*epoch) || (wished && *epoch == shard.epoch);
            let goes = enough && settled && !asked && in_use != Some(*epoch);
            if goes {
                actions.push(Action::Remove { shard: id, epoch: *epoch });
            }
            !goes
        });
    }

    /// The log names its tail, or is about to: the primary has proposed it, or may have.
    fn is_counted_on(&self, shard: &Shard, me: Member) -> bool {
        let keeps = matches!(self.state, State::Keeping { epoch, .. } if epoch == shard.epoch);
        keeps || task::recorded_epoch(shard, me) == Some(shard.epoch)
    }

    fn keep(&mut self, shard: ShardId, primary: Member, epoch: Epoch, actions: &mut Vec<Action>) {
        match self.state {
            State::Attaching { primary: p, epoch: e }
            | State::Keeping { primary: p, epoch: e }
            | State::Broken { primary: p, epoch: e, .. }
                if (p, e) == (primary, epoch) =>
            {
                return;
            }
            State::Attaching { .. } | State::Keeping { .. } => actions.push(Action::HangUp { shard }),
            State::Fenced { .. } => actions.push(Action::Lift { shard }),
            State::Idle | State::Broken { .. } => {}
        }
        self.state = State::Attaching { primary, epoch };
        actions.push(Action::Dial { shard, primary, epoch });
    }

    fn fence(&mut self, shard: ShardId, handover: Epoch, actions: &mut Vec<Action>) {
        match self.state {
            State::Fenced { handover: known } if known == handover => return,
            State::Attaching { .. } | State::Keeping { .. } => actions.push(Action::HangUp { shard }),
            State::Fenced { .. } | State::Idle | State::Broken { .. } => {}
        }
        self.state = State::Fenced { handover };
        actions.push(Action::Fence { shard, handover });
    }

    fn stand(&mut self, shard: ShardId, actions: &mut Vec<Action>) {
        match std::mem::take(&mut self.state) {
            State::Attaching { .. } | State::Keeping { .. } => actions.push(Action::HangUp { shard }),
            State::Fenced { .. } => actions.push(Action::Lift { shard }),
            State::Idle | State::Broken { .. } => {}
        }
    }

    /// The epoch whose file is written, or about to be.
    fn in_use(&self) -> Option<Epoch> {
        match self.state {
            State::Attaching { epoch, .. } | State::Keeping { epoch, .. } | State::Broken { epoch, .. } => {
                Some(epoch)
            }
            State::Idle | State::Fenced { .. } => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
