//! What can happen next.

use super::lead::Patience;
use super::link::{Kind, Link};
use super::node::{Exit, LATE_MS, failed, inconclusive};
use super::world::World;
use ironcache_control::{Command, Reason};
use ironcache_shard::Event;

/// One event. Nodes are counted from 0, the witness last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Write {
        node: usize,
    },
    /// The next thing on a link arrives: a frame, a fence, a dataset.
    Deliver {
        from: usize,
        to: usize,
    },
    /// The acknowledgement under way on that link arrives.
    Hear {
        from: usize,
        to: usize,
    },
    /// The next thing arrives that a process had sent before it ended.
    Left {
        from: usize,
        to: usize,
    },
    Apply {
        node: usize,
    },
    /// A proposal arrives, and is appended and committed.
    Arrive {
        proposal: usize,
    },
    Lead {
        patience: Patience,
    },
    Elect {
        node: usize,
    },
    /// The process does what it asked its launcher for: writes down what it holds, and ends.
    Exit {
        node: usize,
    },
    Start {
        node: usize,
    },
    /// The launcher gives the new binary up.
    TrialFails {
        node: usize,
    },
    // --- what goes wrong, or is ordered: each so often as the bounds say
    Crash {
        node: usize,
    },
    Lose {
        proposal: usize,
    },
    /// A link breaks, with what was under way on it.
    Break {
        from: usize,
        to: usize,
    },
    /// What is under way on a link stays so, however long somebody waits.
    Stall {
        from: usize,
        to: usize,
    },
    Cut {
        node: usize,
    },
    Heal,
    /// The process has waited in vain for everything that it waits for.
    Late {
        node: usize,
    },
    Snapshot {
        node: usize,
    },
    Order {
        what: Order,
    },
}

/// What an operator orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Pause,
    Resume,
    Abort,
    Rollback,
}

impl World {
    /// All that might; [`World::play`] says what can.
    pub(super) fn acts(&self, acts: &mut Vec<Act>) {
        let links = || self.links.iter().map(|link| (link, link.sender, link.taker));
        let sends = |link: &Link| link.kind != Kind::Next && link.left.is_none();
        acts.extend(links().filter(|(l, ..)| sends(l)).map(|(_, from, to)| Act::Deliver { from, to }));
        acts.extend(links().filter(|(l, ..)| l.left.is_some()).map(|(_, from, to)| Act::Left { from, to }));
        acts.extend(links().filter(|(l, ..)| l.said.is_some()).map(|(_, from, to)| Act::Hear { from, to }));
        let leaderless = !self.is_connected(self.leader);
        for node in 0..self.nodes.len() {
            // What cannot be, as one can see at once, is not tried.
            match self.process(node) {
                Some(process) => {
                    let can = [
                        (self.left.writes > 0, Act::Write { node }),
                        (process.applied < self.end(), Act::Apply { node }),
                        (process.exit.is_some(), Act::Exit { node }),
                        (leaderless, Act::Elect { node }),
                    ];
                    acts.extend(can.into_iter().filter(|(can, _)| *can).map(|(_, act)| act));
                }
                None => acts.push(Act::Start { node }),
            }
        }
        acts.extend((0..self.proposals.len()).map(|proposal| Act::Arrive { proposal }));
        acts.push(Act::Lead { patience: Patience::Fresh });
        self.faults(acts);
    }

    fn faults(&self, acts: &mut Vec<Act>) {
        let nodes = || 0..self.nodes.len();
        let left = self.left;
        if left.crashes > 0 {
            acts.extend(
                self.victims
                    .iter()
                    .filter(|at| **at < self.nodes.len())
                    .map(|node| Act::Crash { node: *node }),
            );
        }
        if left.lost > 0 {
            acts.extend((0..self.proposals.len()).map(|proposal| Act::Lose { proposal }));
            acts.extend(self.links.iter().map(|link| Act::Break { from: link.sender, to: link.taker }));
        }
        if left.lates > 0 {
            acts.push(Act::Lead { patience: Patience::Over });
            acts.extend(nodes().map(|node| Act::Late { node }));
        }
        if left.stalls > 0 {
            acts.extend(self.links.iter().map(|link| Act::Stall { from: link.sender, to: link.taker }));
        }
        if left.cuts > 0 {
            acts.extend(nodes().map(|node| Act::Cut { node }));
        }
        if self.cut.is_some() {
            acts.push(Act::Heal);
        }
        if left.failures > 0 {
            acts.extend(nodes().map(|node| Act::TrialFails { node }));
        }
        if left.snapshots > 0 {
            acts.extend(nodes().map(|node| Act::Snapshot { node }));
        }
        if left.orders > 0 {
            let orders = [Order::Pause, Order::Resume, Order::Abort, Order::Rollback];
            acts.extend(orders.map(|what| Act::Order { what }));
        }
    }

    /// `None` if it cannot be.
    pub(super) fn play(&mut self, act: Act) -> Option<()> {
        let end = self.end();
        self.play_alone(act)?;
        self.settle();
        if self.end() > end || matches!(act, Act::Crash { .. } | Act::Exit { .. } | Act::Start { .. }) {
            self.drop_stale();
        }
        Some(())
    }

    fn play_alone(&mut self, act: Act) -> Option<()> {
        match act {
            Act::Write { node } => self.execute(node),
            Act::Deliver { from, to } => self.deliver(self.link(from, to)?),
            Act::Hear { from, to } => self.hear(self.link(from, to)?),
            Act::Left { from, to } => {
                let is_it = |l: &Link| (l.sender, l.taker) == (from, to) && l.left.is_some();
                self.deliver_left(self.links.iter().position(is_it)?)
            }
            Act::Apply { node } => self.apply_next(node),
            Act::Arrive { proposal } => self.arrive(proposal),
            Act::Lead { patience: Patience::Fresh } => self.lead(Patience::Fresh),
            Act::Lead { patience: Patience::Over } => {
                let mut fresh = self.clone();
                if fresh.lead(Patience::Fresh).is_some() {
                    return None;
                }
                self.left.lates = self.left.lates.checked_sub(1)?;
                self.lead(Patience::Over)
            }
            Act::Elect { node } => self.elect(node),
            Act::Exit { node } => self.exit(node),
            Act::Start { node } => {
                if self.process(node).is_some() {
                    return None;
                }
                self.start(node);
                Some(())
            }
            Act::TrialFails { node } => {
                if self.process(node).is_some() || !self.nodes[node].launcher.is_on_trial() {
                    return None;
                }
                self.left.failures = self.left.failures.checked_sub(1)?;
                self.node_mut(node).launcher.end(failed());
                Some(())
            }
            Act::Crash { node } => {
                self.process(node)?;
                self.left.crashes = self.left.crashes.checked_sub(1)?;
                self.end_process(node);
                Some(())
            }
            Act::Lose { proposal } => {
                if proposal >= self.proposals.len() {
                    return None;
                }
                self.left.lost = self.left.lost.checked_sub(1)?;
                self.proposals.remove(proposal);
                Some(())
            }
            Act::Break { from, to } => {
                let at = self.link(from, to)?;
                self.left.lost = self.left.lost.checked_sub(1)?;
                self.close(at);
                Some(())
            }
            Act::Stall { from, to } => {
                let at = self.link(from, to)?;
                self.left.stalls = self.left.stalls.checked_sub(1)?;
                (!std::mem::replace(&mut self.links[at].stalled, true)).then_some(())
            }
            Act::Cut { node } => {
                if !self.is_connected(node) || self.cut.is_some() {
                    return None;
                }
                self.left.cuts = self.left.cuts.checked_sub(1)?;
                self.cut = Some(node);
                Some(())
            }
            Act::Heal => {
                let node = self.cut.take()?;
                self.grant_if_named(node);
                self.agent(node);
                Some(())
            }
            Act::Late { node } => {
                self.left.lates = self.left.lates.checked_sub(1)?;
                self.late(node)
            }
            Act::Snapshot { node } => {
                self.process(node)?.engine.end()?;
                self.left.snapshots = self.left.snapshots.checked_sub(1)?;
                self.write_down(node, false);
                Some(())
            }
            Act::Order { what } => {
                self.left.orders = self.left.orders.checked_sub(1)?;
                self.command_of(what).map(|command| self.order_now(&command))?
            }
        }
    }

    fn link(&self, from: usize, to: usize) -> Option<usize> {
        self.links.iter().position(|link| (link.sender, link.taker) == (from, to) && link.left.is_none())
    }

    /// The next entry; a process that has missed many takes them at one go.
    fn apply_next(&mut self, node: usize) -> Option<()> {
        let process = self.process(node)?;
        let (applied, end) = (process.applied, self.end());
        if applied >= end || self.cut == Some(node) {
            return None;
        }
        let next = if end - applied > self.lag { end } else { applied + 1 };
        self.apply(node, next);
        Some(())
    }

    fn exit(&mut self, node: usize) -> Option<()> {
        let exit = self.process(node)?.exit.clone()?;
        self.feed(node, Event::Sealed);
        self.write_down(node, true);
        self.end_process(node);
        let launcher = &mut self.node_mut(node).launcher;
        match exit {
            Exit::Activate { step, target } => launcher.try_out(step, target),
            Exit::Abandon => launcher.end(inconclusive()),
        }
        Some(())
    }

    /// Once the leader is heard again it grants a lease to whom the log names still.
    fn grant_if_named(&mut self, node: usize) {
        if self
            .process(node)
            .is_some_and(|process| self.truth().nodes[&process.me.node].member() == process.me)
        {
            let is_owner = self.truth().shards.values().any(|s| s.is_primary(self.last_member(node)));
            if is_owner {
                self.grant(node);
            }
        }
    }

    /// Whoever is linked to the process was heard meanwhile, and took what it was sent. `None` if it does nothing about
    /// the rest.
    pub(super) fn late(&mut self, node: usize) -> Option<()> {
        self.process(node)?;
        let asked = self.proposals.len();
        let connected = self.is_connected(node);
        for _ in 0..64 {
            let of_node = |at: &usize| self.links[*at].sender == node && !self.links[*at].stalled;
            let links: Vec<usize> = (0..self.links.len()).filter(of_node).collect();
            let moved = links.into_iter().find(|at| {
                let mut next = self.clone();
                next.deliver(*at).is_some() || next.hear(*at).is_some()
            });
            let Some(at) = moved else { break };
            if self.deliver(at).is_none() {
                self.hear(at);
            }
            self.wire();
        }
        self.process_mut(node)?.now_ms += LATE_MS;
        self.pinged(node);
        if connected {
            self.grant(node);
        }
        // What was asked and nobody answered is asked again.
        let was_to_exit = self.process(node)?.exit.is_some();
        self.agent(node);
        let is_to_exit = self.process(node)?.exit.is_some();
        let was_leased = self.process(node)?.engine.is_leased();
        let tick = self.process(node)?.at_tick();
        let actions = self.process_mut(node)?.engine.on(Event::Tick, tick);
        self.perform(node, actions);
        let now_leased = self.process(node).is_some_and(|process| process.engine.is_leased());
        (self.proposals.len() > asked || was_leased != now_leased || was_to_exit != is_to_exit).then_some(())
    }

    pub(super) fn command_of(&self, what: Order) -> Option<Command> {
        let plan = self.truth().plan.as_ref()?;
        let (id, plan_epoch) = (plan.id, plan.epoch);
        Some(match what {
            Order::Pause => Command::Pause { plan: id },
            Order::Resume => Command::Resume { plan: id },
            Order::Abort => Command::Abort { plan: id, at_ms: 0 },
            Order::Rollback => {
                let reason = Reason::new("ordered", "ordered");
                Command::Rollback { plan: id, plan_epoch, reason }
            }
        })
    }

    /// An operator waits for the outcome. `None` if it is refused, or changes nothing.
    pub(super) fn order_now(&mut self, command: &Command) -> Option<()> {
        let end = self.end();
        self.order(command.clone());
        let at = self.proposals.iter().position(|proposal| proposal.command == *command)?;
        self.arrive(at)?;
        (self.end() > end).then_some(())
    }
}
