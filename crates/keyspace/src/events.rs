//! What becomes of keys, as clients may be told of it: noted beside the effects of a command, until whoever executes it takes it.
//!
//! *Invariant:* nothing is noted unless somebody wants to be told.

use std::cell::RefCell;

/// A kind of event, by its letter in `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    Generic,
    String,
    List,
    Set,
    Hash,
    Zset,
    Stream,
    Expired,
    Evicted,
    New,
    KeyMiss,
}

impl EventClass {
    pub fn letter(self) -> u8 {
        match self {
            EventClass::Generic => b'g',
            EventClass::String => b'$',
            EventClass::List => b'l',
            EventClass::Set => b's',
            EventClass::Hash => b'h',
            EventClass::Zset => b'z',
            EventClass::Stream => b't',
            EventClass::Expired => b'x',
            EventClass::Evicted => b'e',
            EventClass::New => b'n',
            EventClass::KeyMiss => b'm',
        }
    }
}

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub class: EventClass,
    pub name: &'static str,
    pub key: Box<[u8]>,
}

/// Of one command, in their order.
#[derive(Default)]
pub struct Events {
    wanted: bool,
    /// Keys that are read are noted where nothing is changed.
    noted: RefCell<Noted>,
}

#[derive(Default)]
struct Noted {
    told: Vec<Event>,
    /// Deleted, if nothing takes its place.
    deleted: Option<Box<[u8]>>,
    /// Looked up and not there, if that was a read.
    missed: Vec<Box<[u8]>>,
}

impl Events {
    /// Are they wanted from here on?
    pub fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    #[inline]
    pub fn are_wanted(&self) -> bool {
        self.wanted
    }

    pub fn push(&self, class: EventClass, name: &'static str, key: &[u8]) {
        let mut noted = self.noted.borrow_mut();
        noted.settle();
        noted.told.push(Event { class, name, key: key.into() });
    }

    /// Was this the last that was noted of the command?
    pub fn ends_with(&self, name: &str, key: &[u8]) -> bool {
        let noted = self.noted.borrow();
        noted.deleted.is_none()
            && noted.told.last().is_some_and(|last| last.name == name && *last.key == *key)
    }

    /// A key was deleted: that is told unless what follows [replaces](Self::replaces) it.
    pub fn deleted(&self, key: &[u8]) {
        let mut noted = self.noted.borrow_mut();
        noted.settle();
        noted.deleted = Some(key.into());
    }

    /// Does what comes now take the place of what was deleted just before?
    pub fn replaces(&self, key: &[u8]) -> bool {
        let deleted = &mut self.noted.borrow_mut().deleted;
        let replaces = deleted.as_deref() == Some(key);
        if replaces {
            *deleted = None;
        }
        replaces
    }

    /// A key was looked up, and is not there.
    pub fn missed(&self, key: &[u8]) {
        self.noted.borrow_mut().missed.push(key.into());
    }

    /// What was looked up so far was read.
    pub fn were_read(&self) {
        let missed = std::mem::take(&mut self.noted.borrow_mut().missed);
        missed.iter().for_each(|key| self.push(EventClass::KeyMiss, "keymiss", key));
    }

    /// The command is over.
    pub fn take(&mut self) -> Vec<Event> {
        let noted = self.noted.get_mut();
        noted.settle();
        noted.missed.clear();
        std::mem::take(&mut noted.told)
    }
}

impl Noted {
    fn settle(&mut self) {
        if let Some(key) = self.deleted.take() {
            self.told.push(Event { class: EventClass::Generic, name: "del", key });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(events: &mut Events) -> Vec<String> {
        events
            .take()
            .iter()
            .map(|event| format!("{} {}", event.name, String::from_utf8_lossy(&event.key)))
            .collect()
    }

    #[test]
    fn a_deleted_key_is_told_of_unless_it_is_replaced_at_once() {
        let mut events = Events::default();
        events.deleted(b"a");
        events.deleted(b"b");
        assert!(events.replaces(b"b") && !events.replaces(b"b") && !events.replaces(b"a"));
        events.push(EventClass::Set, "sunionstore", b"b");
        events.deleted(b"c");
        assert_eq!(told(&mut events), ["del a", "sunionstore b", "del c"]);
        assert!(events.take().is_empty());
    }

    #[test]
    fn what_was_missed_is_told_if_it_was_read() {
        let mut events = Events::default();
        events.missed(b"a");
        events.were_read();
        events.missed(b"b");
        assert_eq!(told(&mut events), ["keymiss a"]);
        assert!(events.take().is_empty(), "nothing is left for the next command");
    }
}
