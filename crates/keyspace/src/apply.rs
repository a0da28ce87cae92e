//! Applying effects: the only way in which a keyspace changes, on primaries and replicas alike.

use crate::effect::{Content, Effect, EffectError, SetExpiry, Side};
use crate::items::Items;
use crate::keyspace::{Keyspace, Place};
use crate::progress::{self, ticking};
use crate::value::{Hash, Kind, List, Set, Value};
use crate::zset::Zset;
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
    /// [`EffectError::WrongKind`] and [`EffectError::IndexOutside`]: the effect is not about this
    /// data. Nothing has changed then.
    pub fn apply(&mut self, effect: &Effect<'_>) -> Result<(), EffectError> {
        match *effect {
            Effect::SetString { key, value, expiry } => self.set_string(key, value, expiry),
            Effect::SetRange { key, offset, value } => {
                return self.edit(key, Absent::Create, |text: &mut Vec<u8>| {
                    let start = offset as usize;
                    let end = start + value.len();
                    if text.len() < end {
                        text.resize(end, 0);
                    }
                    text[start..end].copy_from_slice(value);
                    Ok(())
                });
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
                return self.edit(key, Absent::Ignore, |hash: &mut Hash| {
                    ticking(fields.iter()).for_each(|field| hash.remove(field));
                    Ok(())
                });
            }
            Effect::ListPush { key, side, values } => return self.list_push(key, side, values),
            Effect::ListPop { key, side, count } => {
                return self.edit(key, Absent::Ignore, |list: &mut List| {
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
                return self.edit(key, Absent::Ignore, |list: &mut List| {
                    let len = list.items().len() as u64;
                    if index >= len {
                        return Err(EffectError::IndexOutside { index, len });
                    }
                    list.set(index as usize, value);
                    Ok(())
                });
            }
            Effect::ListInsert { key, index, value } => {
                return self.edit(key, Absent::Ignore, |list: &mut List| {
                    let len = list.items().len() as u64;
                    if index > len {
                        return Err(EffectError::IndexOutside { index, len });
                    }
                    list.insert(index as usize, value);
                    Ok(())
                });
            }
            Effect::ListTrim { key, from, len } => {
                return self.edit(key, Absent::Ignore, |list: &mut List| {
                    let held = list.items().len() as u64;
                    list.trim(from.min(held) as usize, len.min(held) as usize);
                    Ok(())
                });
            }
            Effect::ListRemove { key, count, value } => {
                return self.edit(key, Absent::Ignore, |list: &mut List| {
                    list.remove(count, value);
                    Ok(())
                });
            }
            Effect::SetAdd { key, members } => return self.set_add(key, members),
            Effect::SetRemove { key, members } => {
                return self.edit(key, Absent::Ignore, |set: &mut Set| {
                    ticking(members.iter()).for_each(|member| set.remove(member));
                    Ok(())
                });
            }
            Effect::ZsetAdd { key, members } => return self.zset_add(key, members),
            Effect::ZsetRemove { key, members } => {
                return self.edit(key, Absent::Ignore, |zset: &mut Zset| {
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
                }
                if let Some(place) = self.find(key) {
                    self.set_expiry(place, expire_at_ms);
                }
            }
            Effect::Clear => self.clear(),
        }
        Ok(())
    }

    fn set_string(&mut self, key: &[u8], value: &[u8], expiry: SetExpiry) {
        let place = match self.find(key) {
            None => self.insert(key, Value::String(value.to_vec())),
            Some(place) => {
                self.touch(place);
                self.change(place, |old| match old {
                    // The buffer is used again unless most of it would lie idle.
                    Value::String(text) if text.capacity() / 2 <= value.len() => {
                        text.clear();
                        text.extend_from_slice(value);
                    }
                    other => *other = Value::String(value.to_vec()),
                });
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
        let (expire_at_ms, access) = (self.at(place).expire_at_ms(), self.at(place).access());
        let value = self.remove(place);
        self.delete(to);
        let place = self.insert(to, value);
        self.set_expiry(place, expire_at_ms);
        self.set_access(place, access);
    }

    fn hash_set(&mut self, key: &[u8], fields: Items<'_, [&[u8]; 2]>) -> Result<(), EffectError> {
        self.edit(key, Absent::Create, |hash: &mut Hash| {
            ticking(fields.iter()).for_each(|[field, value]| hash.set(field, value));
            Ok(())
        })
    }

    fn list_push(&mut self, key: &[u8], side: Side, values: Items<'_, &[u8]>) -> Result<(), EffectError> {
        self.edit(key, Absent::Create, |list: &mut List| {
            match side {
                Side::Head => ticking(values.iter()).for_each(|value| list.push_head(value)),
                Side::Tail => ticking(values.iter()).for_each(|value| list.push_tail(value)),
            }
            Ok(())
        })
    }

    fn set_add(&mut self, key: &[u8], members: Items<'_, &[u8]>) -> Result<(), EffectError> {
        self.edit(key, Absent::Create, |set: &mut Set| {
            ticking(members.iter()).for_each(|member| set.add(member));
            Ok(())
        })
    }

    fn zset_add(&mut self, key: &[u8], members: Items<'_, (f64, &[u8])>) -> Result<(), EffectError> {
        self.edit(key, Absent::Create, |zset: &mut Zset| {
            ticking(members.iter()).for_each(|(score, member)| zset.set(score, member));
            Ok(())
        })
    }

    /// Changes the value of a key, which must be of type `V`; removes the key if nothing is left in it.
    fn edit<V: Typed>(
        &mut self,
        key: &[u8],
        absent: Absent,
        change: impl FnOnce(&mut V) -> Result<(), EffectError>,
    ) -> Result<(), EffectError> {
        let place = match self.find(key) {
            Some(place) => place,
            None if absent == Absent::Ignore => return Ok(()),
            None => self.insert(key, Value::empty(V::KIND)),
        };
        self.change(place, |value| match V::of(value) {
            Ok(typed) => change(typed),
            Err(found) => {
                let key = String::from_utf8_lossy(key).into_owned();
                Err(EffectError::WrongKind { key, expected: V::KIND, found })
            }
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

/// The Rust types of the kinds of values.
trait Typed: Sized {
    const KIND: Kind;
    fn of(value: &mut Value) -> Result<&mut Self, Kind>;
}

macro_rules! typed {
    ($($kind:ident: $type:ty),*) => {$(
        impl Typed for $type {
            const KIND: Kind = Kind::$kind;
            fn of(value: &mut Value) -> Result<&mut Self, Kind> {
                match value {
                    Value::$kind(typed) => Ok(typed),
                    other => Err(other.kind()),
                }
            }
        }
    )*};
}
typed!(String: Vec<u8>, Hash: Hash, List: List, Set: Set, Zset: Zset);
