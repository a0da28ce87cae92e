//! A stream as changes that rebuild it, one at a time: what full syncs, checkpoints and copies are made of.
//!
//! ```text
//!   head │ block · block · … │ group · (consumer · what is pending for it · …) · group · …
//! ```
//!
//! *Invariant:* where it goes on costs a search, however much came before.

use super::Stream;
use super::change::{Pending, StreamChange};
use super::group::{Consumer, Group};
use super::id::StreamId;
use crate::items::Items;
use std::ops::Bound::{Excluded, Unbounded};

/// Pending entries a change.
const PENDING_MAX: usize = 1024;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamAt {
    Block(StreamId),
    Group(Box<[u8]>),
    Consumer {
        group: Box<[u8]>,
        name: Box<[u8]>,
    },
    /// What is pending for a consumer, from this id on.
    Pending {
        group: Box<[u8]>,
        consumer: Box<[u8]>,
        from: StreamId,
    },
}

impl Stream {
    /// Every change that makes this stream of one that has its head and nothing else.
    pub fn changes(&self, mut each: impl FnMut(StreamChange<'_>)) {
        let mut next = self.first_part();
        while let Some(at) = next {
            crate::progress::tick();
            next = self.part(&at, usize::MAX, &mut each);
        }
    }

    /// What comes after the head.
    pub(crate) fn first_part(&self) -> Option<StreamAt> {
        self.blocks.keys().next().map(|id| StreamAt::Block(*id)).or_else(|| self.group_after(None))
    }

    /// Hands over one change, of about so many bytes; answers what comes next.
    pub(crate) fn part(
        &self,
        at: &StreamAt,
        bytes_max: usize,
        each: &mut impl FnMut(StreamChange<'_>),
    ) -> Option<StreamAt> {
        match at {
            StreamAt::Block(id) => {
                each(StreamChange::Block { id: *id, bytes: self.blocks.get(id)?.bytes() });
                let next = self.blocks.range((Excluded(id), Unbounded)).next();
                next.map(|(id, _)| StreamAt::Block(*id)).or_else(|| self.group_after(None))
            }
            StreamAt::Group(name) => {
                let group = self.group(name)?;
                let (last_id, entries_read) = (group.last_id(), group.entries_read());
                each(StreamChange::Group { name, last_id, entries_read });
                self.consumer_at(name, group.consumers().next())
            }
            StreamAt::Consumer { group, name } => {
                let of = self.group(group)?;
                let consumer = of.consumer(name)?;
                each(StreamChange::Consumer { group, name, seen_ms: consumer.seen_ms() });
                self.pending_at(group, of, consumer, StreamId::MIN)
            }
            StreamAt::Pending { group, consumer: name, from } => {
                let of = self.group(group)?;
                let consumer = of.consumer(name)?;
                let most = (bytes_max / size_of::<Pending>()).clamp(1, PENDING_MAX);
                let pending: Vec<Pending> = consumer
                    .pending(*from)
                    .take(most)
                    .map(|id| {
                        let nack = of.nack(id).expect("what is pending for a consumer is so in its group");
                        Pending { id, delivered_ms: nack.delivered_ms, deliveries: nack.deliveries }
                    })
                    .collect();
                each(StreamChange::Pend { group, consumer: name, pending: Items::new(&pending) });
                let next = pending.last().and_then(|last| last.id.after());
                match next {
                    Some(next) => self.pending_at(group, of, consumer, next),
                    None => self.consumer_after(group, of, consumer),
                }
            }
        }
    }

    fn pending_at(
        &self,
        name: &[u8],
        group: &Group,
        consumer: &Consumer,
        from: StreamId,
    ) -> Option<StreamAt> {
        match consumer.pending(from).next() {
            Some(from) => {
                Some(StreamAt::Pending { group: name.into(), consumer: consumer.name().into(), from })
            }
            None => self.consumer_after(name, group, consumer),
        }
    }

    fn consumer_after(&self, name: &[u8], group: &Group, consumer: &Consumer) -> Option<StreamAt> {
        self.consumer_at(name, group.consumers_from(consumer.name()).nth(1))
    }

    fn consumer_at(&self, name: &[u8], consumer: Option<&Consumer>) -> Option<StreamAt> {
        match consumer {
            Some(consumer) => Some(StreamAt::Consumer { group: name.into(), name: consumer.name().into() }),
            None => self.group_after(Some(name)),
        }
    }

    fn group_after(&self, name: Option<&[u8]>) -> Option<StreamAt> {
        let begin = name.map_or(Unbounded, Excluded);
        self.groups.range::<[u8], _>((begin, Unbounded)).next().map(|(name, _)| StreamAt::Group(name.clone()))
    }
}
