//! The shell around the real shard engine: the counterpart of the product's `data/{perform,clockwork,plane,leaving}`.
//!
//! ```text
//!   applied entries, ticks, grants, outcomes ─► Engine::on ─► actions ─► perform: propose, clear, settle replies, end …
//! ```
//! *Invariant:* nothing is decided here; actions are done in their order, before anything else is handed in.
//! [`Action::TickAfter`], `Wake` and `Feed` need nothing: in a simulated node everything is looked at in every tick.

use crate::disk::Checkpoint;
use crate::entry::Entry;
use crate::node::{Process, Pursued};
use crate::world::World;
use ironcache_control::Command;
use ironcache_replication::Look;
use ironcache_shard::{About, Action, Ask, Event, Grant, HandedOver, Now, OnTrial, is_only_copy};
use ironcache_types::{Level, NodeId};
use std::sync::Arc;

/// How often a data thread looks around.
const TICK_MS: u64 = 10;
/// A proposal is sent again after this, and given up as unknown after so long: the product's, for shorter runs.
const SEND_AGAIN_MS: u64 = 100;
const PURSUE_MS: u64 = 2_000;
/// The product asks for a lease again after this, if it was not granted one.
const ASK_AGAIN_MS: u64 = 25;

impl World {
    /// Reads both clocks of a node.
    pub(crate) fn now_of(&mut self, id: NodeId) -> Now {
        let boot_ms = self.clock_ms(id);
        let process = self.process_mut(id).expect("it ticks");
        let Look { ran_ms, since_last_ms } = process.running.look(boot_ms);
        if since_last_ms > TICK_MS {
            process.engine.note_pause(since_last_ms - TICK_MS, ran_ms);
        }
        Now { ran_ms, boot_ms }
    }

    pub(crate) fn engine_on(&mut self, id: NodeId, event: Event) {
        let now = self.now_of(id);
        let actions = self.process_mut(id).expect("it ticks").engine.on(event, now);
        self.perform(id, actions);
    }

    pub(crate) fn perform(&mut self, id: NodeId, actions: Vec<Action>) {
        let mut left = None;
        for action in actions {
            let process = self.process_mut(id).expect("it ticks");
            match action {
                Action::Propose { command, ask } => self.pursue(id, *command, ask),
                Action::ClearKeyspace => process.store.clear(),
                Action::BeginStream { at } => {
                    let (me, held) = (process.me, process.store.end());
                    if held != at {
                        self.broken(format!(
                            "{me} begins its stream at {at}, and holds everything up to {held}"
                        ));
                    }
                }
                Action::ForgetWritten => process.store.written_from = process.store.writes.len(),
                Action::SettleReplies => self.settle(id),
                Action::LoseReplies => self.lose_replies(id),
                Action::TellRepliesLeft { handover } => left = Some(handover),
                Action::HandoverEnded(HandedOver { shard, handover: _, promoted: Some(epoch) }) => {
                    self.pursue(id, Command::ReportHandover { shard, epoch, stall_us: 1 }, None);
                }
                Action::End => process.ends = true,
                Action::HandoverBegan(_)
                | Action::HandoverEnded(HandedOver { promoted: None, .. })
                | Action::Wake
                | Action::Feed
                | Action::TickAfter { .. }
                | Action::Tell(_) => {}
            }
        }
        if let Some(handover) = left {
            self.engine_on(id, Event::RepliesLeft { handover });
        }
    }

    /// What a data thread does by itself.
    pub(crate) fn data_tick(&mut self, id: NodeId) {
        self.load(id);
        self.keep_lease(id);
        self.follow_up(id);
        self.tell(id);
        self.links_tick(id);
        self.engine_on(id, Event::Tick);
        self.retain(id);
        self.keepers_tick(id);
        self.serve(id);
        let node = self.nodes.get_mut(&id).expect("it ticks");
        let on_trial = if node.launcher.is_on_trial() { OnTrial::Yes } else { OnTrial::No };
        if let Some(process) = &node.process {
            node.disk.tend_checkpoint(process, on_trial);
        }
        if self.process(id).is_some_and(|process| process.ends) {
            self.unable.push(id);
            self.note(id, "was made primary, and cannot be that");
            self.stop(id);
        }
    }

    /// The checkpoint is read some time after the start.
    fn load(&mut self, id: NodeId) {
        let now_ms = self.now_ms;
        let node = self.nodes.get_mut(&id).expect("it ticks");
        let process = node.process.as_mut().expect("it ticks");
        if process.load_at_ms.take_if(|at_ms| *at_ms <= now_ms).is_none() {
            return;
        }
        let held = node.disk.checkpoint.as_ref().map(|checkpoint| {
            process.store = checkpoint.store();
            process.began_at = checkpoint.level();
            checkpoint.held()
        });
        self.engine_on(id, Event::Loaded { held });
    }

    /// The log is applied further.
    pub(crate) fn tell_applied(&mut self, id: NodeId) {
        let process = self.process(id).expect("it ticks");
        let (index, state) = (process.applied as u64, Arc::clone(&process.view));
        self.engine_on(id, Event::Applied { index, state: Arc::clone(&state) });
        let _ = self.keepers_on(id, ironcache_shard::keeper::Event::Applied(state));
    }

    /// Asks every quarter of a lease, and at once for the first one of an ownership.
    fn keep_lease(&mut self, id: NodeId) {
        let (now_ms, clock_ms) = (self.now_ms, self.clock_ms(id));
        let process = self.process_mut(id).expect("it ticks");
        if let Some((_, grant)) = process.answer.take_if(|(at_ms, _)| *at_ms <= now_ms) {
            self.engine_on(id, Event::Granted(grant));
        }
        let process = self.process_mut(id).expect("it ticks");
        let me = process.me;
        let owned = process.my_shard().filter(|shard| shard.is_primary(me)).map(|shard| shard.epoch);
        if owned != process.owned {
            (process.owned, process.ask_at_ms) = (owned, now_ms);
        }
        if owned.is_none() || now_ms < process.ask_at_ms || process.answer.is_some() {
            return;
        }
        let lease_ms = process.view.policy.timers.lease_ms();
        let granted = self.grant(me);
        let delay_ms = self.rng.below(60);
        let process = self.process_mut(id).expect("it ticks");
        match granted {
            Some(index) => {
                process.ask_at_ms = now_ms + lease_ms / 4;
                process.answer = Some((now_ms + delay_ms, Grant { until_ms: clock_ms + lease_ms, index }));
            }
            None => process.ask_at_ms = now_ms + ASK_AGAIN_MS,
        }
    }

    // --- proposals -------------------------------------------------------------------------------------------

    /// Has the log decide: sent until somebody tells the outcome, or for so long.
    pub(crate) fn pursue(&mut self, id: NodeId, command: Command, ask: Option<Ask>) {
        self.newest_request += 1;
        let (request, now_ms) = (self.newest_request, self.now_ms);
        let process = self.process_mut(id).expect("it ticks");
        let mut entry = Entry::seal(command, &process.view);
        // Whoever is told that the log said no acts by it: that proposal may not be taken later. Others may come again.
        entry.settles = ask.is_some_and(|ask| match ask.about() {
            About::Member { .. } | About::Mode { .. } => true,
            About::Promotion => false,
        });
        entry.request = request;
        process.pursued.push(Pursued {
            entry: entry.clone(),
            ask,
            until_ms: now_ms + PURSUE_MS,
            again_ms: now_ms + SEND_AGAIN_MS,
        });
        self.send(id, entry);
    }

    fn follow_up(&mut self, id: NodeId) {
        let now_ms = self.now_ms;
        let pursued = std::mem::take(&mut self.process_mut(id).expect("it ticks").pursued);
        let mut left = Vec::new();
        for mut proposal in pursued {
            match self.outcomes.get(&proposal.entry.request).copied() {
                Some(accepted) if self.hears_leader(id) && self.rng.chance(1, 3) => {
                    if let (false, Some(ask)) = (accepted, proposal.ask) {
                        self.engine_on(id, Event::Rejected(ask));
                    }
                }
                Some(_) | None if now_ms >= proposal.until_ms => {}
                Some(_) | None => {
                    if now_ms >= proposal.again_ms {
                        proposal.again_ms = now_ms + SEND_AGAIN_MS;
                        self.send(id, proposal.entry.clone());
                    }
                    left.push(proposal);
                }
            }
        }
        // What was proposed meanwhile is newer.
        let process = self.process_mut(id).expect("it ticks");
        left.append(&mut process.pursued);
        process.pursued = left;
    }

    fn hears_leader(&self, id: NodeId) -> bool {
        let leader = self.leadership.as_ref().map(|leadership| leadership.leader);
        !self.is_cut_off(id) && leader.is_some_and(|leader| leader == id || !self.is_cut_between(leader, id))
    }

    // --- the end of a life -----------------------------------------------------------------------------------

    /// An orderly stop, after which the launcher starts the next life. A node that is told to stop stays if it has the only
    /// copy, and no room for it.
    pub(crate) fn drain(&mut self, id: NodeId) -> bool {
        let now_ms = self.now_ms;
        let node = self.nodes.get_mut(&id).expect("it is a node");
        let Some(process) = &node.process else { return true };
        let lies_there = process.engine.holds_what_it_read() && node.disk.checkpoint.is_some();
        let stays = node.disk.is_full(now_ms) && is_only_copy(&process.view, process.me) && !lies_there;
        if stays {
            self.engine_on(id, Event::Sealed);
            self.engine_on(id, Event::Unsealed);
            return false;
        }
        self.stop(id);
        true
    }

    /// The process ends in order: everybody is answered who can be, and what it holds goes to the disk.
    pub(crate) fn stop(&mut self, id: NodeId) {
        let (now_ms, start_at_ms) = (self.now_ms, self.now_ms + self.rng.below(200));
        if self.process(id).is_some() {
            self.engine_on(id, Event::Sealed);
            self.lose_requests(id);
        }
        let node = self.nodes.get_mut(&id).expect("it is a node");
        let checkpoint = node.process.take().as_ref().and_then(Checkpoint::of);
        let what = match checkpoint {
            // Whoever counts on it for a step counts on what it would have written.
            Some(_) if node.disk.is_full(now_ms) => {
                (node.whole_since_ms, node.away_by_plan) = (None, false);
                "stops, and cannot write its checkpoint"
            }
            Some(_) => {
                node.disk.checkpoint = checkpoint;
                "stops, with a checkpoint"
            }
            None => {
                (node.whole_since_ms, node.away_by_plan) = (None, false);
                "stops, and holds no whole dataset"
            }
        };
        self.note(id, what);
        let node = self.nodes.get_mut(&id).expect("it is a node");
        node.start_at_ms = start_at_ms;
        node.leaving_until_ms = None;
    }
}

impl Process {
    /// The level that this node has applied: at which it writes. Never below that of what it holds.
    pub(crate) fn level(&self) -> Level {
        self.view.cluster_level.max(self.began_at).max(Level::FIRST)
    }
}
