//! Redis' commands: what exists, with which arguments, and what the data commands do.
//!
//! ```text
//!   arguments ──lookup──▶ Spec ──check_arity, keys──▶ (the node: slots, roles)
//!                           │
//!                        execute(spec, args, keyspace, context) ──▶ reply bytes + Effects
//!                        attempt(…) ──▶ the same, or Waits: for which keys, and how long
//!                        serve(…) ──▶ the same for who has waited, by the key that became ready
//! ```
//!
//! A handler reads the keyspace, decides, and records effects; it changes nothing in any other way.
//! Commands about the connection, the server or the cluster are in the table only: [`Run::Server`].
//!
//! *Invariant:* no clock, randomness or I/O; [`Context`] brings the time and the dice.
//! *Invariant:* a command that answers an error has recorded no effect, but for the deletion of keys
//! that had expired.
//! *Invariant:* slots, roles and arity are the caller's to check; handlers trust the arity.

mod about;
mod arg;
mod big;
mod bitfield;
mod bits;
mod blocking;
mod call;
mod copy;
mod dump;
mod encoding;
mod error;
mod expire;
mod extended;
mod geo;
mod geohash;
mod geosearch;
mod glob;
mod hash;
mod hll;
mod key_specs;
mod keys;
mod lcs;
mod list;
mod listmove;
mod lookup;
#[cfg(feature = "next")]
mod next;
mod notice;
mod pf;
mod random;
mod rdb;
mod scan;
mod set;
mod setops;
mod sort;
mod spec;
mod stream;
mod string;
mod subcommands;
mod table;
mod whole;
mod zbounds;
mod zpick;
mod zrange;
mod zset;
mod zstore;

pub use blocking::{Waits, Wanted};
pub use call::{Attempt, Context, Lookups, Ready, Served, attempt, execute, serve};
pub use encoding::{Compact, encoding};
pub use error::{
    CommandError, WrongArity, unfit_subcommand, unknown_command, unknown_subcommand, wrong_arity,
};
pub use glob::glob_matches;
pub use ironcache_keyspace::{Effects, Expiry};
pub use key_specs::{Begin, Find, KeySpec, key_specs, keys_and_flags};
pub use lookup::lookup;
pub use rdb::{LibrariesError, read_libraries, write_libraries};
pub use spec::{Flags, Handler, MoreKeys, Run, Spec};
pub use stream::{StreamError, asks_to_block, check_subcommand};
pub use subcommands::{find, subcommand, subcommands};
pub use table::table;
