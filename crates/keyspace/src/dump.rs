//! A slot as effects: what full syncs and checkpoints are made of.

use crate::effect::{Content, Effect, SetExpiry, Side};
use crate::entry::Entry;
use crate::items::Items;
use crate::keyspace::Keyspace;
use crate::progress;
use crate::stream::StreamAt;
use crate::value::Value;
use ironcache_types::{Level, Slot};

/// Elements an effect: bounds the scratch memory, and what a receiver must hold of one effect.
const CHUNK: usize = 1024;

impl Keyspace {
    /// Appends effects of `level` that rebuild the slot in an empty keyspace, in the same order; answers the
    /// number of keys, expired ones included.
    ///
    /// # Panics
    /// If the slot holds what the level does not have: a level never falls, and nothing above it is applied.
    pub fn dump_slot(&self, slot: Slot, level: Level, out: &mut Vec<u8>) -> usize {
        self.dump_slot_by(slot, level, out, |_| {})
    }

    /// The same, and hands `out` to `each` after each effect: whoever takes what is in it bounds what is in memory.
    ///
    /// # Panics
    /// As [`Self::dump_slot`].
    pub fn dump_slot_by(
        &self,
        slot: Slot,
        level: Level,
        out: &mut Vec<u8>,
        mut each: impl FnMut(&mut Vec<u8>),
    ) -> usize {
        let mut write = |effect: Effect<'_>| {
            effect.encode(level, out).expect("what a dataset holds was written at this level or below");
            each(out);
        };
        for entry in self.slot_entries(slot) {
            progress::tick();
            dump_entry(entry, &mut write);
        }
        self.slot_len(slot)
    }
}

/// The first chunk replaces the key, further ones add to it.
fn dump_entry(entry: &Entry, write: &mut impl FnMut(Effect<'_>)) {
    let mut done = Some(Done::default());
    while let Some(from) = done {
        done = dump_part(entry, &from, usize::MAX, write);
    }
}

/// How much of a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Bytes of a string, or elements of a collection; nothing of a stream.
    Count(usize),
    /// Of a stream what comes before this.
    Until(StreamAt),
}

impl Default for Done {
    fn default() -> Self {
        Done::Count(0)
    }
}

/// Writes one effect: the value from `done` on, of up to about `bytes_max`, and a piece of it at least. The answer is where
/// to go on, `None` at the end. The first part replaces the key, further ones add to it.
pub(crate) fn dump_part(
    entry: &Entry,
    done: &Done,
    bytes_max: usize,
    write: &mut impl FnMut(Effect<'_>),
) -> Option<Done> {
    let key = entry.key();
    progress::tick();
    let at = done;
    let done = if let Done::Count(done) = at { *done } else { 0 };
    let first = done == 0;
    let (end, len) = match entry.value() {
        Value::String(value) => {
            let end = value.len().min(done.saturating_add(bytes_max.max(1)));
            let part = &value[done..end];
            let expiry = entry.expire_at_ms().map_or(SetExpiry::Never, SetExpiry::At);
            write(if first {
                Effect::SetString { key, value: part, expiry }
            } else {
                Effect::SetRange { key, offset: done as u64, value: part }
            });
            (end, value.len())
        }
        Value::Hash(hash) => {
            let rest = hash.iter_from(done);
            let end = done + reach(rest.clone(), bytes_max, |(name, value)| name.len() + value.len());
            let part: Vec<_> = rest.take(end - done).map(|(name, value)| [name, value]).collect();
            let fields = Items::new(&part);
            write(if first { put(entry, Content::Hash(fields)) } else { Effect::HashSet { key, fields } });
            (end, hash.len())
        }
        Value::Set(set) => {
            let rest = set.iter_from(done);
            let end = done + reach(rest.clone(), bytes_max, <[u8]>::len);
            let part: Vec<_> = rest.take(end - done).collect();
            let members = Items::new(&part);
            write(if first { put(entry, Content::Set(members)) } else { Effect::SetAdd { key, members } });
            (end, set.len())
        }
        Value::Zset(zset) => {
            let rest = zset.iter_from(done);
            let end = done + reach(rest.clone(), bytes_max, |ranked| ranked.member.len());
            let part: Vec<_> = rest.take(end - done).map(|ranked| (ranked.score, ranked.member)).collect();
            let members = Items::new(&part);
            write(if first { put(entry, Content::Zset(members)) } else { Effect::ZsetAdd { key, members } });
            (end, zset.len())
        }
        Value::List(list) => {
            let all = list.items();
            let end = done + reach(all.range(done..), bytes_max, |item| item.len());
            let part: Vec<_> = all.range(done..end).map(|item| &**item).collect();
            let values = Items::new(&part);
            let push = Effect::ListPush { key, side: Side::Tail, values };
            write(if first { put(entry, Content::List(values)) } else { push });
            (end, all.len())
        }
        Value::Stream(stream) => {
            let Done::Until(at) = at else {
                write(put(entry, Content::Stream(stream.head())));
                return stream.first_part().map(Done::Until);
            };
            let next = stream.part(at, bytes_max, &mut |change| write(Effect::Stream { key, change }));
            return next.map(Done::Until);
        }
    };
    (end < len).then_some(Done::Count(end))
}

fn put<'a>(entry: &'a Entry, content: Content<'a>) -> Effect<'a> {
    Effect::Put { key: entry.key(), expire_at_ms: entry.expire_at_ms(), content }
}

/// How many elements of the rest are a part: one at least, and [`CHUNK`] at most.
fn reach<T>(rest: impl IntoIterator<Item = T>, bytes_max: usize, bytes: impl Fn(T) -> usize) -> usize {
    let (mut total, mut count) = (0usize, 0);
    for element in rest.into_iter().take(CHUNK) {
        total = total.saturating_add(bytes(element));
        if count > 0 && total > bytes_max {
            break;
        }
        count += 1;
    }
    count
}
