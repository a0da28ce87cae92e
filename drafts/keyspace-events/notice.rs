//! What a command has made of its keys, as Redis' keyspace notifications name it.
//!
//! ```text
//!  Before::look ─► the keys' states ─► execute ─► effects ─► Before::tell ─► (class, event, key) …
//! ```
//! Told is what the effects say, by the command that recorded them: one table of names, and no handler knows of it. Source: the
//! Redis documentation of keyspace notifications, and redis-server 7.0.15.
//!
//! *Invariant:* nothing here changes anything, and nothing here runs unless somebody wants to be told.

use crate::spec::Spec;
use ironcache_keyspace::{Effect, Effects, Keyspace, SetExpiry, Side};
use ironcache_resp::parse_integer;

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
    pub key: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Expired,
    Live,
}

/// A command's keys as they were before it.
pub struct Before<'a> {
    spec: &'static Spec,
    args: &'a [&'a [u8]],
    keys: Vec<(&'a [u8], State)>,
    /// Where its effects begin.
    mark: usize,
}

impl<'a> Before<'a> {
    pub fn look(
        spec: &'static Spec,
        args: &'a [&'a [u8]],
        keyspace: &Keyspace,
        effects: &Effects,
        now_ms: u64,
    ) -> Before<'a> {
        let state = |key: &&[u8]| match keyspace.get(key) {
            None => State::Absent,
            Some(entry) if entry.is_expired(now_ms) => State::Expired,
            Some(_) => State::Live,
        };
        let keys = spec.keys(args).map(|key| (key, state(&key))).collect();
        Before { spec, args, keys, mark: effects.bytes.len() }
    }

    /// In their order.
    pub fn tell(self, keyspace: &Keyspace, effects: &Effects) -> Vec<Event> {
        let mut telling = Telling { before: self, keyspace, events: Vec::new() };
        let effects: Vec<Effect<'_>> = effects.since(telling.before.mark).collect();
        telling.misses(&effects);
        if matches!(telling.before.spec.name, "lmove" | "rpoplpush" | "blmove" | "brpoplpush") {
            // As Redis does: first where it comes to.
            let pushes = |effect: &&Effect<'_>| matches!(effect, Effect::ListPush { .. });
            effects.iter().filter(pushes).for_each(|effect| telling.effect(effect));
            effects.iter().filter(|effect| !pushes(effect)).for_each(|effect| telling.effect(effect));
        } else {
            effects.iter().for_each(|effect| telling.effect(effect));
        }
        if effects.is_empty() {
            telling.without_effect();
        }
        telling.events
    }
}

struct Telling<'a> {
    before: Before<'a>,
    keyspace: &'a Keyspace,
    events: Vec<Event>,
}

impl Telling<'_> {
    fn effect(&mut self, effect: &Effect<'_>) {
        use EventClass::{Generic, Hash, List, Set, Zset};
        let command = self.before.spec.name;
        let Some(key) = effect.key() else { return };
        let known = self.before.keys.iter().find(|(named, _)| *named == key).map(|(_, state)| *state);
        let was_expired = self.expired(key);
        if matches!(effect, Effect::Delete { .. }) && (was_expired || known == Some(State::Absent)) {
            return;
        }
        match *effect {
            Effect::Delete { .. } => self.deleted(key),
            Effect::Rename { key, to } => {
                self.push(EventClass::New, "new", to);
                self.push(Generic, "rename_from", key);
                self.push(Generic, "rename_to", to);
            }
            Effect::SetString { expiry, .. } => {
                let name = match command {
                    "incr" | "decr" | "incrby" | "decrby" => "incrby",
                    "incrbyfloat" | "append" | "setrange" => command,
                    _ => "set",
                };
                self.changed(EventClass::String, name, key);
                if let (SetExpiry::At(_), "set" | "setex" | "psetex") = (expiry, command) {
                    self.push(Generic, "expire", key);
                }
            }
            Effect::SetRange { .. } => self.changed(EventClass::String, command, key),
            Effect::ExpireAt { .. } => self.changed(Generic, "expire", key),
            Effect::Persist { .. } => self.changed(Generic, "persist", key),
            Effect::HashSet { .. } => self.changed(Hash, "hset", key),
            Effect::HashRemove { .. } => self.removed(Hash, "hdel", key),
            Effect::ListPush { side: Side::Head, .. } => self.changed(List, "lpush", key),
            Effect::ListPush { side: Side::Tail, .. } => self.changed(List, "rpush", key),
            Effect::ListPop { side: Side::Head, .. } => self.removed(List, "lpop", key),
            Effect::ListPop { side: Side::Tail, .. } => self.removed(List, "rpop", key),
            Effect::ListSet { .. } => self.changed(List, "lset", key),
            Effect::ListInsert { .. } => self.changed(List, "linsert", key),
            Effect::ListTrim { .. } => self.removed(List, "ltrim", key),
            Effect::ListRemove { .. } => self.removed(List, "lrem", key),
            Effect::SetAdd { .. } => self.changed(Set, "sadd", key),
            Effect::SetRemove { .. } => self.removed(Set, "srem", key),
            Effect::ZsetAdd { .. } => self.changed(Zset, "zadd", key),
            Effect::ZsetRemove { .. } => self.removed(Zset, "zrem", key),
            Effect::Put { .. } if self.keyspace.get(key).is_none() => self.deleted(key),
            // An effect of a later command: it is what the command is called.
            _ => self.changed(class_of(self.before.spec.group), command, key),
        }
    }

    /// Tells that the key had expired, if it had and nobody told yet.
    fn expired(&mut self, key: &[u8]) -> bool {
        let mut expired = false;
        for (_, state) in self.before.keys.iter_mut().filter(|(named, _)| *named == key) {
            expired |= *state == State::Expired;
            if expired {
                *state = State::Absent;
            }
        }
        if expired {
            self.push(EventClass::Expired, "expired", key);
        }
        expired
    }

    /// The key holds something, and something else than before.
    fn changed(&mut self, class: EventClass, name: &'static str, key: &[u8]) {
        let (class, name) = self.called().unwrap_or((class, name));
        let replaces = matches!(self.before.spec.name, "copy" | "restore");
        let mut is_new = false;
        for (_, state) in self.before.keys.iter_mut().filter(|(named, _)| *named == key) {
            is_new |= *state != State::Live;
            *state = State::Live;
        }
        // What is large comes in parts.
        let again = self.events.last().is_some_and(|last| last.name == name && last.key == key);
        if again && (class, self.before.spec.name) != (EventClass::String, "mset") {
            return;
        }
        if is_new || replaces {
            self.push(EventClass::New, "new", key);
        }
        self.push(class, name, key);
    }

    /// The key holds less than before, or is gone by that.
    fn removed(&mut self, class: EventClass, name: &'static str, key: &[u8]) {
        let (class, name) = self.called().unwrap_or((class, name));
        let gone = self.events.last().is_some_and(|last| last.name == "del" && last.key == key);
        let again = self.events.last().is_some_and(|last| last.name == name && last.key == key);
        if !gone && !again {
            self.push(class, name, key);
        }
        if !gone && self.keyspace.get(key).is_none() {
            self.push(EventClass::Generic, "del", key);
        }
    }

    fn deleted(&mut self, key: &[u8]) {
        use EventClass::{Hash, List, Set, Zset};
        // What empties a collection may say so at once.
        let emptied = match self.before.spec.name {
            "hdel" => Some((Hash, "hdel")),
            "lpop" => Some((List, "lpop")),
            "rpop" => Some((List, "rpop")),
            "ltrim" => Some((List, "ltrim")),
            "lrem" => Some((List, "lrem")),
            "srem" | "smove" => Some((Set, "srem")),
            "zrem" => Some((Zset, "zrem")),
            "spop" | "zpopmin" | "zpopmax" | "zmpop" | "bzmpop" | "zremrangebyscore" | "zremrangebyrank"
            | "zremrangebylex" => self.called(),
            _ => None,
        };
        if let Some((class, name)) = emptied {
            return self.removed(class, name, key);
        }
        self.push(EventClass::Generic, "del", key);
    }

    /// What all that the command does is called, if its name says that and not the change.
    fn called(&self) -> Option<(EventClass, &'static str)> {
        use EventClass::{Generic, Hash, List, Set, Stream, String, Zset};
        let name = self.before.spec.name;
        Some(match name {
            "setbit" | "bitfield" => (String, "setbit"),
            "bitop" => (String, "set"),
            "pfadd" | "pfmerge" => (String, "pfadd"),
            "hincrby" | "hincrbyfloat" => (Hash, name),
            "spop" | "sinterstore" | "sunionstore" | "sdiffstore" => (Set, name),
            "zincrby" => (Zset, "zincr"),
            "zadd" if self.adds_to_a_score() => (Zset, "zincr"),
            "zremrangebyscore" | "zremrangebyrank" | "zremrangebylex" | "zunionstore" | "zinterstore"
            | "zdiffstore" | "zrangestore" | "geosearchstore" => (Zset, name),
            "zpopmin" | "bzpopmin" => (Zset, "zpopmin"),
            "zpopmax" | "bzpopmax" => (Zset, "zpopmax"),
            "zmpop" => self.end_of_a_sorted_set(1),
            "bzmpop" => self.end_of_a_sorted_set(2),
            "georadius" | "georadiusbymember" => (Zset, "georadiusstore"),
            "sort" => (List, "sortstore"),
            "copy" => (Generic, "copy_to"),
            "restore" => (Generic, "restore"),
            _ if class_of(self.before.spec.group) == Stream => (Stream, name),
            _ => return None,
        })
    }

    /// `ZADD … INCR`.
    fn adds_to_a_score(&self) -> bool {
        let is_option =
            |arg: &&&[u8]| [&b"nx"[..], b"xx", b"gt", b"lt", b"ch", b"incr"].contains(&&arg.to_ascii_lowercase()[..]);
        let options = self.before.args.iter().skip(2).take_while(is_option);
        options.into_iter().any(|option| option.eq_ignore_ascii_case(b"incr"))
    }

    /// Which end `ZMPOP` takes from, whose count of keys stands at `at`.
    fn end_of_a_sorted_set(&self, at: usize) -> (EventClass, &'static str) {
        let args = self.before.args;
        let keys = args.get(at).and_then(|count| parse_integer(count)).and_then(|count| usize::try_from(count).ok());
        let end = keys.and_then(|keys| args.get(at.saturating_add(keys).saturating_add(1)));
        let is_max = end.is_some_and(|end| end.eq_ignore_ascii_case(b"max"));
        (EventClass::Zset, if is_max { "zpopmax" } else { "zpopmin" })
    }

    /// Some commands say what they did although nothing differs by it.
    fn without_effect(&mut self) {
        let Some(&(key, State::Live)) = self.before.keys.first() else { return };
        let told = match self.before.spec.name {
            "ltrim" => (EventClass::List, "ltrim"),
            "lset" => (EventClass::List, "lset"),
            "pfmerge" => (EventClass::String, "pfadd"),
            _ => return,
        };
        self.push(told.0, told.1, key);
    }

    /// Keys that were read, and do not exist.
    fn misses(&mut self, effects: &[Effect<'_>]) {
        let spec = self.before.spec;
        let is_option = |name: &[u8]| self.before.args.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(name));
        let read = match spec.name {
            _ if !spec.is_write() => 0..usize::MAX,
            "getdel" | "getset" | "getex" | "copy" | "sort" => 0..1,
            "set" if is_option(b"get") => 0..1,
            "georadius" | "georadiusbymember" => 0..1,
            "sinterstore" | "sunionstore" | "sdiffstore" | "zunionstore" | "zinterstore" | "zdiffstore"
            | "bitop" | "geosearchstore" | "zrangestore" => 1..usize::MAX,
            _ => return,
        };
        let missed = self.before.keys.iter().enumerate().filter(|(at, _)| read.contains(at));
        let missed: Vec<&[u8]> =
            missed.filter(|(_, (_, state))| *state != State::Live).map(|(_, (key, _))| *key).collect();
        for key in missed {
            if effects.contains(&Effect::Delete { key }) {
                self.expired(key);
            }
            self.push(EventClass::KeyMiss, "keymiss", key);
        }
    }

    fn push(&mut self, class: EventClass, name: &'static str, key: &[u8]) {
        self.events.push(Event { class, name, key: key.to_vec() });
    }
}

/// Of what the commands of a group change.
fn class_of(group: &str) -> EventClass {
    match group {
        "string" | "bitmap" | "hyperloglog" => EventClass::String,
        "list" => EventClass::List,
        "set" => EventClass::Set,
        "hash" => EventClass::Hash,
        "sorted-set" | "geo" => EventClass::Zset,
        "stream" => EventClass::Stream,
        _ => EventClass::Generic,
    }
}
