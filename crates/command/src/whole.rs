//! Whole values: copied, and restored.

use crate::call::Call;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Content, Effect, Items, SetExpiry, Side, Stream, Value};

/// A value of its own, as the effects need it.
pub(crate) enum Whole {
    String(Box<[u8]>),
    Hash(Vec<[Box<[u8]>; 2]>),
    List(Vec<Box<[u8]>>),
    Set(Vec<Box<[u8]>>),
    Zset(Vec<(f64, Box<[u8]>)>),
    Stream(Box<Stream>),
}

impl Whole {
    pub(crate) fn of(value: Value<'_>) -> Self {
        match value {
            Value::String(text) => Whole::String(text.into()),
            Value::Hash(hash) => {
                Whole::Hash(ticking(hash).map(|(name, value)| [name.into(), value.into()]).collect())
            }
            Value::List(list) => Whole::List(ticking(list.items()).cloned().collect()),
            Value::Set(set) => Whole::Set(ticking(set).map(Box::from).collect()),
            Value::Zset(zset) => {
                Whole::Zset(ticking(zset.iter()).map(|one| (one.score, Box::from(one.member))).collect())
            }
            Value::Stream(stream) => Whole::Stream(Box::new(stream.clone())),
        }
    }

    pub(crate) fn is_empty_collection(&self) -> bool {
        match self {
            Whole::String(_) | Whole::Stream(_) => false,
            Whole::Hash(fields) => fields.is_empty(),
            Whole::List(items) | Whole::Set(items) => items.is_empty(),
            Whole::Zset(members) => members.is_empty(),
        }
    }

    /// Puts it under a key that does not exist. By the effects that add, and not by one that puts the whole: those are cut
    /// where they are large.
    pub(crate) fn record(&self, call: &mut Call<'_>, key: &[u8]) {
        fn slices(all: &[Box<[u8]>]) -> Vec<&[u8]> {
            all.iter().map(|one| &**one).collect()
        }
        match self {
            Whole::String(value) => {
                call.db.record(Effect::SetString { key, value, expiry: SetExpiry::Never });
            }
            Whole::Hash(fields) => {
                let fields: Vec<[&[u8]; 2]> =
                    fields.iter().map(|[name, value]| [&**name, &**value]).collect();
                call.db.record(Effect::HashSet { key, fields: Items::new(&fields) });
            }
            Whole::List(items) => {
                call.db.record(Effect::ListPush {
                    key,
                    side: Side::Tail,
                    values: Items::new(&slices(items)),
                });
            }
            Whole::Set(members) => {
                call.db.record(Effect::SetAdd { key, members: Items::new(&slices(members)) });
            }
            Whole::Zset(members) => {
                let members: Vec<(f64, &[u8])> =
                    members.iter().map(|(score, name)| (*score, &**name)).collect();
                call.db.record(Effect::ZsetAdd { key, members: Items::new(&members) });
            }
            Whole::Stream(stream) => {
                let content = Content::Stream(stream.head());
                call.db.record(Effect::Put { key, expire_at_ms: None, content });
                stream.changes(|change| call.db.record(Effect::Stream { key, change }));
            }
        }
    }
}
