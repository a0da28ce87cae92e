//! Streams: entries added, read and trimmed, and groups of consumers.
//!
//! *Invariant:* an effect says what happened, with the id that was drawn and the time that it was: a replica, or whoever
//! takes over, holds the same to the byte.
//! *Invariant:* nothing waits here. A read that would block answers what it answers when its time is up, and says what it would
//! wait for.

mod add;
mod claim;
mod error;
mod group;
mod id;
mod info;
mod lag;
mod pending;
mod read;
mod show;
mod trim;

pub(crate) use add::{xadd, xdel, xsetid};
pub(crate) use claim::{xautoclaim, xclaim};
pub use error::StreamError;
pub(crate) use group::{xack, xgroup};
pub(crate) use info::xinfo;
pub(crate) use pending::xpending;
pub use read::asks_to_block;
pub(crate) use read::{serve, xread, xreadgroup};
pub(crate) use show::{xlen, xrange, xrevrange};
pub(crate) use trim::xtrim;

use crate::call::Call;
use crate::error::CommandError;
use crate::spec::Spec;
use ironcache_keyspace::{Effect, Stream, StreamChange, StreamId};

type Outcome = Result<(), CommandError>;

/// What Redis asks before it queues a command with subcommands: is this one of them, with as many arguments as it takes?
///
/// # Errors
/// It is not.
pub fn check_subcommand(spec: &Spec, args: &[&[u8]]) -> Outcome {
    match spec.name {
        "xgroup" => group::check_subcommand(args),
        "xinfo" => info::check_subcommand(args),
        _ => Ok(()),
    }
}

impl Call<'_> {
    /// Changes the stream at a key.
    fn change(&mut self, key: &[u8], change: StreamChange<'_>) {
        self.db.record(Effect::Stream { key, change });
    }
}

/// Time as streams keep it: as Redis, with a sign.
fn now_ms(call: &Call<'_>) -> i64 {
    i64::try_from(call.db.now_ms).unwrap_or(i64::MAX)
}

/// What a group that is at this id has read of a stream that does not say so; -1 if that cannot be known.
pub(crate) fn entries_read_at(stream: &Stream, id: StreamId) -> i64 {
    lag::Counted::of(stream).read_at(id)
}
