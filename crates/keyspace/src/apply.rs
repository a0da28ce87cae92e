//! Applying effects: the only way in which a keyspace changes, on primaries and replicas alike.

use crate::effect::{Content, Effect, EffectError, SetExpiry, Side};
use crate::entry::{Entry, HashMut, SetMut, ZsetMut};
use crate::fields::HashTable;
use crate::items::Items;
use crate::keyspace::{Keyspace, Place};
use crate::members::SetTable;
use crate::progress::{self, ticking};
use crate::stream::{Stream, StreamChange, StreamId};
use crate::value::{Held, Kind, List};
use crate::zset::ZsetTable;
use ironcache_types::Level;

/// Applies effects that were written at `level`, in order; answers how many.
///
/// # Errors
/// [`EffectError`]; the effects before the bad one have been applied, so that the keyspace is then to
/// be discarded.
pub fn apply_effects(keyspace: &mut Keyspace, mut bytes: &[u8], level: Level) -> Result<usize, EffectError> {
    let mut applied = 0;
    while !bytes.is_empty() {
        let (effect, rest) = Effect::decode(bytes, level)?;
        keyspace.apply(&effect)?;
        progress::tick();
        bytes = rest;
        applied += 1;
    }
    Ok(applied)
}

/// What an effect on a collection does with a key that does not exist.
#[derive(Clone, Copy, PartialEq)]
enum Absent {
    Create,
    Ignore,
}

impl Keyspace {
    /// Applies one effect. Expiry plays no part: an expired key is changed like any other.
    ///
    /// # Errors
    /// [`EffectError::WrongKind`], [`EffectError::IndexOutside`] and those of [`Stream::apply`]: the effect is not about
    /// this data. Nothing has changed then.
    pub fn apply(&mut self, effect: &Effect<'_>) -> Result<(), EffectError> {
        match *effect {
            Effect::SetString { key, value, expiry } => self.set_string(key, value, expiry),
            Effect::SetRange { key, offset, value } => {
                let place = self.find(key).unwrap_or_else(|| self.insert_string(key, b""));
                let changed = self.change(place, |entry| entry.set_range(offset as usize, value));
                return changed.map_err(|found| wrong_kind(key, Kind::String, found));
            }
            Effect::Delete { key } => self.delete(key),
            Effect::Rename { key, to } => self.rename(key, to),
            Effect::ExpireAt { key, at_ms } => {
                if let Some(place) = self.find(key) {
                    self.set_expiry(place, Some(at_ms));
                }
            }
            Effect::Persist { key } => {
                if let Some(place) = self.find(key) {
                    self.set_expiry(place, None);
                }
            }
            Effect::HashSet { key, fields } => return self.hash_set(key, fields),
            Effect::HashRemove { key, fields } => {
                return self.edit::<HashTable>(key, Absent::Ignore, |mut hash| {
                    ticking(fields.iter()).for_each(|field| hash.remove(field));
                    Ok(())
                });
            }
            Effect::ListPush { key, side, values } => return self.list_push(key, side, values),
            Effect::ListPop { key, side, count } => {
                return self.edit::<List>(key, Absent::Ignore, |list| {
                    for _ in ticking(0..count.min(list.items().len() as u64)) {
                        match side {
                            Side::Head => list.pop_head(),
                            Side::Tail => list.pop_tail(),
                        };
                    }
                    Ok(())
                });
            }
            Effect::ListSet { key, index, value } => {
                return self.edit::<List>(key, Absent::Ignore, |list| {
                    let len = list.items().len() as u64;
                    if index >= len {
                        return Err(EffectError::IndexOutside { index, len });
                    }
                    list.set(index as usize, value);
                    Ok(())
                });
            }
            Effect::ListInsert { key, index, value } => {
                return self.edit::<List>(key, Absent::Ignore, |list| {
                    let len = list.items().len() as u64;
                    if index > len {
                        return Err(EffectError::IndexOutside { index, len });
                    }
                    list.insert(index as usize, value);
                    Ok(())
                });
            }
            Effect::ListTrim { key, from, len } => {
                return self.edit::<List>(key, Absent::Ignore, |list| {
                    let held = list.items().len() as u64;
                    list.trim(from.min(held) as usize, len.min(held) as usize);
                    Ok(())
                });
            }
            Effect::ListRemove { key, count, value } => {
                return self.edit::<List>(key, Absent::Ignore, |list| {
                    list.remove(count, value);
                    Ok(())
                });
            }
            Effect::SetAdd { key, members } => return self.set_add(key, members),
            Effect::SetRemove { key, members } => {
                return self.edit::<SetTable>(key, Absent::Ignore, |mut set| {
                    ticking(members.iter()).for_each(|member| set.remove(member));
                    Ok(())
                });
            }
            Effect::ZsetAdd { key, members } => return self.zset_add(key, members),
            Effect::ZsetRemove { key, members } => {
                return self.edit::<ZsetTable>(key, Absent::Ignore, |mut zset| {
                    ticking(members.iter()).for_each(|member| zset.remove(member));
                    Ok(())
                });
            }
            #[cfg(feature = "next")]
            Effect::Touched { key, times } => {
                self.set_string(key, times.to_string().as_bytes(), SetExpiry::Keep);
            }
            Effect::Put { key, expire_at_ms, content } => {
                self.delete(key);
                match content {
                    Content::Hash(fields) => self.hash_set(key, fields)?,
                    Content::List(values) => self.list_push(key, Side::Tail, values)?,
                    Content::Set(members) => self.set_add(key, members)?,
                    Content::Zset(members) => self.zset_add(key, members)?,
                    Content::Stream(head) => {
                        self.insert_held(key, Held::Stream(Box::new(Stream::of(head))));
                    }
                }
                if let Some(place) = self.find(key) {
                    self.set_expiry(place, expire_at_ms);
                }
            }
            Effect::Stream { key, change } => {
                let absent = match change {
                    // Not even as the first of a stream, which would then be left empty.
                    StreamChange::Add { id: id @ StreamId::MIN, .. } => {
                        return Err(EffectError::StreamOrder { id, last_id: id });
                    }
                    StreamChange::Add { .. } => Absent::Create,
                    _ => Absent::Ignore,
                };
                return self.edit::<Stream>(key, absent, |stream| stream.apply(&change));
            }
            Effect::Clear => self.clear(),
        }
        Ok(())
    }

    fn set_string(&mut self, key: &[u8], value: &[u8], expiry: SetExpiry) {
        let place = match self.find(key) {
            None => self.insert_string(key, value),
            Some(place) => {
                self.touch(place);
                self.change(place, |entry| entry.set_string(value));
                place
            }
        };
        match expiry {
            SetExpiry::Never => self.set_expiry(place, None),
            SetExpiry::At(at_ms) => self.set_expiry(place, Some(at_ms)),
            SetExpiry::Keep => {}
        }
    }

    fn delete(&mut self, key: &[u8]) {
        if let Some(place) = self.find(key) {
            self.remove(place);
        }
    }

    fn rename(&mut self, key: &[u8], to: &[u8]) {
        let Some(place) = self.find(key).filter(|_| key != to) else {
            return;
        };
        let expire_at_ms = self.at(place).expire_at_ms();
        let entry = self.remove(place);
        self.delete(to);
        let place = self.insert(entry.renamed(to));
        self.set_expiry(place, expire_at_ms);
    }

    fn hash_set(&mut self, key: &[u8], fields: Items<'_, [&[u8]; 2]>) -> Result<(), EffectError> {
        self.edit::<HashTable>(key, Absent::Create, |mut hash| {
            ticking(fields.iter()).for_each(|[field, value]| hash.set(field, value));
            Ok(())
        })
    }

    fn list_push(&mut self, key: &[u8], side: Side, values: Items<'_, &[u8]>) -> Result<(), EffectError> {
        self.edit::<List>(key, Absent::Create, |list| {
            match side {
                Side::Head => ticking(values.iter()).for_each(|value| list.push_head(value)),
                Side::Tail => ticking(values.iter()).for_each(|value| list.push_tail(value)),
            }
            Ok(())
        })
    }

    fn set_add(&mut self, key: &[u8], members: Items<'_, &[u8]>) -> Result<(), EffectError> {
        self.edit::<SetTable>(key, Absent::Create, |mut set| {
            ticking(members.iter()).for_each(|member| set.add(member));
            Ok(())
        })
    }

    fn zset_add(&mut self, key: &[u8], members: Items<'_, (f64, &[u8])>) -> Result<(), EffectError> {
        self.edit::<ZsetTable>(key, Absent::Create, |mut zset| {
            ticking(members.iter()).for_each(|(score, member)| zset.set(score, member));
            Ok(())
        })
    }

    /// Changes the value of a key, which must be of type `V`; removes the key if nothing is left in it.
    fn edit<V: Typed>(
        &mut self,
        key: &[u8],
        absent: Absent,
        change: impl FnOnce(V::Mut<'_>) -> Result<(), EffectError>,
    ) -> Result<(), EffectError> {
        let place = match self.find(key) {
            Some(place) => place,
            None if absent == Absent::Ignore => return Ok(()),
            None => self.insert_empty(key, V::KIND),
        };
        self.change(place, |entry| match V::of(entry) {
            Ok(typed) => change(typed),
            Err(found) => Err(wrong_kind(key, V::KIND, found)),
        })?;
        self.remove_if_empty(place);
        Ok(())
    }

    fn remove_if_empty(&mut self, place: Place) {
        if self.at(place).value().is_empty_collection() {
            self.remove(place);
        }
    }
}

fn wrong_kind(key: &[u8], expected: Kind, found: Kind) -> EffectError {
    EffectError::WrongKind { key: String::from_utf8_lossy(key).into_owned(), expected, found }
}

/// The Rust types of the kinds of collections.
trait Typed {
    const KIND: Kind;
    /// What changes it.
    type Mut<'a>;
    /// # Errors
    /// It is of this kind.
    fn of(entry: &mut Entry) -> Result<Self::Mut<'_>, Kind>;
}

impl Typed for HashTable {
    const KIND: Kind = Kind::Hash;
    type Mut<'a> = HashMut<'a>;
    fn of(entry: &mut Entry) -> Result<HashMut<'_>, Kind> {
        entry.hash_mut()
    }
}

impl Typed for SetTable {
    const KIND: Kind = Kind::Set;
    type Mut<'a> = SetMut<'a>;
    fn of(entry: &mut Entry) -> Result<SetMut<'_>, Kind> {
        entry.set_mut()
    }
}

impl Typed for ZsetTable {
    const KIND: Kind = Kind::Zset;
    type Mut<'a> = ZsetMut<'a>;
    fn of(entry: &mut Entry) -> Result<ZsetMut<'_>, Kind> {
        entry.zset_mut()
    }
}

macro_rules! typed {
    ($($kind:ident),*) => {$(
        impl Typed for $kind {
            const KIND: Kind = Kind::$kind;
            type Mut<'a> = &'a mut $kind;
            fn of(entry: &mut Entry) -> Result<&mut Self, Kind> {
                match entry.held_mut()? {
                    Held::$kind(typed) => Ok(typed),
                    other => Err(other.view().kind()),
                }
            }
        }
    )*};
}
typed!(List, Stream);
