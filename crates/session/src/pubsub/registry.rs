//! Who listens to what: all clients of a node.
//!
//! *Invariant:* a topic that nobody listens to is not kept.

use super::{Audience, Change, Counts, Kind, Message, Subscriptions, Topic};
use ironcache_command::glob_matches;
use std::collections::{BTreeMap, BTreeSet};

/// `T` is how a client is reached; a number names it.
#[derive(Debug)]
pub struct Registry<T> {
    channels: Topics<T>,
    patterns: Topics<T>,
    shard: Topics<T>,
}

type Topics<T> = BTreeMap<Topic, BTreeMap<u64, T>>;

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self { channels: Topics::new(), patterns: Topics::new(), shard: Topics::new() }
    }
}

impl<T: Clone> Registry<T> {
    pub fn change(&mut self, id: u64, to: &T, change: Change) {
        match change {
            Change::Joins(kind, topic) => {
                self.of_mut(kind).entry(topic).or_default().insert(id, to.clone());
            }
            Change::Leaves(kind, topic) => self.leave(id, kind, &topic),
        }
    }

    /// The client is gone, or was reset: it listens to nothing of this any more.
    pub fn forget(&mut self, id: u64, subscriptions: &Subscriptions) {
        for (kind, topic) in subscriptions.iter() {
            self.leave(id, kind, topic);
        }
    }

    fn leave(&mut self, id: u64, kind: Kind, topic: &Topic) {
        let topics = self.of_mut(kind);
        if let Some(listening) = topics.get_mut(topic) {
            listening.remove(&id);
            if listening.is_empty() {
                topics.remove(topic);
            }
        }
    }

    /// Hands a message to each that listens, as Redis does: by name, then by pattern. Answers how many that were.
    pub fn publish(
        &self,
        audience: Audience,
        channel: &[u8],
        payload: &[u8],
        mut send: impl FnMut(&T, &Message),
    ) -> usize {
        let mut count = 0;
        let kind = match audience {
            Audience::Cluster => Kind::Channel,
            Audience::Shard => Kind::Shard,
        };
        if let Some(listening) = self.of(kind).get(channel) {
            let message = Message::on(kind, channel, payload);
            listening.values().for_each(|to| send(to, &message));
            count += listening.len();
        }
        if audience == Audience::Cluster {
            for (pattern, listening) in &self.patterns {
                if glob_matches(pattern, channel) {
                    let message = Message::matching(pattern, channel, payload);
                    listening.values().for_each(|to| send(to, &message));
                    count += listening.len();
                }
            }
        }
        count
    }

    /// Who listens to something that they may not.
    pub fn beyond(&self, may: impl Fn(u64, Kind, &Topic) -> bool) -> BTreeSet<u64> {
        let kinds = [Kind::Channel, Kind::Pattern, Kind::Shard];
        let all = kinds.into_iter().flat_map(|kind| {
            let topics = self.of(kind).iter();
            topics.flat_map(move |(topic, listening)| listening.keys().map(move |id| (*id, kind, topic)))
        });
        all.filter(|(id, kind, topic)| !may(*id, *kind, topic)).map(|(id, ..)| id).collect()
    }

    /// Nobody listens to channels of the shard at this node any more: each client is sent what it lost, in the order of the
    /// names, as if it had left them one by one.
    pub fn end_shard(&mut self, mut send: impl FnMut(&T, &Message)) {
        let topics = std::mem::take(&mut self.shard);
        let mut left: BTreeMap<u64, usize> = BTreeMap::new();
        topics.values().flat_map(BTreeMap::keys).for_each(|id| *left.entry(*id).or_default() += 1);
        for (topic, listening) in &topics {
            for (id, to) in listening {
                let left = left.entry(*id).or_default();
                *left = left.saturating_sub(1);
                send(to, &Message::moved(topic, *left));
            }
        }
    }

    /// Of topics, not of clients.
    pub fn counts(&self) -> Counts {
        let Self { channels, patterns, shard } = self;
        Counts { channels: channels.len(), patterns: patterns.len(), shard: shard.len() }
    }

    pub(super) fn listening(&self, kind: Kind, name: &[u8]) -> usize {
        self.of(kind).get(name).map_or(0, BTreeMap::len)
    }

    pub(super) fn names(&self, kind: Kind) -> impl Iterator<Item = &Topic> {
        self.of(kind).keys()
    }

    fn of(&self, kind: Kind) -> &Topics<T> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shard,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Topics<T> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard,
        }
    }
}
