//! What one client listens to.

use super::{Kind, Topic};
use std::collections::BTreeSet;

/// What a subscription costs beside its name: its place here and in the registry.
const SUBSCRIPTION_BYTES: usize = 128;

#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: BTreeSet<Topic>,
    patterns: BTreeSet<Topic>,
    shard: BTreeSet<Topic>,
    bytes: usize,
}

/// How many of each, as `CLIENT LIST` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub channels: usize,
    pub patterns: usize,
    pub shard: usize,
}

impl Counts {
    pub fn total(self) -> usize {
        self.channels + self.patterns + self.shard
    }
}

impl Subscriptions {
    /// The name to keep, if it is a new one.
    pub(super) fn join(&mut self, kind: Kind, name: &[u8]) -> Option<Topic> {
        if self.of(kind).contains(name) {
            return None;
        }
        let topic = Topic::from(name);
        self.of_mut(kind).insert(Topic::clone(&topic));
        self.bytes += topic.len() + SUBSCRIPTION_BYTES;
        Some(topic)
    }

    pub(super) fn leave(&mut self, kind: Kind, name: &[u8]) -> Option<Topic> {
        let topic = self.of_mut(kind).take(name)?;
        self.bytes -= topic.len() + SUBSCRIPTION_BYTES;
        Some(topic)
    }

    /// The first one in the order of their names.
    pub(super) fn first(&self, kind: Kind) -> Option<Topic> {
        self.of(kind).first().map(Topic::clone)
    }

    pub fn counts(&self) -> Counts {
        let Self { channels, patterns, shard, bytes: _ } = self;
        Counts { channels: channels.len(), patterns: patterns.len(), shard: shard.len() }
    }

    /// What a confirmation counts: channels and patterns together, those of the shard alone.
    pub(super) fn counted_with(&self, kind: Kind) -> usize {
        let Counts { channels, patterns, shard } = self.counts();
        match kind {
            Kind::Channel | Kind::Pattern => channels + patterns,
            Kind::Shard => shard,
        }
    }

    /// What it costs to keep them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = (Kind, &Topic)> {
        [Kind::Channel, Kind::Pattern, Kind::Shard]
            .into_iter()
            .flat_map(|kind| self.of(kind).iter().map(move |topic| (kind, topic)))
    }

    fn of(&self, kind: Kind) -> &BTreeSet<Topic> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shard,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut BTreeSet<Topic> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard,
        }
    }
}
