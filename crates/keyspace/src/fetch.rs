//! Brings into the processor's caches what the next commands will read.
//!
//! ```text
//!  slot ─► cell of the index ─► entry ─► key, value        each step is a cache miss, and waits for the one before it
//!  a     b     c     d                                     of several keys they need not wait for each other
//! ```
//!
//! One command after the other pays the misses of each in turn. Step by step for all keys together the processor has them
//! under way at the same time.
//!
//! *Invariant:* nothing is changed, and nothing answered: a wrong guess costs time and is otherwise unseen.

use crate::hash::table_hash;
use crate::keyspace::Keyspace;
use ironcache_types::key_slot;
use std::hint::black_box;

/// Keys at a time. Fewer, and misses wait for each other; more, and the first are out of the smallest cache again before they
/// are asked for.
pub const FETCHED_KEYS: usize = 16;

impl Keyspace {
    /// Fetches up to [`FETCHED_KEYS`] keys; answers how many those were.
    pub fn fetch<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> usize {
        let mut homes = [(0, 0); FETCHED_KEYS];
        let mut count = 0;
        for (home, key) in homes.iter_mut().zip(keys) {
            *home = (key_slot(key).0, table_hash(key));
            count += 1;
        }
        let homes = &homes[..count];
        let mut entries = [None; FETCHED_KEYS];
        for (entry, &(slot, hash)) in entries.iter_mut().zip(homes) {
            *entry = self.slot(slot).guess(hash);
        }
        let mut read = 0;
        for (&(slot, _), at) in homes.iter().zip(entries) {
            if let Some(entry) = at.and_then(|at| self.slot(slot).as_slice().get(at)) {
                read += entry.key().first().map_or(0, |&byte| usize::from(byte)) + entry.value().touch();
            }
        }
        black_box(read);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{Effect, SetExpiry};
    use crate::effects::Effects;
    use ironcache_types::Level;

    fn record(keyspace: &mut Keyspace, key: &str) {
        let set = Effect::SetString { key: key.as_bytes(), value: b"value", expiry: SetExpiry::Never };
        Effects::at(Level::FIRST).record(keyspace, &set);
    }

    #[test]
    fn a_fetch_takes_as_many_keys_as_fit_and_changes_nothing() {
        let mut keyspace = Keyspace::new();
        let names: Vec<String> = (0..40).map(|i| format!("{{tag}}{i}")).collect();
        for name in &names {
            record(&mut keyspace, name);
        }
        let before = (keyspace.len(), keyspace.used_bytes());
        assert_eq!(keyspace.fetch(names.iter().map(String::as_bytes)), FETCHED_KEYS);
        assert_eq!(keyspace.fetch([&b"absent"[..], b"{tag}1", b""].into_iter()), 3);
        assert_eq!((keyspace.len(), keyspace.used_bytes()), before);
    }

    #[test]
    fn a_guess_is_the_key_where_no_other_has_its_hash() {
        let mut keyspace = Keyspace::new();
        for i in 0..1000 {
            record(&mut keyspace, &format!("{{tag}}{i}"));
        }
        let guessed = |key: &[u8]| {
            let slot = keyspace.slot(key_slot(key).0);
            slot.guess(table_hash(key)).is_some_and(|at| slot.as_slice()[at].key() == key)
        };
        let hits = (0..1000).filter(|i| guessed(format!("{{tag}}{i}").as_bytes())).count();
        // One in a hundred and thirty is behind another that shares its 16 bits of hash.
        assert!(hits > 970, "{hits} of 1000");
    }
}
