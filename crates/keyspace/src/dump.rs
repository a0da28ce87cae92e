//! A slot as effects: what full syncs and checkpoints are made of.

use crate::dict::{Dict, Keyed};
use crate::effect::{Content, Effect, SetExpiry, Side};
use crate::items::Items;
use crate::keyspace::{Entry, Keyspace};
use crate::progress::{self, ticking};
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
    let key = entry.key();
    match entry.value() {
        Value::String(value) => {
            let expiry = entry.expire_at_ms().map_or(SetExpiry::Never, SetExpiry::At);
            write(Effect::SetString { key, value, expiry });
        }
        Value::Hash(hash) => {
            chunked(
                hash.fields(),
                |field| [&*field.name, &*field.value],
                |items, first| {
                    let fields = Items::new(items);
                    write(if first {
                        put(entry, Content::Hash(fields))
                    } else {
                        Effect::HashSet { key, fields }
                    });
                },
            );
        }
        Value::Set(set) => {
            chunked(
                set.members(),
                |member| &*member.0,
                |items, first| {
                    let members = Items::new(items);
                    write(if first {
                        put(entry, Content::Set(members))
                    } else {
                        Effect::SetAdd { key, members }
                    });
                },
            );
        }
        Value::Zset(zset) => {
            chunked(
                zset.members(),
                |scored| (scored.score, &*scored.member),
                |items, first| {
                    let members = Items::new(items);
                    write(if first {
                        put(entry, Content::Zset(members))
                    } else {
                        Effect::ZsetAdd { key, members }
                    });
                },
            );
        }
        Value::List(list) => {
            let items: Vec<&[u8]> = ticking(list.items()).map(|item| &**item).collect();
            for (i, chunk) in items.chunks(CHUNK).enumerate() {
                progress::tick();
                let values = Items::new(chunk);
                let push = Effect::ListPush { key, side: Side::Tail, values };
                write(if i == 0 { put(entry, Content::List(values)) } else { push });
            }
        }
    }
}

fn put<'a>(entry: &'a Entry, content: Content<'a>) -> Effect<'a> {
    Effect::Put { key: entry.key(), expire_at_ms: entry.expire_at_ms(), content }
}

/// Hands the elements to `emit` in chunks, telling the first one apart.
fn chunked<'a, E: Keyed, T>(dict: &'a Dict<E>, view: impl Fn(&'a E) -> T, mut emit: impl FnMut(&[T], bool)) {
    let mut items = Vec::with_capacity(CHUNK.min(dict.len()));
    for (i, chunk) in dict.as_slice().chunks(CHUNK).enumerate() {
        progress::tick();
        items.clear();
        items.extend(chunk.iter().map(&view));
        emit(&items, i == 0);
    }
}
