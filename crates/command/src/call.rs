//! One execution of a command: what a handler has in its hands.

use crate::blocking::{Waits, Wanted};
use crate::error::CommandError;
use crate::spec::{Run, Spec};
use crate::stream;
use ironcache_keyspace::{
    Effect, Effects, Entry, Expiry, Hash, Keyspace, List, Place, Set, Stream, Value, Zset, progress,
};
use ironcache_resp::{Protocol, Writer};
use std::cell::Cell;

/// What a command may know of the world.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Unix time in ms.
    pub now_ms: u64,
    /// Uniform, fresh for each command.
    pub random: u64,
    /// What reading does with an expired key. A write command always deletes it.
    pub expiry: Expiry,
    /// Of the connection that is answered.
    pub protocol: Protocol,
}

/// How many of the keys that were read exist. Keys that are looked up in order to be changed are none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    pub hits: u64,
    pub misses: u64,
}

/// Executes a data command: appends one reply to `out` and what changed to `effects`, which the
/// caller clears. The caller has checked arity, slots and roles. Nothing waits: a blocking command that finds nothing answers so.
pub fn execute(
    spec: &'static Spec,
    args: &[&[u8]],
    keyspace: &mut Keyspace,
    context: &Context,
    out: &mut Vec<u8>,
    effects: &mut Effects,
) -> Lookups {
    let mut waits = None;
    call(spec, args, keyspace, context, out, effects, &mut waits)
}

/// What came of a command that may wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub lookups: Lookups,
    /// It has to wait: nothing is answered, and nothing is changed but for the deletion of keys that had expired.
    pub waits: Option<Waits>,
}

/// The same for a blocking command that may wait.
pub fn attempt(
    spec: &'static Spec,
    args: &[&[u8]],
    keyspace: &mut Keyspace,
    context: &Context,
    out: &mut Vec<u8>,
    effects: &mut Effects,
) -> Attempt {
    let (start, mut waits) = (out.len(), None);
    let lookups = call(spec, args, keyspace, context, out, effects, &mut waits);
    if waits.is_some() {
        out.truncate(start);
    }
    Attempt { lookups, waits }
}

/// A command that has waited, and the key that became ready.
#[derive(Clone, Copy)]
pub struct Ready<'a> {
    pub spec: &'static Spec,
    pub args: &'a [&'a [u8]],
    pub waits: &'a Waits,
    pub key: &'a [u8],
}

/// Has it got what it waited for?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It is answered.
    Yes,
    /// It waits on: nothing is answered, and nothing is changed but for the deletion of a key that had expired.
    No,
}

/// Executes a command that has waited, of the key that became ready alone.
pub fn serve(
    ready: Ready<'_>,
    keyspace: &mut Keyspace,
    context: &Context,
    out: &mut Vec<u8>,
    effects: &mut Effects,
) -> Served {
    let Ready { spec, args, waits, key } = ready;
    let after = match &waits.for_what {
        Wanted::Kind(_) => {
            let args = waits.narrowed(spec, args, key);
            let attempt = attempt(spec, &args, keyspace, context, out, effects);
            return if attempt.waits.is_none() { Served::Yes } else { Served::No };
        }
        Wanted::After(ids) => {
            // As in Redis, the first counts of a key that is named twice.
            let at = args[waits.keys.clone()].iter().position(|named| *named == key);
            at.and_then(|at| ids.get(at)).copied()
        }
        Wanted::OfGroup => None,
    };
    let (start, mut served) = (out.len(), Served::No);
    let handler = |call: &mut Call<'_>| {
        // An error is an answer, too.
        served = Served::Yes;
        served = stream::serve(call, key, after)?;
        Ok(())
    };
    run(handler, (spec, args), keyspace, context, out, effects, &mut None);
    if served == Served::No {
        out.truncate(start);
    }
    served
}

#[inline]
fn call(
    spec: &'static Spec,
    args: &[&[u8]],
    keyspace: &mut Keyspace,
    context: &Context,
    out: &mut Vec<u8>,
    effects: &mut Effects,
    waits: &mut Option<Waits>,
) -> Lookups {
    match spec.run {
        Run::Server => {
            let error = CommandError::NotADataCommand { command: spec.name };
            Writer::new(out, context.protocol).error(&error.to_string());
            Lookups::default()
        }
        Run::Data(handler) => run(handler, (spec, args), keyspace, context, out, effects, waits),
    }
}

#[inline]
fn run(
    handler: impl FnOnce(&mut Call<'_>) -> Result<(), CommandError>,
    (spec, args): (&'static Spec, &[&[u8]]),
    keyspace: &mut Keyspace,
    context: &Context,
    out: &mut Vec<u8>,
    effects: &mut Effects,
    waits: &mut Option<Waits>,
) -> Lookups {
    progress::tick();
    let start = out.len();
    let expiry = if spec.is_write() { Expiry::Delete } else { context.expiry };
    let (lookups, reads) = (Cell::default(), Lookups::default());
    let db = Db { spec, args, keyspace, effects, now_ms: context.now_ms, expiry, lookups, reads };
    let reply = Writer::new(out, context.protocol);
    let mut call = Call { args, db, reply, command: spec.name, random: context.random, waits };
    let result = handler(&mut call);
    if result.is_err() && reads_first(spec) {
        call.db.was_read();
    }
    let lookups = if spec.is_write() { call.db.reads } else { call.db.lookups.get() };
    if let Err(error) = result {
        out.truncate(start);
        Writer::new(out, context.protocol).error(&error.to_string());
    }
    lookups
}

/// Does a command that writes look up what it reads before it looks up what it writes? If it ends by an error, it has only read.
#[cold]
fn reads_first(spec: &Spec) -> bool {
    matches!(
        spec.name,
        "bitfield"
            | "bitop"
            | "copy"
            | "georadius"
            | "georadiusbymember"
            | "geosearchstore"
            | "getdel"
            | "getex"
            | "getset"
            | "pfmerge"
            | "sdiffstore"
            | "set"
            | "sinterstore"
            | "sort"
            | "sunionstore"
            | "xack"
            | "xautoclaim"
            | "xclaim"
            | "xreadgroup"
            | "zdiffstore"
            | "zinterstore"
            | "zrangestore"
            | "zunionstore"
    )
}

/// The arguments (name first), the data, and the reply to write.
pub struct Call<'a> {
    pub(crate) args: &'a [&'a [u8]],
    pub(crate) db: Db<'a>,
    pub(crate) reply: Writer<'a>,
    pub(crate) command: &'static str,
    pub(crate) random: u64,
    /// A blocking command found nothing, and has answered so.
    pub(crate) waits: &'a mut Option<Waits>,
}

/// The keyspace at one moment: expired keys are absent.
pub(crate) struct Db<'a> {
    /// What is executed, for what is told of it.
    pub(crate) spec: &'static Spec,
    pub(crate) args: &'a [&'a [u8]],
    pub(crate) keyspace: &'a mut Keyspace,
    pub(crate) effects: &'a mut Effects,
    pub now_ms: u64,
    expiry: Expiry,
    lookups: Cell<Lookups>,
    /// Those of a writing command that were reads.
    reads: Lookups,
}

impl Db<'_> {
    /// Where a key is that is used now, unless it has expired.
    fn place(&mut self, key: &[u8]) -> Option<Place> {
        let place = self.find(key)?;
        self.keyspace.touch(place);
        Some(place)
    }

    /// Where a key is, unless it has expired.
    fn find(&mut self, key: &[u8]) -> Option<Place> {
        let found = self.keyspace.find(key);
        let live = found.filter(|place| !self.keyspace.at(*place).is_expired(self.now_ms));
        if live.is_none() && found.is_some() && self.expiry == Expiry::Delete {
            self.expire(key);
        }
        self.count(key, live.is_some());
        live
    }

    fn count(&self, key: &[u8], found: bool) {
        if !found && self.effects.events.are_wanted() {
            self.effects.events.missed(key);
            if !self.spec.is_write() {
                self.effects.events.were_read();
            }
        }
        let Lookups { hits, misses } = self.lookups.get();
        self.lookups.set(Lookups { hits: hits + u64::from(found), misses: misses + u64::from(!found) });
    }

    /// What a writing command has looked up so far was read, and what follows is not.
    pub(crate) fn was_read(&mut self) {
        self.reads = self.lookups.get();
        if self.effects.events.are_wanted() {
            self.effects.events.were_read();
        }
    }

    pub(crate) fn entry(&mut self, key: &[u8]) -> Option<&Entry> {
        self.place(key).map(|place| self.keyspace.at(place))
    }

    pub(crate) fn exists(&mut self, key: &[u8]) -> bool {
        self.place(key).is_some()
    }

    /// As [`Self::entry`], and not counted as a use of the key.
    pub(crate) fn untouched(&mut self, key: &[u8]) -> Option<&Entry> {
        self.find(key).map(|place| self.keyspace.at(place))
    }

    /// A key that is there is used as if it had been idle, or used so often, before; what the policy in force does not note is
    /// nothing.
    pub(crate) fn used_before(&mut self, key: &[u8], idle_s: Option<u64>, frequency: Option<u8>) {
        if let (Some(place), Some(access)) =
            (self.keyspace.find(key), self.keyspace.clock().of_told(idle_s, frequency))
        {
            self.keyspace.set_access(place, access);
        }
    }

    /// The value of a key that must hold a `V` or nothing.
    pub(crate) fn read<V: View + ?Sized>(&mut self, key: &[u8]) -> Result<Option<V::Seen<'_>>, CommandError> {
        match self.place(key) {
            None => Ok(None),
            Some(place) => V::view(self.keyspace.at(place).value()).map(Some).ok_or(CommandError::WrongType),
        }
    }

    /// Reads without deleting: several values at once. Expired keys are absent all the same.
    pub(crate) fn peek<V: View + ?Sized>(&self, key: &[u8]) -> Result<Option<V::Seen<'_>>, CommandError> {
        let found = self.keyspace.find(key);
        let live = found.filter(|place| !self.keyspace.at(*place).is_expired(self.now_ms));
        self.count(key, live.is_some());
        let Some(place) = live else { return Ok(None) };
        self.keyspace.touch(place);
        V::view(self.keyspace.at(place).value()).map(Some).ok_or(CommandError::WrongType)
    }

    /// What a key that was read, and holds a `V` or nothing, holds by now: it is not counted once more.
    pub(crate) fn again<V: View + ?Sized>(&self, key: &[u8]) -> Option<V::Seen<'_>> {
        self.keyspace.live(key, self.now_ms).and_then(|entry| V::view(entry.value()))
    }

    /// For what concerns all keys.
    pub(crate) fn keyspace(&self) -> &Keyspace {
        self.keyspace
    }

    pub(crate) fn record(&mut self, effect: Effect<'_>) {
        if self.effects.events.are_wanted() {
            return self.record_and_note(&effect);
        }
        self.effects.record(self.keyspace, &effect);
    }
}

/// A type that a value may be seen as.
pub(crate) trait View {
    /// What is seen.
    type Seen<'a>;
    fn view(value: Value<'_>) -> Option<Self::Seen<'_>>;
}

impl View for [u8] {
    type Seen<'a> = &'a [u8];
    fn view(value: Value<'_>) -> Option<&[u8]> {
        if let Value::String(text) = value { Some(text) } else { None }
    }
}

/// Whatever it is.
impl View for Value<'_> {
    type Seen<'a> = Value<'a>;
    fn view(value: Value<'_>) -> Option<Value<'_>> {
        Some(value)
    }
}

impl View for Hash<'_> {
    type Seen<'a> = Hash<'a>;
    fn view(value: Value<'_>) -> Option<Hash<'_>> {
        if let Value::Hash(hash) = value { Some(hash) } else { None }
    }
}

impl View for Set<'_> {
    type Seen<'a> = Set<'a>;
    fn view(value: Value<'_>) -> Option<Set<'_>> {
        if let Value::Set(set) = value { Some(set) } else { None }
    }
}

impl View for Zset<'_> {
    type Seen<'a> = Zset<'a>;
    fn view(value: Value<'_>) -> Option<Zset<'_>> {
        if let Value::Zset(zset) = value { Some(zset) } else { None }
    }
}

macro_rules! view {
    ($($kind:ident),*) => {$(
        impl View for $kind {
            type Seen<'a> = &'a $kind;
            fn view(value: Value<'_>) -> Option<&Self> {
                if let Value::$kind(it) = value { Some(it) } else { None }
            }
        }
    )*};
}
view!(List, Stream);
