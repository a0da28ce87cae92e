//! A slot as effects: what full syncs and checkpoints are made of.

use crate::dict::{Dict, Keyed};
use crate::effect::{Content, Effect, SetExpiry, Side};
use crate::items::Items;
use crate::keyspace::{Entry, Keyspace};
use crate::value::Value;
use ironcache_types::Slot;

/// Elements an effect: bounds the scratch memory, and what a receiver must hold of one effect.
const CHUNK: usize = 1024;

impl Keyspace {
    /// Appends effects that rebuild the slot in an empty keyspace, in the same order; answers the
    /// number of keys, expired ones included.
    pub fn dump_slot(&self, slot: Slot, out: &mut Vec<u8>) -> usize {
        self.slot_entries(slot).iter().for_each(|entry| dump_entry(entry, out));
        self.slot_len(slot)
    }
}

/// The first chunk replaces the key, further ones add to it.
fn dump_entry(entry: &Entry, out: &mut Vec<u8>) {
    let key = entry.key();
    match entry.value() {
        Value::String(value) => {
            let expiry = entry.expire_at_ms().map_or(SetExpiry::Never, SetExpiry::At);
            Effect::SetString { key, value, expiry }.encode(out);
        }
        Value::Hash(hash) => {
            chunked(
                hash.fields(),
                |field| [&*field.name, &*field.value],
                |items, first| {
                    let fields = Items::new(items);
                    if first { put(entry, Content::Hash(fields)) } else { Effect::HashSet { key, fields } }
                        .encode(out);
                },
            );
        }
        Value::Set(set) => {
            chunked(
                set.members(),
                |member| &*member.0,
                |items, first| {
                    let members = Items::new(items);
                    if first { put(entry, Content::Set(members)) } else { Effect::SetAdd { key, members } }
                        .encode(out);
                },
            );
        }
        Value::Zset(zset) => {
            chunked(
                zset.members(),
                |scored| (scored.score, &*scored.member),
                |items, first| {
                    let members = Items::new(items);
                    if first { put(entry, Content::Zset(members)) } else { Effect::ZsetAdd { key, members } }
                        .encode(out);
                },
            );
        }
        Value::List(list) => {
            let items: Vec<&[u8]> = list.items().iter().map(|item| &**item).collect();
            for (i, chunk) in items.chunks(CHUNK).enumerate() {
                let values = Items::new(chunk);
                let push = Effect::ListPush { key, side: Side::Tail, values };
                if i == 0 { put(entry, Content::List(values)) } else { push }.encode(out);
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
        items.clear();
        items.extend(chunk.iter().map(&view));
        emit(&items, i == 0);
    }
}
