//! What a change is called where clients are told of keys (`notify-keyspace-events`).
//!
//! ```text
//!  a handler records an effect ─► how its key was, the name by command and effect ─► applied ─► how its key is ─► Events
//! ```
//! One place knows of it, and hardly a handler does: an effect says what happened, and the command what Redis calls that. Source: the
//! Redis documentation of keyspace notifications, and redis-server 7.0.15, whose events are in `tests/commands/notices_7_0_15.txt`.
//!
//! *Invariant:* nothing here changes anything, and nothing here runs unless somebody wants to be told.

use crate::call::{Call, Db};
use crate::spec::Spec;
use ironcache_keyspace::{Effect, Entry, EventClass, SetExpiry, Side, Stream, StreamChange, Value};
use ironcache_resp::parse_integer;

/// How a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    /// Its time is up, and it is not deleted yet.
    Expired,
    Live,
}

/// What is said of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing, but perhaps that the key is new.
    Nothing,
    As(EventClass, &'static str),
}

impl Db<'_> {
    /// Records an effect, and notes what becomes of its key.
    #[cold]
    pub(crate) fn record_and_note(&mut self, effect: &Effect<'_>) {
        let Some(key) = effect.key() else { return self.effects.record(self.keyspace, effect) };
        let before = self.state(key);
        let told = self.told(key, effect);
        if before == State::Expired {
            self.effects.events.push(EventClass::Expired, "expired", key);
        }
        if let Effect::Rename { to, .. } = effect
            && self.state(to) == State::Expired
        {
            self.effects.events.push(EventClass::Expired, "expired", to);
        }
        self.effects.record(self.keyspace, effect);
        self.note(key, effect, before, told);
    }

    /// The time of a key that was looked up is up: deletes it.
    pub(crate) fn expire(&mut self, key: &[u8]) {
        self.effects.record(self.keyspace, &Effect::Delete { key });
        if self.effects.events.are_wanted() {
            self.effects.events.push(EventClass::Expired, "expired", key);
        }
    }

    fn state(&self, key: &[u8]) -> State {
        match self.keyspace.get(key) {
            None => State::Absent,
            Some(entry) if entry.is_expired(self.now_ms) => State::Expired,
            Some(_) => State::Live,
        }
    }

    /// After the effect was applied.
    fn note(&self, key: &[u8], effect: &Effect<'_>, before: State, told: Told) {
        let (events, command) = (&self.effects.events, self.spec.name);
        let is_gone = self.keyspace.get(key).is_none();
        match effect {
            Effect::Delete { .. } if before != State::Live => return,
            Effect::Delete { .. } => {
                // What took every member of a set says so first.
                if let Told::As(class, name) = told {
                    events.push(class, name, key);
                }
                return events.deleted(key);
            }
            Effect::Rename { key, to } => {
                events.push(EventClass::New, "new", to);
                events.push(EventClass::Generic, "rename_from", key);
                return events.push(EventClass::Generic, "rename_to", to);
            }
            Effect::Put { .. } if is_gone => return events.deleted(key),
            _ => {}
        }
        // As in Redis, who copies or restores deletes first, and others overwrite.
        let overwrites = events.replaces(key) && !matches!(command, "copy" | "restore");
        if before != State::Live && !overwrites {
            events.push(EventClass::New, "new", key);
        }
        let Told::As(class, name) = told else { return };
        // Of several changes by one command it is told once.
        if matches!(command, "mset" | "msetnx") || !events.ends_with(name, key) {
            events.push(class, name, key);
        }
        if let (Effect::SetString { expiry: SetExpiry::At(_), .. }, "set" | "setex" | "psetex") =
            (effect, command)
        {
            events.push(EventClass::Generic, "expire", key);
        }
        if is_gone {
            events.deleted(key);
        }
    }

    /// What the change is called, of a key as it is before.
    fn told(&self, key: &[u8], effect: &Effect<'_>) -> Told {
        use EventClass::{Generic, Hash, List, Set, String, Zset};
        let command = self.spec.name;
        if let Effect::Stream { change, .. } = effect
            && !matches!(command, "copy" | "restore")
        {
            return self.told_of_a_stream(key, change);
        }
        if let Effect::Delete { .. } = effect {
            return if command == "spop" { Told::As(Set, command) } else { Told::Nothing };
        }
        if let Some(told) = called(self.spec, self.args) {
            return told;
        }
        match effect {
            Effect::Delete { .. } | Effect::Rename { .. } | Effect::Clear => Told::Nothing,
            Effect::SetString { .. } | Effect::SetRange { .. } => Told::As(
                String,
                match command {
                    "incr" | "decr" | "incrby" | "decrby" => "incrby",
                    "incrbyfloat" | "append" | "setrange" => command,
                    _ => "set",
                },
            ),
            Effect::ExpireAt { .. } => Told::As(Generic, "expire"),
            Effect::Persist { .. } => Told::As(Generic, "persist"),
            Effect::HashSet { .. } => Told::As(Hash, "hset"),
            Effect::HashRemove { .. } => Told::As(Hash, "hdel"),
            Effect::ListPush { side: Side::Head, .. } => Told::As(List, "lpush"),
            Effect::ListPush { side: Side::Tail, .. } => Told::As(List, "rpush"),
            Effect::ListPop { side: Side::Head, .. } => Told::As(List, "lpop"),
            Effect::ListPop { side: Side::Tail, .. } => Told::As(List, "rpop"),
            Effect::ListSet { .. } => Told::As(List, "lset"),
            Effect::ListInsert { .. } => Told::As(List, "linsert"),
            Effect::ListTrim { .. } => Told::As(List, "ltrim"),
            Effect::ListRemove { .. } => Told::As(List, "lrem"),
            Effect::SetAdd { .. } => Told::As(Set, "sadd"),
            Effect::SetRemove { .. } => Told::As(Set, "srem"),
            Effect::ZsetAdd { .. } => Told::As(Zset, "zadd"),
            Effect::ZsetRemove { .. } => Told::As(Zset, "zrem"),
            // An empty stream, for a group.
            Effect::Stream { .. } | Effect::Put { .. } => Told::Nothing,
            #[cfg(feature = "next")]
            Effect::Touched { .. } => Told::Nothing,
        }
    }

    fn told_of_a_stream(&self, key: &[u8], change: &StreamChange<'_>) -> Told {
        let before: Option<&Stream> = match self.keyspace.get(key).map(Entry::value) {
            Some(Value::Stream(stream)) => Some(stream),
            Some(_) | None => None,
        };
        let group = |name: &[u8]| before.and_then(|stream| stream.group(name));
        let name = match *change {
            StreamChange::Add { .. } => "xadd",
            StreamChange::Delete { .. } => "xdel",
            StreamChange::Trim { .. } => "xtrim",
            StreamChange::Head(_) => "xsetid",
            StreamChange::Group { name, .. } if group(name).is_none() => "xgroup-create",
            StreamChange::Group { .. } if self.spec.name == "xgroup" => "xgroup-setid",
            StreamChange::RemoveGroup { .. } => "xgroup-destroy",
            StreamChange::Consumer { group: of, name, .. }
                if group(of).is_none_or(|group| group.consumer(name).is_none()) =>
            {
                "xgroup-createconsumer"
            }
            StreamChange::RemoveConsumer { .. } => "xgroup-delconsumer",
            StreamChange::Block { .. }
            | StreamChange::Group { .. }
            | StreamChange::Consumer { .. }
            | StreamChange::Pend { .. }
            | StreamChange::Acknowledge { .. } => return Told::Nothing,
        };
        Told::As(EventClass::Stream, name)
    }
}

impl Call<'_> {
    /// Some commands say what they did also if nothing differs by it.
    pub(crate) fn did(&self, class: EventClass, name: &'static str, key: &[u8]) {
        let events = &self.db.effects.events;
        if events.are_wanted() && !events.ends_with(name, key) {
            events.push(class, name, key);
        }
    }
}

/// What all that a command does is called, if its name says that and not the change.
fn called(spec: &Spec, args: &[&[u8]]) -> Option<Told> {
    use EventClass::{Generic, Hash, List, Set, String, Zset};
    let name = spec.name;
    let (class, name) = match name {
        "setbit" => (String, "setbit"),
        // It tells itself.
        "bitfield" => return Some(Told::Nothing),
        "bitop" => (String, "set"),
        "pfadd" | "pfmerge" => (String, "pfadd"),
        "hincrby" | "hincrbyfloat" => (Hash, name),
        "spop" => (Set, name),
        "sinterstore" | "sunionstore" | "sdiffstore" => (Set, name),
        "zincrby" => (Zset, "zincr"),
        "zadd" if adds_to_a_score(args) => (Zset, "zincr"),
        "zremrangebyscore" | "zremrangebyrank" | "zremrangebylex" | "zunionstore" | "zinterstore"
        | "zdiffstore" | "zrangestore" | "geosearchstore" => (Zset, name),
        "zpopmin" | "bzpopmin" => (Zset, "zpopmin"),
        "zpopmax" | "bzpopmax" => (Zset, "zpopmax"),
        "zmpop" => (Zset, end_of_a_sorted_set(args, 1)),
        "bzmpop" => (Zset, end_of_a_sorted_set(args, 2)),
        "georadius" | "georadiusbymember" => (Zset, "georadiusstore"),
        "sort" => (List, "sortstore"),
        "copy" => (Generic, "copy_to"),
        "restore" => (Generic, "restore"),
        _ => return None,
    };
    Some(Told::As(class, name))
}

/// `ZADD … INCR`.
fn adds_to_a_score(args: &[&[u8]]) -> bool {
    const OPTIONS: [&[u8]; 6] = [b"nx", b"xx", b"gt", b"lt", b"ch", b"incr"];
    let is_option = |arg: &&&[u8]| OPTIONS.iter().any(|option| arg.eq_ignore_ascii_case(option));
    args.iter().skip(2).take_while(is_option).any(|option| option.eq_ignore_ascii_case(b"incr"))
}

/// Which end `ZMPOP` takes from, whose count of keys stands at `at`.
fn end_of_a_sorted_set(args: &[&[u8]], at: usize) -> &'static str {
    let keys =
        args.get(at).and_then(|count| parse_integer(count)).and_then(|count| usize::try_from(count).ok());
    let end = keys.and_then(|keys| args.get(at.saturating_add(keys).saturating_add(1)));
    if end.is_some_and(|end| end.eq_ignore_ascii_case(b"max")) { "zpopmax" } else { "zpopmin" }
}
