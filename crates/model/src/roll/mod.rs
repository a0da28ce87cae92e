//! The roll and the keeper: in whatever order things happen, nothing that was acknowledged is lost, one life at most answers,
//! and the roll can always end. What may go wrong besides is in [`Bounds`]; which of it is searched to the end, in
//! docs/adr/0029.
//!
//! A shard (or two) of two nodes, a witness that keeps their tails, three votes. Real: `ControlState::apply` of every entry,
//! the coordinator's `decide`, the agent's `next`, `Engine::on` and the links' side of it, `Keepers::on`, the cursors, gates,
//! lineages and tails, and what becomes of a checkpoint.
//!
//! Played, and how it stands for what is real:
//! - **raft** is the log that a majority has. What is proposed arrives in any order; one proposal of the leader is under way
//!   at a time. An election is one event. A node is at most so many entries behind (a new process, and one that is cut off,
//!   any number).
//! - **links** open as soon as both ends would have it. Each frame, acknowledgement, fence and dataset arrives by an event of
//!   its own, in order; a link that breaks loses what is under way, but for what a dead owner had sent to a keeper on a link
//!   that takes long (`stalls`).
//! - **time** stands still until somebody has waited in vain for everything (`Late`): whoever is linked was heard meanwhile,
//!   and took what it was sent. A lease runs on until its owner is dead, or is cut off and late; what lies between is the
//!   matter of [`lease`](crate::lease). The leader sees answers of now, and acts on them later.
//! - **data** is a number a write.
//!
//! *Invariant:* whatever is bounded is bounded by [`Bounds`] alone: no event is left out for the rule that it would break.

mod act;
mod broken;
mod calm;
mod founded;
mod lead;
mod link;
mod log;
mod node;
mod print;
mod rules;
mod world;

pub use act::{Act, Order};
pub use broken::Broken;
pub use lead::Patience;
pub use world::World;

use calm::Known;
use ironcache_control::AckMode;
use stateright::{Model, Property};
use std::sync::Arc;

/// How much happens at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub shards: usize,
    /// Whose step is done as it begins.
    pub done: &'static [usize],
    /// Who leads as it begins.
    pub leader: usize,
    pub steady_mode: AckMode,
    pub writes: u8,
    /// Processes that end; each may start again.
    pub crashes: u8,
    /// Proposals lost, and links broken.
    pub lost: u8,
    /// Nodes cut off from the leader.
    pub cuts: u8,
    /// How often somebody has waited in vain.
    pub lates: u8,
    /// Trials that fail.
    pub failures: u8,
    /// What operators order.
    pub orders: u8,
    pub snapshots: u8,
    /// Links on which what is under way stays so.
    pub stalls: u8,
    /// Who may crash.
    pub victims: &'static [usize],
    pub begins: Moment,
    /// How many entries a node is behind.
    pub lag: usize,
    /// Is it asked of every state whether the roll can end?
    pub goes_on: bool,
}

/// Up to where a roll has gone as a model begins, undisturbed but for what is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Founded,
    /// A keeper is recorded, and nobody is out.
    Kept,
    /// A node is out, and its old process has ended.
    Out,
    /// A node is out, and took along a write that its keeper has not got yet.
    Ahead,
    /// A node is out, and its new process has registered.
    Back,
    /// An owner died with a write under way to its keeper, where it is still; another member owns the shard, and that keeper
    /// is recorded again.
    Replaced,
}

impl Bounds {
    /// The whole roll of one shard; nothing goes wrong.
    pub const CALM: Bounds = Bounds {
        shards: 1,
        done: &[],
        leader: 0,
        steady_mode: AckMode::InSync,
        writes: 0,
        crashes: 0,
        lost: 0,
        cuts: 0,
        lates: 0,
        failures: 0,
        orders: 0,
        snapshots: 0,
        stalls: 0,
        victims: &[0, 1, 2, 3, 4],
        begins: Moment::Founded,
        lag: 1,
        goes_on: true,
    };

    /// From where the witness is done.
    pub const SMALL: Bounds = Bounds { done: &[2], ..Bounds::CALM };

    /// The owner dies while who is out has more than its keeper.
    pub const AHEAD: Bounds =
        Bounds { begins: Moment::Ahead, leader: 2, crashes: 1, victims: &[0], ..Bounds::SMALL };

    /// What an owner had sent to a keeper arrives after another one has taken its place.
    pub const REPLACED: Bounds = Bounds { begins: Moment::Replaced, leader: 2, ..Bounds::SMALL };

    /// The smallest model that has what `broken` needs.
    pub fn to_find(broken: Broken) -> Bounds {
        let crash = Bounds { writes: 1, crashes: 1, goes_on: false, ..Bounds::SMALL };
        // The primary dies while a node is out, or is about to be; somebody else leads.
        let primary_dies = Bounds { victims: &[0], leader: 2, ..crash };
        let out = Bounds { begins: Moment::Out, ..primary_dies };
        let kept = Bounds { begins: Moment::Kept, ..primary_dies };
        match broken {
            Broken::AckBeforeMember | Broken::AckBeforeKeeper | Broken::PromoteOutsideSet => crash,
            Broken::RecoverBesideKeeper | Broken::TailCutShort => out,
            Broken::PromoteAtKeepersEnd => kept,
            Broken::RegisterClearsKeeper => Bounds { begins: Moment::Back, ..out },
            Broken::FenceAtKeepersEnd => Bounds::AHEAD,
            Broken::KeeperOfAnotherEpoch => Bounds { writes: 0, ..out },
            Broken::AbortLowersMode => Bounds { crashes: 0, orders: 2, steady_mode: PRIMARY, ..out },
            Broken::SnapshotForCleanEnd => Bounds { snapshots: 1, ..crash },
            Broken::KeeperTakesOldEpoch => Bounds::REPLACED,
            Broken::UnparkBeforeApply => Bounds { crashes: 0, done: &[2, 1], ..crash },
            Broken::StaleEpoch => Bounds { crashes: 0, lates: 1, done: &[2, 1], ..crash },
        }
    }
}

const PRIMARY: AckMode = AckMode::Primary;

#[derive(Clone)]
pub struct RollModel {
    pub bounds: Bounds,
    /// A rule that is not kept.
    pub broken: Option<Broken>,
    known: Arc<Known>,
}

impl RollModel {
    pub fn new(bounds: Bounds, broken: Option<Broken>) -> Self {
        RollModel { bounds, broken, known: Arc::default() }
    }
}

impl Model for RollModel {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::founded(&self.bounds, self.broken)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        world.acts(acts);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        next.play(act)?;
        next.reprint(Some(world));
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing acknowledged is lost", |_, world: &World| {
                world.has_what_it_acknowledged()
            }),
            Property::always("every member of a set holds what is acknowledged", |_, world: &World| {
                world.members_hold_it()
            }),
            Property::always("one life at most answers", |_, world: &World| world.one_answers()),
            Property::always(
                "it is in two places while a node is out, or the plan is held",
                |_, world: &World| world.is_in_two_places(),
            ),
            Property::always("no event breaks a rule", |_, world: &World| world.wrong.is_none()),
            Property::always("the roll can end", |model: &Self, world: &World| {
                !model.bounds.goes_on || world.goes_on(&model.known)
            }),
            Property::sometimes("the roll ends", |_, world: &World| world.has_ended()),
        ]
    }
}
