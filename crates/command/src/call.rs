//! One execution of a command: what a handler has in its hands.

use crate::error::CommandError;
use crate::spec::{Run, Spec};
use ironcache_keyspace::{
    Effect, Effects, Entry, Expiry, Hash, Keyspace, List, Place, Set, Value, Zset, progress,
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
/// caller clears. The caller has checked arity, slots and roles.
pub fn execute(
    spec: &'static Spec,
    args: &[&[u8]],
    keyspace: &mut Keyspace,
    context: &Context,
    out: &mut Vec<u8>,
    effects: &mut Effects,
) -> Lookups {
    progress::tick();
    let start = out.len();
    let expiry = if spec.is_write() { Expiry::Delete } else { context.expiry };
    let (result, lookups) = match spec.run {
        Run::Server => (Err(CommandError::NotADataCommand { command: spec.name }), Lookups::default()),
        Run::Data(handler) => {
            let (lookups, reads) = (Cell::default(), Lookups::default());
            let db = Db { keyspace, effects, now_ms: context.now_ms, expiry, lookups, reads };
            let reply = Writer::new(out, context.protocol);
            let mut call = Call { args, db, reply, command: spec.name, random: context.random };
            let result = handler(&mut call);
            (result, if spec.is_write() { call.db.reads } else { call.db.lookups.get() })
        }
    };
    if let Err(error) = result {
        out.truncate(start);
        Writer::new(out, context.protocol).error(&error.to_string());
    }
    lookups
}

/// The arguments (name first), the data, and the reply to write.
pub struct Call<'a> {
    pub(crate) args: &'a [&'a [u8]],
    pub(crate) db: Db<'a>,
    pub(crate) reply: Writer<'a>,
    pub(crate) command: &'static str,
    pub(crate) random: u64,
}

/// The keyspace at one moment: expired keys are absent.
pub(crate) struct Db<'a> {
    keyspace: &'a mut Keyspace,
    effects: &'a mut Effects,
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
        self.count(live.is_some());
        if live.is_none() && found.is_some() && self.expiry == Expiry::Delete {
            self.record(Effect::Delete { key });
        }
        live
    }

    fn count(&self, found: bool) {
        let Lookups { hits, misses } = self.lookups.get();
        self.lookups.set(Lookups { hits: hits + u64::from(found), misses: misses + u64::from(!found) });
    }

    /// What a writing command has looked up so far was read, and what follows is not.
    pub(crate) fn was_read(&mut self) {
        self.reads = self.lookups.get();
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
    pub(crate) fn read<V: View + ?Sized>(&mut self, key: &[u8]) -> Result<Option<&V>, CommandError> {
        match self.place(key) {
            None => Ok(None),
            Some(place) => V::view(self.keyspace.at(place).value()).map(Some).ok_or(CommandError::WrongType),
        }
    }

    /// Reads without deleting: several values at once. Expired keys are absent all the same.
    pub(crate) fn peek<V: View + ?Sized>(&self, key: &[u8]) -> Result<Option<&V>, CommandError> {
        let found = self.keyspace.find(key);
        let live = found.filter(|place| !self.keyspace.at(*place).is_expired(self.now_ms));
        self.count(live.is_some());
        let Some(place) = live else { return Ok(None) };
        self.keyspace.touch(place);
        V::view(self.keyspace.at(place).value()).map(Some).ok_or(CommandError::WrongType)
    }

    /// What a key that was read, and holds a `V` or nothing, holds by now: it is not counted once more.
    pub(crate) fn again<V: View + ?Sized>(&self, key: &[u8]) -> Option<&V> {
        self.keyspace.live(key, self.now_ms).and_then(|entry| V::view(entry.value()))
    }

    /// For what concerns all keys.
    pub(crate) fn keyspace(&self) -> &Keyspace {
        self.keyspace
    }

    pub(crate) fn record(&mut self, effect: Effect<'_>) {
        self.effects.record(self.keyspace, &effect);
    }
}

/// A type that a value may be seen as.
pub(crate) trait View {
    fn view(value: &Value) -> Option<&Self>;
}

impl View for [u8] {
    fn view(value: &Value) -> Option<&Self> {
        if let Value::String(text) = value { Some(text) } else { None }
    }
}

macro_rules! view {
    ($($kind:ident),*) => {$(
        impl View for $kind {
            fn view(value: &Value) -> Option<&Self> {
                if let Value::$kind(it) = value { Some(it) } else { None }
            }
        }
    )*};
}
view!(Hash, List, Set, Zset);
