//! The engine: its state, and where events go.

use crate::action::{Action, Note};
use crate::at::At;
use crate::event::{Event, Now};
use crate::holding::Held;
use crate::lease::{Grant, Lease, Leased};
use crate::link::Attachment;
use crate::role::{Primary, Replica, Role};
use crate::routing::Routing;
use ironcache_control::{ControlState, Shard};
use ironcache_replication::{Patience, ReplicaCursor};
use ironcache_types::{Epoch, Member, Offset};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What one life of a node is to its shard.
#[derive(Clone)]
pub struct Engine {
    pub(crate) me: Member,
    /// The applied log, and the index up to which it is.
    pub(crate) state: Arc<ControlState>,
    pub(crate) index: u64,
    pub(crate) routing: Routing,
    pub(crate) role: Role,
    /// Attached replicas, on a primary or on a candidate; and the number of the newest of these links.
    pub(crate) links: BTreeMap<Member, Attachment>,
    pub(crate) link_serial: u64,
    /// May this life answer clients as a primary? What the leader granted, and what it came to at the last look.
    pub(crate) lease: Lease,
    pub(crate) leased: bool,
    /// Where this node's ownership would begin by what it has proposed itself, and since when.
    promise: Option<Promise>,
    /// How long pauses last here.
    pub(crate) patience: Patience,
    /// The checkpoint is being written, or is: nothing is executed or applied any more.
    pub(crate) sealed: bool,
    pub(crate) leaving: bool,
}

/// This node proposed to own its shard from `start` on. It cannot own it before it was proposed: so the lease that comes with
/// the ownership runs from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promise {
    /// The handover, or the ownership epoch that it would end.
    of: Epoch,
    start: Offset,
    since_ms: u64,
}

/// What it knows by itself: the applied state is named by its index.
impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            me,
            state: _,
            index,
            routing: _,
            role,
            links,
            link_serial,
            lease,
            leased,
            promise,
            patience,
            sealed,
            leaving,
        } = self;
        let mut out = f.debug_struct("Engine");
        out.field("me", me).field("index", index).field("role", role).field("links", links);
        out.field("link_serial", link_serial).field("lease", lease).field("leased", leased);
        out.field("promise", promise).field("patience", patience).field("sealed", sealed);
        out.field("leaving", leaving).finish_non_exhaustive()
    }
}

impl Engine {
    pub fn new(me: Member) -> Self {
        Engine {
            me,
            state: Arc::default(),
            index: 0,
            routing: Routing::empty(),
            role: Role::Loading,
            links: BTreeMap::new(),
            link_serial: 0,
            lease: Lease::default(),
            leased: false,
            promise: None,
            patience: Patience::new(0),
            sealed: false,
            leaving: false,
        }
    }

    /// Something happened: what is to be done now, in this order.
    #[must_use = "actions are done before anything else is handed in"]
    pub fn on(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Loaded { held } => self.load(held),
            Event::Applied { index, state } => self.apply(index, state, now, &mut out),
            Event::Tick => self.tick(now, &mut out),
            Event::Granted(grant) => self.grant(grant, now, &mut out),
            Event::Rejected(ask) => self.rejected(ask, now, &mut out),
            Event::RepliesLeft { handover } => self.replies_left(handover, now, &mut out),
            Event::Leaving => self.leaving = true,
            Event::Sealed => self.sealed = true,
            Event::Unsealed => {
                self.sealed = false;
                out.push(Action::Wake);
            }
        }
        out
    }

    fn load(&mut self, held: Option<Held>) {
        let cursor = match &held {
            Some(Held { lineage, offset, .. }) => ReplicaCursor::holding(lineage.clone(), *offset),
            None => ReplicaCursor::empty(),
        };
        self.role = Role::Replica(Replica::new(cursor, held));
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.look_at_lease(now.boot_ms) == Leased::Changed {
            out.push(Action::Wake);
            self.tell_lease(out);
        }
        self.tend(now, out);
        self.tend_handover(now, out);
        self.tend_candidacy(now, out);
    }

    // --- the lease -----------------------------------------------------------------------------------------

    fn grant(&mut self, grant: Grant, now: Now, out: &mut Vec<Action>) {
        self.lease.granted(grant, now.boot_ms, self.index);
        if self.look_at_lease(now.boot_ms) == Leased::Changed {
            out.push(Action::SettleReplies);
            out.push(Action::Wake);
        }
    }

    /// Before anything is executed as a primary, and again before what was executed is told, also if it has waited: with the
    /// clock read anew.
    pub fn look_at_lease(&mut self, boot_ms: u64) -> Leased {
        let leased = self.lease.holds(boot_ms, self.index);
        if leased == std::mem::replace(&mut self.leased, leased) { Leased::AsBefore } else { Leased::Changed }
    }

    /// Did the lease run at the last look?
    #[inline]
    pub fn is_leased(&self) -> bool {
        self.leased
    }

    /// What is to be said of a lease that changed.
    fn tell_lease(&self, out: &mut Vec<Action>) {
        if let (false, Role::Primary(primary)) = (self.leased, &self.role) {
            out.push(Action::Tell(Note::LeaseOver { shard: primary.shard }));
        }
    }

    /// This node proposes that it owns its shard from `start` on; asked again for the same, it keeps the first time.
    pub(crate) fn promise(&mut self, of: Epoch, start: Offset, now: Now) {
        if self.promise.is_none_or(|promise| (promise.of, promise.start) != (of, start)) {
            self.promise = Some(Promise { of, start, since_ms: now.boot_ms });
        }
    }

    /// It owns its shard, from `start` on by the entry itself.
    pub(crate) fn redeem_promise(&mut self, start: Offset, now: Now) {
        if let Some(Promise { since_ms, .. }) = self.promise.take_if(|promise| promise.start == start) {
            let until_ms = since_ms + self.state.policy.timers.lease_ms();
            self.lease.granted(Grant { until_ms, index: self.index }, now.boot_ms, self.index);
            let _ = self.look_at_lease(now.boot_ms);
        }
    }

    // --- what is asked of it -------------------------------------------------------------------------------

    pub fn me(&self) -> Member {
        self.me
    }

    #[inline]
    pub fn role(&self) -> &Role {
        &self.role
    }

    pub fn primary(&self) -> Option<&Primary> {
        match &self.role {
            Role::Primary(primary) => Some(primary),
            Role::Loading | Role::Replica(_) => None,
        }
    }

    /// The ownership epoch in which this node is primary.
    #[inline]
    pub fn primary_epoch(&self) -> Option<Epoch> {
        self.primary().map(|primary| primary.epoch)
    }

    pub fn my_shard(&self) -> Option<&Shard> {
        self.state.shard_of_node(self.me.node)
    }

    #[inline]
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// The end of this node's stream: on a replica, of what it has applied.
    pub fn end(&self) -> Option<Offset> {
        match &self.role {
            Role::Loading => None,
            Role::Replica(replica) => replica.cursor.applied_offset(),
            Role::Primary(primary) => Some(primary.gate.end()),
        }
    }

    /// Something came so much later than it was due: a tick, or what a replica says.
    pub fn note_pause(&mut self, pause_ms: u64, ran_ms: u64) {
        self.patience.observe(pause_ms, self.state.policy.isr_timeout_ms, ran_ms);
    }

    /// Looks at the applied state together with this node's own role. `None` without a shard.
    pub(crate) fn with_shard<T>(&mut self, now: Now, f: impl FnOnce(&mut Self, At<'_>) -> T) -> Option<T> {
        let state = Arc::clone(&self.state);
        let me = self.me;
        let shard = state.shard_of_node(me.node)?;
        Some(f(self, At { me, state: &state, shard, now }))
    }
}
