//! The shell around the shard's engine: hands events in, and does what comes back.
//!
//! ```text
//!  DataNode::on ──► Plane::on ──► Engine::on ──► actions ──► Plane::perform: what the plane itself can do
//!        │                                                        │
//!        └──────────── DataNode::run ◄──────── errands ◄──────────┘          what needs a task, or wakes one
//! ```
//! *Invariant:* nothing is decided here.
//! *Invariant:* actions are done in their order; errands after them, before anything else is handed in.

use super::DataNode;
use super::plane::{Plane, ToControl};
use ironcache_control::Command;
use ironcache_keyspace::Keyspace;
use ironcache_raft::{AppliedView, Refusal};
use ironcache_shard::{About, Action, Ask, Event, HandedOver, Held, Note, Weight};
use ironcache_types::Epoch;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::Instant;

/// What is left of an action for the tasks around the plane.
#[derive(Debug)]
#[must_use = "it is run before anything else is handed in"]
pub(crate) enum Errand {
    /// A rejection of this proposal is to be told.
    Watch {
        ask: Ask,
        rejection: oneshot::Receiver<Refusal>,
    },
    /// Once the tasks that were woken have run.
    TellRepliesLeft {
        handover: Epoch,
    },
    Tick {
        after: Duration,
    },
    Wake,
    Feed,
    End,
}

impl DataNode {
    /// Hands an event to the engine, and does what it says.
    pub(crate) fn on(self: &Rc<Self>, event: Event) {
        let errands = self.plane.borrow_mut().on(event);
        self.run(errands);
    }

    pub(crate) fn run(self: &Rc<Self>, errands: Vec<Errand>) {
        for errand in errands {
            match errand {
                Errand::Wake => self.changed.notify_waiters(),
                Errand::Feed => self.feed.notify_waiters(),
                Errand::Watch { ask, rejection } => {
                    spawn_local(watch(Rc::clone(self), ask, rejection));
                }
                Errand::TellRepliesLeft { handover } => {
                    let node = Rc::clone(self);
                    spawn_local(async move {
                        // The connections were woken before this task: they write first.
                        tokio::task::yield_now().await;
                        node.on(Event::RepliesLeft { handover });
                    });
                }
                Errand::Tick { after } => {
                    let node = Rc::clone(self);
                    spawn_local(async move {
                        tokio::time::sleep(after).await;
                        node.on(Event::Tick);
                    });
                }
                Errand::End => {
                    spawn_local(super::give_up(Rc::clone(self)));
                }
            }
        }
    }
}

async fn watch(node: Rc<DataNode>, ask: Ask, rejection: oneshot::Receiver<Refusal>) {
    // Dropped without a word: accepted, or unknown.
    let Ok(rejection) = rejection.await else { return };
    match ask.about() {
        About::Member { member, .. } => {
            tracing::debug!(%member, %rejection, "not taken into the in-sync set");
        }
        About::Mode { .. } => tracing::debug!(%rejection, "mode not set yet"),
        About::Promotion => tracing::warn!(%rejection, "not promoted"),
    }
    node.on(Event::Rejected(ask));
}

impl Plane {
    /// The applied control state advanced.
    pub(crate) fn apply_view(&mut self, view: Arc<AppliedView>) -> Vec<Errand> {
        self.view = view;
        if self.effects.level() != self.level() {
            // No command is under way between two views.
            self.effects.restart_at(self.level());
        }
        self.take_users();
        self.take_libraries();
        let (index, state) = (self.view.index, Arc::clone(&self.view.state));
        self.on(Event::Applied { index, state })
    }

    /// The checkpoint is read, or there is none.
    pub(crate) fn loaded(&mut self, keyspace: Keyspace, held: Option<Held>) -> Vec<Errand> {
        self.keyspace = keyspace;
        self.nothing_is_kept();
        self.tell_time();
        if let Some(Held { offset, .. }) = &held {
            self.backlog.reset(*offset);
        }
        self.on(Event::Loaded { held })
    }

    pub(crate) fn on(&mut self, event: Event) -> Vec<Errand> {
        let now = self.now();
        let owned = self.primary_epoch().is_some();
        let actions = self.engine.on(event, now);
        if owned && self.primary_epoch().is_none() {
            // Its clients go to the new primary before this node restarts; see docs/adr/0038.
            self.clients.end_shard(self.config.client_output_buffer_limit, self.config.maxmemory_clients);
        }
        let errands = self.perform(actions);
        self.look_at_standing();
        errands
    }

    /// Does what the engine asks for.
    pub(crate) fn perform(&mut self, actions: Vec<Action>) -> Vec<Errand> {
        let mut errands = Vec::new();
        for action in actions {
            match action {
                Action::Propose { command, ask: None } => self.propose(*command, None),
                Action::Propose { command, ask: Some(ask) } => {
                    let (rejected, rejection) = oneshot::channel();
                    self.propose(*command, Some(rejected));
                    errands.push(Errand::Watch { ask, rejection });
                }
                Action::ClearKeyspace => {
                    self.keyspace.clear();
                    self.nothing_is_kept();
                }
                Action::BeginStream { at } => {
                    if self.backlog.end() != at {
                        self.backlog.reset(at);
                    }
                }
                Action::ForgetWritten => self.forget_written(),
                Action::SettleReplies => self.settle_replies(),
                Action::LoseReplies => self.waiters.lost(),
                Action::HandoverBegan(handover) => {
                    tracing::debug!(epoch = %handover.epoch, "commands are held back");
                    self.held_back_since = Some(Instant::now());
                }
                Action::HandoverEnded(ended) => self.report_handover(ended),
                Action::Tell(note) => tell(note),
                Action::TellRepliesLeft { handover } => errands.push(Errand::TellRepliesLeft { handover }),
                Action::TickAfter { ms } => {
                    errands.push(Errand::Tick { after: Duration::from_millis(ms) });
                }
                Action::Wake => errands.push(Errand::Wake),
                Action::Feed => errands.push(Errand::Feed),
                Action::End => errands.push(Errand::End),
            }
        }
        self.retain();
        errands
    }

    /// Measures for how long commands were held back: the engine's clocks are too coarse for that.
    fn report_handover(&mut self, ended: HandedOver) {
        let HandedOver { shard, handover, promoted } = ended;
        let Some(since) = self.held_back_since.take() else { return };
        let stall_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stats.handovers += 1;
        self.stats.handover_stall_us = stall_us;
        if let Some(epoch) = promoted {
            tracing::info!(%shard, %epoch, stall_us, to = %handover.to, "handed over");
            self.propose(Command::ReportHandover { shard, epoch, stall_us }, None);
        }
    }

    /// Somebody took some of the stream, came, went or stood still.
    pub(crate) fn retain(&mut self) {
        let now = self.now();
        self.retained = self.engine.retention(self.backlog.capacity_bytes() as u64, now);
        self.backlog.hold_from(self.retained.hold_from);
    }

    /// Wakes the replies that may leave.
    pub(crate) fn settle_replies(&mut self) {
        if self.waiters.first().is_none() {
            return;
        }
        // This process may have stood still since the last look.
        self.look_at_lease();
        while let Some(offset) = self.waiters.first() {
            if !self.engine.is_released(offset) {
                return;
            }
            self.waiters.acknowledged(offset);
        }
    }

    pub(crate) fn propose(&self, command: Command, rejected: Option<oneshot::Sender<Refusal>>) {
        // The receiver lives as long as the process does; while it stops, nothing needs proposing.
        let _ = self.to_control.send(ToControl { command, rejected, asked: None });
    }
}

pub(super) fn tell(note: Note) {
    match note.weight() {
        Weight::Detail => tracing::debug!("{note}"),
        Weight::Normal => tracing::info!("{note}"),
        Weight::Warning => tracing::warn!("{note}"),
        Weight::Error => tracing::error!("{note}"),
    }
}
