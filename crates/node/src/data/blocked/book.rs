//! Who waits for which keys, and which keys became ready.
//!
//! *Invariant:* of those who wait for a key, who came first is first; it keeps its place for as long as it waits.
//! *Invariant:* a key is in the book exactly while somebody waits for it: as large as what those who wait have named.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::Rc;

/// A place in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// `W` is what is kept of who waits.
pub(crate) struct Book<W> {
    next: u64,
    waiting: BTreeMap<Ticket, Waiting<W>>,
    by_key: BTreeMap<Rc<[u8]>, BTreeSet<Ticket>>,
    /// In the order in which they became it.
    ready: VecDeque<Rc<[u8]>>,
    is_ready: BTreeSet<Rc<[u8]>>,
}

struct Waiting<W> {
    keys: Vec<Rc<[u8]>>,
    who: W,
}

impl<W> Default for Book<W> {
    fn default() -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            by_key: BTreeMap::new(),
            ready: VecDeque::new(),
            is_ready: BTreeSet::new(),
        }
    }
}

impl<W> Book<W> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Behind all who wait for any of these keys.
    pub(crate) fn wait<'a>(&mut self, keys: impl IntoIterator<Item = &'a [u8]>, who: W) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let mut all = Vec::new();
        for key in keys {
            let key = self.by_key.get_key_value(key).map_or_else(|| Rc::from(key), |(key, _)| Rc::clone(key));
            if self.by_key.entry(Rc::clone(&key)).or_default().insert(ticket) {
                all.push(key);
            }
        }
        self.waiting.insert(ticket, Waiting { keys: all, who });
        ticket
    }

    /// It waits no more.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<W> {
        let Waiting { keys, who } = self.waiting.remove(&ticket)?;
        for key in keys {
            let Some(tickets) = self.by_key.get_mut(&key) else { continue };
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.by_key.remove(&key);
            }
        }
        Some(who)
    }

    pub(crate) fn get(&self, ticket: Ticket) -> Option<&W> {
        self.waiting.get(&ticket).map(|waiting| &waiting.who)
    }

    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut W> {
        self.waiting.get_mut(&ticket).map(|waiting| &mut waiting.who)
    }

    /// Something was written to a key: it is to be looked at, if anybody waits for it.
    pub(crate) fn written(&mut self, key: &[u8]) {
        if let Some((key, _)) = self.by_key.get_key_value(key)
            && self.is_ready.insert(Rc::clone(key))
        {
            self.ready.push_back(Rc::clone(key));
        }
    }

    /// The same of every key that anybody waits for.
    pub(crate) fn all_written(&mut self) {
        let keys: Vec<Rc<[u8]>> = self.by_key.keys().map(Rc::clone).collect();
        keys.iter().for_each(|key| self.written(key));
    }

    /// The same of all that it waits for, in the order in which it named them.
    pub(crate) fn look_at_all(&mut self, ticket: Ticket) {
        let keys = self.waiting.get(&ticket).map(|waiting| waiting.keys.clone());
        keys.into_iter().flatten().for_each(|key| self.written(&key));
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the key that became ready first.
    pub(crate) fn next_ready(&mut self) -> Option<Rc<[u8]>> {
        let key = self.ready.pop_front()?;
        self.is_ready.remove(&key);
        Some(key)
    }

    /// Who waits for a key, and came first of all who came after another one.
    pub(crate) fn first_after(&self, key: &[u8], after: Option<Ticket>) -> Option<Ticket> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_key.get(key)?.range((from, Bound::Unbounded)).next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(book: &Book<&'static str>, key: &[u8]) -> Vec<&'static str> {
        let mut after = None;
        let next = || {
            after = book.first_after(key, after);
            after.and_then(|ticket| book.get(ticket)).copied()
        };
        std::iter::from_fn(next).collect()
    }

    fn ready(book: &mut Book<&'static str>) -> Vec<String> {
        let next = || book.next_ready().map(|key| String::from_utf8_lossy(&key).into_owned());
        std::iter::from_fn(next).collect()
    }

    fn keys(text: &'static str) -> impl Iterator<Item = &'static [u8]> {
        text.split(' ').map(str::as_bytes)
    }

    #[test]
    fn who_came_first_is_first_at_each_key() {
        let mut book = Book::default();
        book.wait(keys("a b"), "one");
        let two = book.wait(keys("b"), "two");
        book.wait(keys("b a"), "three");
        assert_eq!(names(&book, b"a"), ["one", "three"]);
        assert_eq!(names(&book, b"b"), ["one", "two", "three"]);
        book.leave(two);
        book.wait(keys("b"), "two");
        assert_eq!(names(&book, b"b"), ["one", "three", "two"], "who comes again comes last");
        assert_eq!(names(&book, b"c"), Vec::<&str>::new());
    }

    #[test]
    fn who_leaves_leaves_nothing_behind() {
        let mut book = Book::default();
        let tickets = [book.wait(keys("a b a"), "one"), book.wait(keys("b"), "two")];
        for ticket in tickets {
            assert!(book.leave(ticket).is_some());
            assert!(book.leave(ticket).is_none());
        }
        assert!(book.is_empty() && book.by_key.is_empty());
        book.written(b"a");
        assert!(!book.has_ready());
    }

    #[test]
    fn keys_are_ready_once_and_in_the_order_in_which_they_became_it() {
        let mut book = Book::default();
        book.wait(keys("a b"), "one");
        for key in ["b", "nobody", "a", "b"] {
            book.written(key.as_bytes());
        }
        assert_eq!(ready(&mut book), ["b", "a"]);
        book.written(b"b");
        assert_eq!(ready(&mut book), ["b"], "it may become ready again");
    }

    #[test]
    fn all_that_one_waits_for_is_looked_at_in_its_order() {
        let mut book = Book::default();
        let ticket = book.wait(keys("b a b"), "one");
        book.look_at_all(ticket);
        assert_eq!(ready(&mut book), ["b", "a"]);
    }
}
