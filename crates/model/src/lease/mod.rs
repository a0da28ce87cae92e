//! The lease: two lives that each believe to own a shard never answer at the same moment, and a shard whose owner is gone
//! can always be taken over.
//!
//! One shard of two nodes, a witness, three votes. Real: `ControlState::apply`, `Grantor`, `Lease`, `depose_after_ms`.
//!
//! Played, and how it stands for what is real:
//! - **raft** is the log that a majority has, and at most two nodes that take themselves for the leader: the newest, and the
//!   one before. Of three voters any two majorities share one, so an election is one event: from then on no earlier leader
//!   gets a round or commits. What an earlier one appended is lost from some point on, or adopted with the term it had.
//! - **a question** is five events, each late or never: asked, read index taken, quorum confirmed, granted, heard. Another
//!   leader, and an entry, may come between any two of them.
//! - **time** is in ticks; within one, events come in any order. Each clock of a run may miss a tick, or count one twice,
//!   within the bound of the model: one tick in all, which is what the margin and the rounding cover at this grain.
//! - **a handover** parks its owner when it is applied, and its candidate may propose the promotion from then on (I9 and the
//!   fence are the simulator's matter).
//!
//! *Invariant:* whatever is bounded (elections, changes, kills, ticks) is bounded by the model's numbers alone: no event is
//! left out for the rule that it would break.

mod act;
mod broken;
mod world;

pub use act::Act;
pub use broken::Broken;
pub use world::World;

use ironcache_shard::depose_after_ms;
use stateright::{Model, Property};
use world::{LEASE_MS, TIMERS};

/// How much happens at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseModel {
    pub tick_ms: u64,
    /// `None`: time goes on for ever.
    pub ticks: Option<u8>,
    /// After the first leader.
    pub elections: u8,
    /// Ticks that a clock misses or counts twice, in all.
    pub skews: u8,
    /// Changes of the in-sync set by the owner.
    pub changes: u8,
    pub handovers: u8,
    /// Processes that end; each may register a later life.
    pub kills: u8,
    /// Is it asked of every state whether the shard can go on? It costs more than all the rest.
    pub goes_on: bool,
    /// A rule that is not kept.
    pub broken: Option<Broken>,
}

impl LeaseModel {
    /// A lease of two ticks, and three until an owner may be deposed: all that matters happens, in few states.
    pub const SMALL: LeaseModel = LeaseModel {
        tick_ms: 50,
        ticks: None,
        goes_on: true,
        elections: 1,
        skews: 1,
        changes: 0,
        handovers: 0,
        kills: 0,
        broken: None,
    };

    /// So many ticks after its last answer a life may be deposed.
    fn wait_ticks(&self) -> u64 {
        depose_after_ms(&TIMERS).div_ceil(self.tick_ms)
    }
}

impl Model for LeaseModel {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        assert!(
            self.wait_ticks() == LEASE_MS.div_ceil(self.tick_ms) + 1,
            "a grain at which one tick of skew is just what the wait covers"
        );
        vec![World::founded(self)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        world.acts(acts);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        next.play(self, act).map(|()| next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("two lives never answer at once", |model, world: &World| {
                world.answering(model).count() < 2
            }),
            Property::always(
                "a shard without an owner that answers can be taken over",
                |model, world: &World| !model.goes_on || world.can_go_on(model),
            ),
            Property::sometimes("the first owner answers", |model, world: &World| {
                world.answering(model).eq([0])
            }),
            Property::sometimes("the second one answers after it", |model, world: &World| {
                world.answering(model).eq([1])
            }),
        ]
    }
}
