//! Once nothing goes wrong any more: does the roll end, and is every shard served?

use super::Moment;
use super::act::{Act, Order};
use super::lead::Patience;
use super::world::World;
use ironcache_control::Phase;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

/// A roll of five nodes takes about two hundred events; one that needs so many goes round in circles.
const EVENTS_MAX: usize = 3_000;

/// Worlds from which the roll ends.
pub(super) type Known = Mutex<HashSet<u64>>;

impl World {
    /// Everything that is under way arrives, before anything begins.
    pub(super) fn calm_start(&mut self) {
        while self.flow() {}
        self.reprint(None);
    }

    /// The roll goes on until that moment.
    pub(super) fn calm_until(&mut self, moment: Moment) {
        let (owner, member, keeper) = (0, 1, self.nodes.len() - 1);
        let keeps =
            |world: &World| world.truth().shards.values().any(|shard| shard.keeper_that_counts().is_some());
        let is_told = |world: &World| world.truth().nodes.values().any(|node| node.out.is_some());
        let is_out =
            |world: &World| keeps(world) && (0..world.nodes.len()).any(|at| world.process(at).is_none());
        match moment {
            Moment::Founded => {}
            Moment::Kept => self.calm_while(None, |world| !(keeps(world) && world.proposals.is_empty())),
            Moment::Out => self.calm_while(None, |world| !is_out(world)),
            Moment::Ahead => {
                self.calm_while(None, |world| !(keeps(world) && is_told(world)));
                self.left.writes = 1;
                self.must(Act::Write { node: owner });
                self.must(Act::Deliver { from: owner, to: member });
                self.calm_while(Some(Act::Deliver { from: owner, to: keeper }), |world| !is_out(world));
            }
            Moment::Back => {
                self.calm_while(None, |world| !is_out(world));
                let registered = self.truth().nodes[&self.nodes[member].id].member();
                self.calm_while(None, |world| {
                    world.truth().nodes[&world.nodes[member].id].member() == registered
                });
            }
            Moment::Replaced => {
                self.calm_until(Moment::Kept);
                let first = self.truth().shards.values().map(|shard| shard.epoch).max();
                (self.left.writes, self.left.stalls, self.left.crashes) = (1, 1, 1);
                self.must(Act::Write { node: owner });
                self.must(Act::Stall { from: owner, to: keeper });
                self.must(Act::Crash { node: owner });
                self.calm_while(Some(Act::Left { from: owner, to: keeper }), |world| {
                    let is_another = world.truth().shards.values().any(|shard| Some(shard.epoch) > first);
                    !(is_another && keeps(world))
                });
            }
        }
    }

    fn calm_while(&mut self, never: Option<Act>, goes_on: impl Fn(&World) -> bool) {
        let mut seen = HashSet::new();
        while goes_on(self) {
            seen.insert(self.outline());
            self.left.lates = u8::MAX;
            if self.step(&seen, never).is_none() {
                panic!("a roll comes to every moment of it, and this one waits: {}", self.why());
            }
        }
    }

    fn must(&mut self, act: Act) {
        self.play(act).unwrap_or_else(|| panic!("{act:?} cannot be"));
        self.reprint(None);
    }

    /// From here on everybody is there, and patient; an operator resumes what is held.
    pub(super) fn goes_on(&self, known: &Known) -> bool {
        let mut world = self.clone();
        world.left.lates = u8::MAX;
        let mut seen = HashSet::new();
        for _ in 0..EVENTS_MAX {
            let here = world.outline();
            let is_known = known.lock().is_ok_and(|known| known.contains(&here));
            if is_known || world.has_ended() {
                seen.insert(here);
                if let Ok(mut known) = known.lock() {
                    known.extend(seen);
                }
                return true;
            }
            seen.insert(here);
            if world.step(&seen, None).is_none() {
                return false;
            }
            world.left.lates = u8::MAX;
        }
        false
    }

    /// The events of a calm run, for who reads a failed one.
    pub fn calm_run(&self) -> (Vec<Act>, World) {
        let (mut world, mut seen, mut acts) = (self.clone(), HashSet::new(), Vec::new());
        while !world.has_ended() && acts.len() < EVENTS_MAX {
            world.left.lates = u8::MAX;
            seen.insert(world.outline());
            match world.step(&seen, None) {
                Some(act) => acts.push(act),
                None => break,
            }
        }
        (acts, world)
    }

    /// No plan is active, nobody is out, and every shard is served.
    pub fn has_ended(&self) -> bool {
        let state = self.truth();
        let serves = |shard: &ironcache_control::Shard| {
            let owner = shard.primary().and_then(|primary| self.at(primary));
            owner.and_then(|at| self.process(at)).is_some_and(|process| process.engine.is_serving())
        };
        state.plan.is_none()
            && state.nodes.values().all(|n| n.out.is_none())
            && state.shards.values().all(serves)
    }

    /// What counts for how it goes on.
    fn outline(&self) -> u64 {
        let mut world = self.clone();
        world.left = super::world::Left { lates: u8::MAX, ..super::world::Left::default() };
        world.acknowledged.clear();
        world.executed.clear();
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        hasher.finish()
    }

    fn flow(&mut self) -> bool {
        let links: Vec<(usize, usize)> = self.links.iter().map(|link| (link.sender, link.taker)).collect();
        links.into_iter().any(|(from, to)| {
            self.play(Act::Deliver { from, to }).is_some() || self.play(Act::Hear { from, to }).is_some()
        })
    }

    /// One event that leads to where it has not been; `never` this one.
    fn step(&mut self, seen: &HashSet<u64>, never: Option<Act>) -> Option<Act> {
        let mut acts = vec![Act::Heal];
        let nodes = || 0..self.nodes.len();
        acts.extend(nodes().map(|node| Act::Start { node }));
        acts.extend(nodes().map(|node| Act::Elect { node }));
        let links = || self.links.iter().map(|link| (link.sender, link.taker));
        acts.extend(links().map(|(from, to)| Act::Deliver { from, to }));
        acts.extend(links().map(|(from, to)| Act::Hear { from, to }));
        acts.extend(links().map(|(from, to)| Act::Left { from, to }));
        acts.extend(nodes().map(|node| Act::Apply { node }));
        acts.extend((0..self.proposals.len()).map(|proposal| Act::Arrive { proposal }));
        acts.extend(nodes().map(|node| Act::Exit { node }));
        acts.push(Act::Lead { patience: Patience::Fresh });
        acts.extend(nodes().map(|node| Act::Late { node }));
        acts.push(Act::Lead { patience: Patience::Over });
        acts.retain(|act| Some(*act) != never);
        if let Some(act) = acts.into_iter().find(|act| self.try_play(*act, seen)) {
            return Some(act);
        }
        let plan = self.truth().plan.as_ref();
        let waits = plan.is_some_and(|plan| matches!(plan.phase, Phase::Held { .. } | Phase::Paused));
        let orders = [Order::Resume, Order::Rollback, Order::Abort].map(|what| Act::Order { what });
        orders.into_iter().filter(|_| waits).find(|act| {
            self.left.orders = 1;
            self.try_play(*act, seen)
        })
    }

    fn try_play(&mut self, act: Act, seen: &HashSet<u64>) -> bool {
        let mut next = self.clone();
        if next.play(act).is_none() {
            return false;
        }
        next.reprint(Some(self));
        if seen.contains(&next.outline()) {
            return false;
        }
        *self = next;
        true
    }
}
