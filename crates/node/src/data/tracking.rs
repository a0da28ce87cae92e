//! Clients that keep what they have read: what is remembered for them, and what they are told (docs/adr/0044).
//!
//! ```text
//!  a command is over ──► its effects: who has read those keys ──► a Notice each ──► Inbox ──► behind the reply
//!                    └─► what it read itself ──► TrackingTable
//!  the stream of the primary, expiry, eviction ──► the same
//!  another role, lease or dataset ──► everything ──► one Notice for each client
//! ```
//! *Invariant:* whoever is told of a key is told when the dataset of this node changes, in the same turn, and before anybody is
//! answered what the key is now.
//! *Invariant:* a node that may miss what is written to its shard keeps nobody's trust: whenever it starts or stops being one that
//! answers for its keys, or takes another dataset, every client that has keys tracked is told that none of them is so. It is told
//! before another primary can have acknowledged a write, as far as this node could know of one.

use super::client::Client;
use super::plane::Plane;
use ironcache_command::{Flags, Spec};
use ironcache_keyspace::Effect;
use ironcache_types::{Epoch, Level};

/// What a node is to those who read from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// As the primary of this epoch.
    epoch: Option<Epoch>,
    is_serving: bool,
    /// Also as a replica.
    in_sync: bool,
}

impl Plane {
    /// A command was executed for a client: tells of what it changed, and remembers what it read.
    #[inline]
    pub(super) fn executed(&mut self, client: &Client, spec: &'static Spec, args: &[&[u8]]) {
        if self.effects.events.are_wanted() | self.clients.is_tracked() {
            self.tell_of_command(client, spec, args);
        }
    }

    #[cold]
    fn tell_of_command(&mut self, client: &Client, spec: &'static Spec, args: &[&[u8]]) {
        self.tell_of_keys();
        if !self.clients.is_tracked() {
            return;
        }
        let told = self.tell_of_untold(Some(client.session.id()));
        // Also of a dataset that was empty, as in Redis: what was read of it were absent keys.
        if matches!(spec.name, "flushall" | "flushdb") && told == Told::OfSome {
            self.nothing_is_kept();
        }
        if spec.flags.contains(Flags::READONLY) && client.session.remembers_reads() {
            self.remember_reads(client.session.id(), spec, args);
        }
    }

    /// Keys that a client read, and keeps.
    pub(super) fn remember_reads(&mut self, client: u64, spec: &'static Spec, args: &[&[u8]]) {
        let most = usize::try_from(self.config.tracking_table_max_keys).unwrap_or(usize::MAX);
        let (limits, most_bytes) = (self.config.client_output_buffer_limit, self.config.maxmemory_clients);
        self.clients.remember(client, spec.keys(args), most, limits, most_bytes);
    }

    /// What was changed and is not told yet; by whom, if by a client.
    pub(super) fn tell_of_untold(&mut self, by: Option<u64>) -> Told {
        let (limits, most_bytes) = (self.config.client_output_buffer_limit, self.config.maxmemory_clients);
        let mut changed = Changed::default();
        self.effects.untold().for_each(|effect| changed.note(&effect));
        self.effects.all_told();
        if !changed.is_nothing() {
            self.clients.tell_of_changed(&changed, by, limits, most_bytes);
        }
        if changed.all { Told::OfAll } else { Told::OfSome }
    }

    /// The same of effects that were applied.
    #[cold]
    pub(super) fn tell_of_applied(&mut self, mut bytes: &[u8], level: Level) {
        let (limits, most_bytes) = (self.config.client_output_buffer_limit, self.config.maxmemory_clients);
        let mut changed = Changed::default();
        while let Ok((effect, rest)) = Effect::decode(bytes, level) {
            changed.note(&effect);
            bytes = rest;
        }
        self.clients.tell_of_changed(&changed, None, limits, most_bytes);
    }

    /// The dataset is another one.
    pub(super) fn nothing_is_kept(&mut self) {
        if self.clients.is_tracked() {
            let (limits, most_bytes) =
                (self.config.client_output_buffer_limit, self.config.maxmemory_clients);
            self.clients.tell_of_all(limits, most_bytes);
        }
    }

    /// The engine, or a clock, has moved: does this node answer as before?
    pub(super) fn look_at_standing(&mut self) {
        let (epoch, is_serving, in_sync) = (self.primary_epoch(), self.is_serving(), self.engine.in_sync());
        let now = Standing { epoch, is_serving, in_sync };
        if std::mem::replace(&mut self.standing, now) != now {
            self.nothing_is_kept();
        }
    }
}

/// Of how much was told?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    OfAll,
    /// Or of nothing.
    OfSome,
}

/// Which keys.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub keys: Vec<Box<[u8]>>,
    /// And before them all.
    pub all: bool,
}

impl Changed {
    fn note(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::Clear => *self = Changed { keys: Vec::new(), all: true },
            Effect::Rename { key, to } => self.keys.extend([Box::from(*key), Box::from(*to)]),
            other => {
                if let Some(key) = other.key()
                    && self.keys.last().is_none_or(|last| **last != *key)
                {
                    self.keys.push(Box::from(key));
                }
            }
        }
    }

    fn is_nothing(&self) -> bool {
        self.keys.is_empty() && !self.all
    }
}
