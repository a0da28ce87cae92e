//! A key and what it holds.
//!
//! ```text
//!   packed   ──► [ head | key | content ]                     a short string, a small hash, set or sorted set
//!   apart    ──► [ key, value, deadline, access ] ──► …       anything else
//! ```
//! *Invariant:* 16 bytes, whichever it is: a slot's table holds one for each of its keys.
//! *Invariant:* what does not fit into a block any more is apart from then on, though it may fit again. Nothing that can be
//! observed depends on it, but for the bytes that it takes.

use crate::block::block_bytes;
use crate::dict::Keyed;
use crate::fields::{Hash, HashTable};
use crate::members::{Set, SetTable};
use crate::packed::{Kept, Packed};
use crate::run::{self, Run};
use crate::small;
use crate::value::{Held, Kind, Value};
use crate::zset::{Zset, ZsetTable};
use std::cell::Cell;

/// `Apart::expire_at_ms` of a key that does not expire; no effect carries it as a moment.
const NEVER: u64 = u64::MAX;

/// A key and what it holds.
pub struct Entry(Form);

enum Form {
    Packed(Box<Packed>),
    Apart(Box<Apart>),
}

struct Apart {
    key: Box<[u8]>,
    held: Held,
    expire_at_ms: u64,
    access: Cell<u32>,
}

/// More than fits into a block.
static ZEROS: [u8; 1024] = [0; 1024];

const _: () = assert!(size_of::<Entry>() == 16);

impl Entry {
    #[inline]
    pub fn key(&self) -> &[u8] {
        match &self.0 {
            Form::Packed(packed) => packed.key(),
            Form::Apart(apart) => &apart.key,
        }
    }

    #[inline]
    pub fn value(&self) -> Value<'_> {
        match &self.0 {
            Form::Packed(packed) => match packed.kept() {
                Kept::String => Value::String(packed.content()),
                Kept::Hash => Value::Hash(Hash::packed(Run(packed.content()))),
                Kept::Set => Value::Set(Set::packed(Run(packed.content()))),
                Kept::Zset => Value::Zset(Zset::packed(Run(packed.content()))),
            },
            Form::Apart(apart) => apart.held.view(),
        }
    }

    /// Unix time in ms.
    #[inline]
    pub fn expire_at_ms(&self) -> Option<u64> {
        match &self.0 {
            Form::Packed(packed) => packed.expire_at_ms(),
            Form::Apart(apart) => (apart.expire_at_ms != NEVER).then_some(apart.expire_at_ms),
        }
    }

    /// Whether the key reads as absent at `now_ms`.
    #[inline]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expire_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// As an [`AccessClock`](crate::AccessClock) reads it.
    #[inline]
    pub fn access(&self) -> u32 {
        match &self.0 {
            Form::Packed(packed) => packed.access(),
            Form::Apart(apart) => apart.access.get(),
        }
    }

    #[inline]
    pub(crate) fn set_access(&self, access: u32) {
        match &self.0 {
            Form::Packed(packed) => packed.set_access(access),
            Form::Apart(apart) => apart.access.set(access),
        }
    }

    /// Bytes for this key, with its share of the tables. O(1), whatever it holds.
    pub fn used_bytes(&self) -> usize {
        const INDEX_SHARE: usize = 6;
        size_of::<Entry>() + INDEX_SHARE + self.heap_bytes()
    }

    /// Of its own blocks.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => packed.block_bytes(),
            Form::Apart(apart) => apart.own_bytes() + apart.held.heap_bytes(),
        }
    }

    pub(crate) fn recount_bytes(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => packed.block_bytes(),
            Form::Apart(apart) => apart.own_bytes() + apart.held.recount_bytes(),
        }
    }

    /// How many things of their own go with it: what it costs to delete it.
    pub(crate) fn elements(&self) -> usize {
        match &self.0 {
            Form::Packed(_) => 1,
            Form::Apart(apart) => apart.held.view().elements(),
        }
    }

    /// A string that does not expire.
    #[inline]
    pub(crate) fn string(key: &[u8], value: &[u8], access: u32) -> Self {
        match Packed::new(key, Kept::String, value, access) {
            Some(packed) => Entry(Form::Packed(packed)),
            None => Entry::apart(key, Held::String(value.to_vec()), access),
        }
    }

    /// A value that has nothing in it yet; it does not expire.
    pub(crate) fn empty(key: &[u8], kind: Kind, access: u32) -> Self {
        let packed = match kind {
            Kind::Hash => Packed::new(key, Kept::Hash, run::EMPTY, access),
            Kind::Set => Packed::new(key, Kept::Set, run::EMPTY, access),
            Kind::Zset => Packed::new(key, Kept::Zset, run::EMPTY, access),
            Kind::String | Kind::List | Kind::Stream => None,
        };
        match packed {
            Some(packed) => Entry(Form::Packed(packed)),
            None => Entry::apart(key, Held::empty(kind), access),
        }
    }

    /// Of whatever value; it does not expire.
    pub(crate) fn apart(key: &[u8], held: Held, access: u32) -> Self {
        Entry(Form::Apart(Box::new(Apart {
            key: key.into(),
            held,
            expire_at_ms: NEVER,
            access: Cell::new(access),
        })))
    }

    /// The same value under another key.
    pub(crate) fn renamed(mut self, key: &[u8]) -> Self {
        if let Form::Packed(packed) = &self.0
            && let Some(mut other) = Packed::new(key, packed.kept(), packed.content(), packed.access())
            && other.set_expire_at_ms(packed.expire_at_ms())
        {
            return Entry(Form::Packed(other));
        }
        self.unpack().key = key.into();
        self
    }

    pub(crate) fn set_expire_at_ms(&mut self, at_ms: Option<u64>) {
        if let Form::Packed(packed) = &mut self.0
            && packed.set_expire_at_ms(at_ms)
        {
            return;
        }
        self.unpack().expire_at_ms = at_ms.unwrap_or(NEVER);
    }

    /// Sees to it that it is apart.
    fn unpack(&mut self) -> &mut Apart {
        if let Form::Packed(packed) = &self.0 {
            let held = match self.value() {
                Value::Hash(hash) => Held::Hash(Box::new(hash.to_table())),
                Value::Set(set) => Held::Set(Box::new(set.to_table())),
                Value::Zset(zset) => Held::Zset(Box::new(zset.to_table())),
                _ => Held::String(packed.content().to_vec()),
            };
            let expire_at_ms = packed.expire_at_ms().unwrap_or(NEVER);
            let access = Cell::new(packed.access());
            self.0 = Form::Apart(Box::new(Apart { key: packed.key().into(), held, expire_at_ms, access }));
        }
        match &mut self.0 {
            Form::Apart(apart) => apart,
            Form::Packed(_) => unreachable!("it was just unpacked"),
        }
    }

    /// Replaces the value, whatever it is, by a string.
    pub(crate) fn set_string(&mut self, value: &[u8]) {
        match &mut self.0 {
            Form::Packed(packed) => {
                if Packed::replace(packed, Kept::String, value) {
                    return;
                }
            }
            Form::Apart(apart) => {
                if let Held::String(text) = &mut apart.held
                    // The buffer is used again unless most of it would lie idle.
                    && text.capacity() / 2 <= value.len()
                {
                    text.clear();
                    return text.extend_from_slice(value);
                }
            }
        }
        let expire_at_ms = self.expire_at_ms();
        *self = Entry::string(self.key(), value, self.access());
        self.set_expire_at_ms(expire_at_ms);
    }

    /// Overwrites a string from `start` on; zeros fill what is between its end and that.
    ///
    /// # Errors
    /// It is no string, but of this kind.
    pub(crate) fn set_range(&mut self, start: usize, value: &[u8]) -> Result<(), Kind> {
        let Value::String(text) = self.value() else { return Err(self.value().kind()) };
        let (len, end) = (text.len(), start + value.len());
        let from = start.min(len);
        if let Form::Packed(packed) = &mut self.0
            && let Some(gap) = ZEROS.get(..start - from)
            && Packed::splice(packed, from..end.clamp(from, len), &[gap, value])
        {
            return Ok(());
        }
        let Held::String(text) = &mut self.unpack().held else { unreachable!("it is a string") };
        if text.len() < end {
            text.resize(end, 0);
        }
        text[start..end].copy_from_slice(value);
        Ok(())
    }

    /// Its hash, to be changed.
    ///
    /// # Errors
    /// It is of this kind.
    pub(crate) fn hash_mut(&mut self) -> Result<HashMut<'_>, Kind> {
        match self.value() {
            Value::Hash(_) => Ok(HashMut(self)),
            other => Err(other.kind()),
        }
    }

    /// Its set, to be changed.
    ///
    /// # Errors
    /// It is of this kind.
    pub(crate) fn set_mut(&mut self) -> Result<SetMut<'_>, Kind> {
        match self.value() {
            Value::Set(_) => Ok(SetMut(self)),
            other => Err(other.kind()),
        }
    }

    /// Its sorted set, to be changed.
    ///
    /// # Errors
    /// It is of this kind.
    pub(crate) fn zset_mut(&mut self) -> Result<ZsetMut<'_>, Kind> {
        match self.value() {
            Value::Zset(_) => Ok(ZsetMut(self)),
            other => Err(other.kind()),
        }
    }

    /// What is never packed, to be changed.
    ///
    /// # Errors
    /// It is packed, and so of this kind.
    pub(crate) fn held_mut(&mut self) -> Result<&mut Held, Kind> {
        if let Form::Packed(_) = self.0 {
            return Err(self.value().kind());
        }
        Ok(&mut self.unpack().held)
    }
}

/// A hash that changes. It becomes a table when it is small no more.
pub(crate) struct HashMut<'a>(&'a mut Entry);

impl HashMut<'_> {
    pub(crate) fn set(&mut self, name: &[u8], value: &[u8]) {
        if let Form::Packed(packed) = &mut self.0.0
            && small::set_field(packed, name, value)
        {
            return;
        }
        self.table().set(name, value);
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        match &mut self.0.0 {
            Form::Packed(packed) => small::remove_field(packed, name),
            Form::Apart(_) => self.table().remove(name),
        }
    }

    fn table(&mut self) -> &mut HashTable {
        match &mut self.0.unpack().held {
            Held::Hash(table) => table,
            _ => unreachable!("it is a hash"),
        }
    }
}

/// A set that changes, in the same way.
pub(crate) struct SetMut<'a>(&'a mut Entry);

impl SetMut<'_> {
    pub(crate) fn add(&mut self, member: &[u8]) {
        if let Form::Packed(packed) = &mut self.0.0
            && small::add_member(packed, member)
        {
            return;
        }
        self.table().add(member);
    }

    pub(crate) fn remove(&mut self, member: &[u8]) {
        match &mut self.0.0 {
            Form::Packed(packed) => small::remove_member(packed, member),
            Form::Apart(_) => self.table().remove(member),
        }
    }

    fn table(&mut self) -> &mut SetTable {
        match &mut self.0.unpack().held {
            Held::Set(table) => table,
            _ => unreachable!("it is a set"),
        }
    }
}

/// A sorted set that changes, in the same way.
pub(crate) struct ZsetMut<'a>(&'a mut Entry);

impl ZsetMut<'_> {
    pub(crate) fn set(&mut self, score: f64, member: &[u8]) {
        if let Form::Packed(packed) = &mut self.0.0
            && small::set_score(packed, score, member)
        {
            return;
        }
        self.table().set(score, member);
    }

    pub(crate) fn remove(&mut self, member: &[u8]) {
        match &mut self.0.0 {
            Form::Packed(packed) => small::remove_scored(packed, member),
            Form::Apart(_) => self.table().remove(member),
        }
    }

    fn table(&mut self) -> &mut ZsetTable {
        match &mut self.0.unpack().held {
            Held::Zset(table) => table,
            _ => unreachable!("it is a sorted set"),
        }
    }
}

impl Keyed for Entry {
    /// A slot's keys are indexed from the second on: comparing keys costs a cache miss each.
    const INDEX_ABOVE: usize = 1;
    #[inline]
    fn key(&self) -> &[u8] {
        self.key()
    }
}

impl Apart {
    /// Of its block and its key's.
    fn own_bytes(&self) -> usize {
        block_bytes(size_of::<Apart>()) + block_bytes(self.key.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zset::Ranked;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn text(entry: &Entry) -> &[u8] {
        let Value::String(text) = entry.value() else { panic!("a string") };
        text
    }

    proptest! {
        /// Lengths around those at which a string gets another block, or blocks of its own.
        #[test]
        fn a_string_is_what_was_written_into_it_whatever_its_form(
            key in prop::collection::vec(any::<u8>(), 0..300),
            steps in prop::collection::vec((0usize..1200, 0usize..300, any::<u8>(), 0u8..4), 1..40),
        ) {
            let (mut entry, mut model) = (Entry::string(&key, b"", 3), Vec::<u8>::new());
            let mut expire_at_ms = None;
            for (start, len, byte, kind) in steps {
                let value = vec![byte; len];
                match kind {
                    0 => {
                        entry.set_string(&value);
                        model = value;
                    }
                    1 => {
                        let start = start.min(model.len() + 9);
                        model.resize(model.len().max(start + len), 0);
                        model[start..start + len].copy_from_slice(&value);
                        entry.set_range(start, &value).expect("a string");
                    }
                    2 => {
                        expire_at_ms = [None, Some(len as u64), Some(1 << 47), Some(1 << 50)][start % 4];
                        entry.set_expire_at_ms(expire_at_ms);
                    }
                    _ => {
                        entry = entry.renamed(&value).renamed(&key);
                    }
                }
                prop_assert_eq!(text(&entry), &model[..]);
                prop_assert_eq!((entry.key(), entry.access()), (&key[..], 3));
                prop_assert_eq!(entry.expire_at_ms(), expire_at_ms);
                prop_assert_eq!(entry.heap_bytes(), entry.recount_bytes());
            }
        }
    }

    proptest! {
        /// Names that are few and values of any length, so that fields are replaced, and blocks outgrown.
        #[test]
        fn hashes_and_sets_are_what_was_put_into_them_whatever_their_form(
            key in prop::collection::vec(any::<u8>(), 0..260),
            steps in prop::collection::vec((0u16..150, 0usize..80, 0u8..5), 1..400),
            longest in 0usize..80,
        ) {
            let mut hash = Entry::empty(&key, Kind::Hash, 3);
            let mut set = Entry::empty(&key, Kind::Set, 3);
            let (mut pairs, mut names) = (Vec::<(Vec<u8>, Vec<u8>)>::new(), BTreeSet::new());
            for (name, len, kind) in steps {
                let (name, value) = (name.to_string().into_bytes(), vec![kind; len.min(longest)]);
                let at = pairs.iter().position(|(known, _)| *known == name);
                if kind == 0 {
                    hash.hash_mut().expect("a hash").remove(&name);
                    set.set_mut().expect("a set").remove(&name);
                    names.remove(&name);
                    at.map(|at| pairs.remove(at));
                } else {
                    hash.hash_mut().expect("a hash").set(&name, &value);
                    set.set_mut().expect("a set").add(&name);
                    names.insert(name.clone());
                    match at {
                        Some(at) => pairs[at].1 = value,
                        None => pairs.push((name, value)),
                    }
                }
                let (Value::Hash(fields), Value::Set(members)) = (hash.value(), set.value()) else {
                    panic!("a hash and a set")
                };
                prop_assert_eq!((fields.len(), members.len()), (pairs.len(), names.len()));
                for (at, (name, value)) in pairs.iter().enumerate() {
                    prop_assert_eq!(fields.get(name), Some(&value[..]));
                    prop_assert!(members.contains(name));
                    if matches!(hash.0, Form::Packed(_)) {
                        prop_assert_eq!(fields.nth(at), Some((&name[..], &value[..])), "in the order in which they came");
                    }
                }
                prop_assert_eq!((fields.get(b"none"), members.contains(b"none")), (None, false));
                let met: BTreeSet<_> = members.iter().map(<[u8]>::to_vec).collect();
                prop_assert_eq!(&met, &names);
                prop_assert_eq!(fields.iter().count(), pairs.len());
                for entry in [&hash, &set] {
                    prop_assert_eq!((entry.key(), entry.access()), (&key[..], 3));
                    prop_assert_eq!(entry.heap_bytes(), entry.recount_bytes());
                }
            }
        }
    }

    proptest! {
        /// Against a table, whose order is held against a sorted list.
        #[test]
        fn sorted_sets_are_what_was_put_into_them_whatever_their_form(
            key in prop::collection::vec(any::<u8>(), 0..260),
            steps in prop::collection::vec((0u16..150, -3i16..9, 0u8..5), 1..400),
            long in prop::bool::weighted(0.3),
        ) {
            let (mut entry, mut table) = (Entry::empty(&key, Kind::Zset, 3), ZsetTable::default());
            for (name, score, kind) in steps {
                let member = if long { format!("a rather long name of {name}") } else { name.to_string() };
                let member = member.as_bytes();
                let score = f64::from(score) * [1.0, 1.0, 0.3, 1e4, 1e9][usize::from(kind)];
                if kind == 0 {
                    entry.zset_mut().expect("a sorted set").remove(member);
                    table.remove(member);
                } else {
                    entry.zset_mut().expect("a sorted set").set(score, member);
                    table.set(score, member);
                }
                let (Value::Zset(zset), model) = (entry.value(), table.view()) else { panic!("a sorted set") };
                let plain = |ranked: Ranked<'_>| (ranked.score.to_bits(), ranked.member.to_vec());
                prop_assert_eq!((zset.len(), zset.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(zset.ascending(0).map(plain).eq(model.ascending(0).map(plain)));
                let half = zset.len() / 2;
                prop_assert!(zset.ascending(half).map(plain).eq(model.ascending(half).map(plain)));
                prop_assert!(zset.descending(half).map(plain).eq(model.descending(half).map(plain)));
                prop_assert_eq!((zset.rank(member), zset.score(member)), (model.rank(member), model.score(member)));
                prop_assert_eq!(zset.count_before(|s| s.score < 2.0), model.count_before(|s| s.score < 2.0));
                let all: BTreeSet<_> = zset.iter_from(half).chain(zset.iter().take(half)).map(plain).collect();
                prop_assert_eq!(all.len(), zset.len());
                prop_assert_eq!((entry.key(), entry.access()), (&key[..], 3));
                prop_assert_eq!(entry.heap_bytes(), entry.recount_bytes());
            }
        }
    }

    #[test]
    fn a_hash_of_ten_fields_is_one_block_until_it_is_long() {
        let mut entry = Entry::empty(b"user:1000", Kind::Hash, 0);
        let mut hash = entry.hash_mut().expect("a hash");
        (0..10).for_each(|i| hash.set(format!("field:{i}").as_bytes(), b"a value of 20 bytes."));
        assert_eq!(entry.heap_bytes(), 320);
        entry.set_expire_at_ms(Some(1_900_000_000_000));
        assert_eq!(entry.heap_bytes(), 320);
        entry.hash_mut().expect("a hash").set(b"field:3", &[b'x'; 1000]);
        assert!(matches!(entry.0, Form::Apart(_)));
        let Value::Hash(hash) = entry.value() else { panic!("a hash") };
        assert_eq!((hash.len(), hash.get(b"field:3").map(<[u8]>::len)), (10, Some(1000)));
        assert_eq!(
            (entry.expire_at_ms(), hash.nth(9)),
            (Some(1_900_000_000_000), Some((&b"field:9"[..], &b"a value of 20 bytes."[..])))
        );
    }

    #[test]
    fn a_value_that_changes_its_type_is_the_new_one() {
        let mut entry = Entry::empty(b"key", Kind::Set, 0);
        entry.set_mut().expect("a set").add(b"member");
        assert_eq!(entry.hash_mut().err(), Some(Kind::Set));
        assert_eq!((entry.set_range(0, b"x"), entry.held_mut().err()), (Err(Kind::Set), Some(Kind::Set)));
        entry.set_string(b"now a string");
        assert_eq!(text(&entry), b"now a string");
        assert_eq!(entry.set_mut().err(), Some(Kind::String));
    }

    #[test]
    fn a_key_of_16_bytes_and_a_value_of_100_are_one_block_of_128() {
        let mut entry = Entry::string(&[b'k'; 16], &[b'v'; 100], 0);
        entry.set_expire_at_ms(Some(1_900_000_000_000));
        assert_eq!(entry.heap_bytes(), 128);
    }

    #[test]
    fn a_moment_far_away_is_kept_exactly() {
        let mut entry = Entry::string(b"key", b"value", 9);
        entry.set_expire_at_ms(Some(i64::MAX as u64));
        assert_eq!(
            (entry.expire_at_ms(), text(&entry), entry.access()),
            (Some(i64::MAX as u64), &b"value"[..], 9)
        );
        entry.set_string(b"another");
        assert_eq!((entry.expire_at_ms(), text(&entry)), (Some(i64::MAX as u64), &b"another"[..]));
        entry.set_expire_at_ms(None);
        entry.set_string(b"short");
        assert_eq!((entry.expire_at_ms(), text(&entry)), (None, &b"short"[..]));
    }
}
