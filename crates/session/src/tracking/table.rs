//! Which keys were read by whom, of all clients of a node, and who wants to hear of which prefixes.
//!
//! *Invariant:* a client that has its tracking ended is told nothing more; keys that it has read go when they are written, or for
//! want of room.

use super::{Keys, Mode, Notice, Own, Tracking};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

/// What a key costs besides its bytes: its place, and the list of who has read it.
const KEY_BYTES: usize = 128;
const READER_BYTES: usize = size_of::<u64>();
/// What the keys that a table may hold take on average at most. Larger, and long keys, or keys with many readers, take more than
/// anybody expects of a count; smaller, and ordinary keys go before the table is full.
const AVERAGE_BYTES: usize = 256;

#[derive(Default)]
pub struct TrackingTable {
    clients: BTreeMap<u64, Tracker>,
    /// Readers in the order of their numbers. Among them may be some that track nothing any more.
    keys: BTreeMap<Rc<[u8]>, Vec<u64>>,
    prefixes: BTreeMap<Rc<[u8]>, BTreeSet<u64>>,
    /// Of all keys.
    items: usize,
    bytes: usize,
    /// The key that went last for want of room: those after it are next.
    went: Option<Rc<[u8]>>,
}

struct Tracker {
    redirect: u64,
    is_broadcast: bool,
    own: Own,
    broken: Rc<Cell<bool>>,
    prefixes: BTreeSet<Rc<[u8]>>,
}

/// How much is tracked, as `INFO` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackingCounts {
    pub clients: usize,
    pub keys: usize,
    pub items: usize,
    pub prefixes: usize,
}

impl TrackingTable {
    /// Is there anybody to be told?
    #[inline]
    pub fn is_in_use(&self) -> bool {
        !self.clients.is_empty()
    }

    pub fn counts(&self) -> TrackingCounts {
        let Self { clients, keys, prefixes, items, bytes: _, went: _ } = self;
        TrackingCounts { clients: clients.len(), keys: keys.len(), items: *items, prefixes: prefixes.len() }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a client has tracked from here on.
    pub fn set(&mut self, client: u64, tracking: Option<&Tracking>) {
        self.leave_prefixes(client);
        let Some(Tracking { mode, own, redirect, prefixes, broken }) = tracking else {
            self.clients.remove(&client);
            if self.clients.is_empty() {
                *self = Self::default();
            }
            return;
        };
        for prefix in prefixes {
            self.prefixes.entry(Rc::clone(prefix)).or_default().insert(client);
        }
        let tracker = Tracker {
            redirect: *redirect,
            is_broadcast: *mode == Mode::Broadcast,
            own: *own,
            broken: Rc::clone(broken),
            prefixes: prefixes.clone(),
        };
        self.clients.insert(client, tracker);
    }

    fn leave_prefixes(&mut self, client: u64) {
        let Some(tracker) = self.clients.get(&client) else { return };
        for prefix in &tracker.prefixes {
            if let Some(readers) = self.prefixes.get_mut(prefix) {
                readers.remove(&client);
                if readers.is_empty() {
                    self.prefixes.remove(prefix);
                }
            }
        }
    }

    /// A client has read keys; `most` of all of them are kept (0: no bound). Whoever has read one that goes is told.
    pub fn remember<'k>(
        &mut self,
        client: u64,
        read: impl Iterator<Item = &'k [u8]>,
        most: usize,
    ) -> Vec<Notice> {
        for key in read {
            if let Some(readers) = self.keys.get_mut(key) {
                if let Err(at) = readers.binary_search(&client) {
                    readers.insert(at, client);
                    self.items += 1;
                    self.bytes += READER_BYTES;
                }
            } else {
                self.keys.insert(Rc::from(key), vec![client]);
                self.items += 1;
                self.bytes += key.len() + KEY_BYTES + READER_BYTES;
            }
        }
        let mut notices = Vec::new();
        let is_full = |table: &Self| {
            table.keys.len() > most
                || table.bytes > most.saturating_mul(AVERAGE_BYTES) && !table.keys.is_empty()
        };
        while most > 0 && is_full(self) {
            let next = self.went.take().and_then(|went| {
                let after = (Bound::Excluded(went), Bound::Unbounded);
                self.keys.range::<Rc<[u8]>, _>(after).next().map(|(key, _)| Rc::clone(key))
            });
            let Some(next) = next.or_else(|| self.keys.first_key_value().map(|(key, _)| Rc::clone(key)))
            else {
                break;
            };
            self.forget(&next, None, &mut notices);
            self.went = Some(next);
        }
        notices
    }

    /// Keys were changed, by this client if by any.
    pub fn changed<'k>(&mut self, changed: impl Iterator<Item = &'k [u8]>, by: Option<u64>) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut together: BTreeMap<Rc<[u8]>, BTreeSet<Rc<[u8]>>> = BTreeMap::new();
        for key in changed {
            if !self.prefixes.is_empty() {
                for prefix in self.prefixes.keys().filter(|prefix| key.starts_with(prefix)) {
                    together.entry(Rc::clone(prefix)).or_default().insert(Rc::from(key));
                }
            }
            self.forget(key, by, &mut notices);
        }
        for (prefix, keys) in together {
            let keys: Vec<Rc<[u8]>> = keys.into_iter().collect();
            for client in self.prefixes.get(&prefix).into_iter().flatten() {
                let Some(tracker) = self.clients.get(client) else { continue };
                if !tracker.made_it(*client, by) {
                    notices.push(tracker.notice(*client, Keys::These(keys.clone())));
                }
            }
        }
        notices
    }

    fn forget(&mut self, key: &[u8], by: Option<u64>, notices: &mut Vec<Notice>) {
        let Some((key, readers)) = self.keys.remove_entry(key) else { return };
        self.items -= readers.len();
        self.bytes -= key.len() + KEY_BYTES + READER_BYTES * readers.len();
        for client in readers {
            let Some(tracker) = self.clients.get(&client) else { continue };
            if !tracker.is_broadcast && !tracker.made_it(client, by) {
                notices.push(tracker.notice(client, Keys::These(vec![Rc::clone(&key)])));
            }
        }
    }

    /// Nothing of what anybody keeps may be so any longer.
    pub fn all_changed(&mut self) -> Vec<Notice> {
        self.keys.clear();
        (self.items, self.bytes, self.went) = (0, 0, None);
        self.clients.iter().map(|(client, tracker)| tracker.notice(*client, Keys::All)).collect()
    }
}

impl Tracker {
    /// Does it not want to hear of it, since it was its own doing?
    fn made_it(&self, client: u64, by: Option<u64>) -> bool {
        self.own == Own::NotTold && by == Some(client)
    }

    fn notice(&self, client: u64, keys: Keys) -> Notice {
        Notice { client, redirect: self.redirect, broken: Rc::clone(&self.broken), keys }
    }
}
