//! `WATCH`: which keys each session watches, and whether one of them has changed since (docs/adr/0039).
//!
//! ```text
//!  WATCH k ──► Watch ──┐                        ┌── what was written: the node tells of each key
//!                      ├──► Watches, by key ◄───┤
//!  EXEC ◄── disturbed ─┘                        └── nothing, while nobody watches
//! ```
//!
//! *Invariant:* a key is in the book exactly while a session watches it: whoever drops its [`Watch`], or is dropped with it, is out.
//! *Invariant:* what a session watches has a bound, [`WATCHED_BYTES_MAX`].

use crate::site::{Looked, Site};
use ironcache_types::Epoch;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What one client may watch, with what each key costs to keep. Larger, and a few clients take what datasets need; smaller,
/// and somebody's transaction might not fit: this is 20,000 keys of 50 bytes.
pub const WATCHED_BYTES_MAX: usize = 4 << 20;
/// What a watched key costs besides its bytes: the key in the book and in the session, and who watches it.
const WATCHED_KEY_BYTES: usize = 160;

/// Who watches what, of all sessions of a node. Clones share it.
#[derive(Clone, Default)]
pub struct Watches(Rc<RefCell<BTreeMap<Rc<[u8]>, Watched>>>);

struct Watched {
    /// Does the key exist? `FLUSHALL` disturbs those that do.
    exists: bool,
    /// By session.
    by: Vec<Watcher>,
}

impl Watched {
    /// Where a session is in `by`, or would be.
    fn find(&self, session: u64) -> Result<usize, usize> {
        self.by.binary_search_by_key(&session, |watcher| watcher.session)
    }
}

struct Watcher {
    session: u64,
    disturbed: Rc<Cell<bool>>,
    /// The key had expired when it was watched, and was not deleted yet: to the client it was absent, and when it is deleted
    /// that changes nothing.
    expired: bool,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It holds something else, or for another time.
    Written,
    /// It is gone.
    Deleted,
}

impl Watches {
    /// Is anything to be told of?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// A key has changed. `exists`: whether it does afterwards, when all that was executed with it is done.
    pub fn changed(&self, key: &[u8], change: Change, exists: impl FnOnce() -> bool) {
        let mut keys = self.0.borrow_mut();
        let Some(watched) = keys.get_mut(key) else { return };
        watched.exists = exists();
        for watcher in &mut watched.by {
            let was_expired = std::mem::take(&mut watcher.expired);
            if !(was_expired && change == Change::Deleted) {
                watcher.disturbed.set(true);
            }
        }
    }

    /// All keys are gone. `exists`: whether one does afterwards, when all that was executed with it is done.
    pub fn cleared(&self, exists: impl Fn(&[u8]) -> bool) {
        for (key, watched) in self.0.borrow_mut().iter_mut() {
            if std::mem::replace(&mut watched.exists, exists(key)) {
                for watcher in &mut watched.by {
                    if !std::mem::take(&mut watcher.expired) {
                        watcher.disturbed.set(true);
                    }
                }
            }
        }
    }

    fn forget(&self, session: u64, key: &[u8]) {
        let mut keys = self.0.borrow_mut();
        let Some(watched) = keys.get_mut(key) else { return };
        if let Ok(at) = watched.find(session) {
            watched.by.remove(at);
        }
        if watched.by.is_empty() {
            keys.remove(key);
        }
    }
}

/// What one session watches.
pub(crate) struct Watch {
    session: u64,
    book: Watches,
    keys: Vec<Rc<[u8]>>,
    /// What they take.
    bytes: usize,
    /// The ownership epoch in which the first of them was watched. What happened in another one was told to nobody here.
    epoch: Option<Epoch>,
    disturbed: Rc<Cell<bool>>,
}

/// It would be more than a client may watch: the key that is too much, and those after it, are not.
#[derive(Debug)]
pub(crate) struct TooMuch;

impl Watch {
    pub(crate) fn new(session: u64, site: &impl Site) -> Self {
        let (book, epoch) = (site.watches().clone(), site.epoch());
        Self { session, book, keys: Vec::new(), bytes: 0, epoch, disturbed: Rc::default() }
    }

    /// The first look at a key counts: what was written since is what it is watched for.
    pub(crate) fn add(&mut self, added: &[&[u8]], site: &impl Site) -> Result<(), TooMuch> {
        let mut keys = self.book.0.borrow_mut();
        for key in added {
            if keys.get(*key).is_some_and(|watched| watched.find(self.session).is_ok()) {
                continue;
            }
            let bytes = self.bytes.saturating_add(key.len() + WATCHED_KEY_BYTES);
            if bytes > WATCHED_BYTES_MAX {
                return Err(TooMuch);
            }
            let looked = site.look(key);
            let key = keys.get_key_value(*key).map_or_else(|| Rc::from(*key), |(key, _)| Rc::clone(key));
            let unwatched = || Watched { exists: looked != Looked::Absent, by: Vec::with_capacity(1) };
            let watched = keys.entry(Rc::clone(&key)).or_insert_with(unwatched);
            let (session, disturbed) = (self.session, Rc::clone(&self.disturbed));
            let watcher = Watcher { session, disturbed, expired: looked == Looked::Expired };
            let (Ok(at) | Err(at)) = watched.find(session);
            watched.by.insert(at, watcher);
            self.bytes = bytes;
            self.keys.push(key);
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Has anything that it watches changed? As in Redis, a key that has expired since has, also while it is not deleted.
    pub(crate) fn is_disturbed(&self, site: &impl Site) -> bool {
        self.epoch != site.epoch() || self.disturbed.get() || self.has_expired(site)
    }

    fn has_expired(&self, site: &impl Site) -> bool {
        let keys = self.book.0.borrow();
        let was_expired = |key: &Rc<[u8]>| {
            let of_mine =
                |watched: &Watched| watched.find(self.session).is_ok_and(|at| watched.by[at].expired);
            keys.get(key).is_some_and(of_mine)
        };
        self.keys.iter().any(|key| site.look(key) == Looked::Expired && !was_expired(key))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for key in &self.keys {
            self.book.forget(self.session, key);
        }
    }
}
