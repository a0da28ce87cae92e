//! Channels: who listens to what, and the messages that answer no request.
//!
//! ```text
//!  SUBSCRIBE ──► Subscriptions (the client's own) ──► confirmation in `out` ──► Job::Listen ──► Registry (of all clients)
//!  PUBLISH ───► Query::Publish ──► the shell: Registry::publish ──► a Message for each that listens ──► its queue
//! ```
//! A session knows what its own client listens to, since confirmations count that and RESP2 allows little else meanwhile. The
//! [`Registry`] knows who listens to a channel, since one message goes to many. The shell keeps the second as the first says.
//!
//! *Invariant:* what a client was confirmed to have left sends it nothing any more: a message that came before is before the
//! confirmation.
//! *Invariant:* bytes are those of Redis; RESP3 differs from RESP2 in a message's first byte.

mod commands;
mod introspection;
mod message;
mod registry;
mod subscriptions;

pub(crate) use commands::is_of_a_shard;
pub use introspection::introspect;
pub use message::Message;
pub use registry::Registry;
pub use subscriptions::{Counts, Subscriptions};

use std::rc::Rc;

/// The name of a channel, or a pattern of names.
pub type Topic = Rc<[u8]>;

/// What a client can listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A channel of the whole cluster.
    Channel,
    /// All channels of the cluster whose names match.
    Pattern,
    /// A channel of the shard that its name's slot belongs to.
    Shard,
}

impl Kind {
    /// The first word of what confirms it.
    fn joined(self) -> &'static str {
        match self {
            Kind::Channel => "subscribe",
            Kind::Pattern => "psubscribe",
            Kind::Shard => "ssubscribe",
        }
    }

    fn left(self) -> &'static str {
        match self {
            Kind::Channel => "unsubscribe",
            Kind::Pattern => "punsubscribe",
            Kind::Shard => "sunsubscribe",
        }
    }
}

/// How far a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// `PUBLISH`: every node of the cluster.
    Cluster,
    /// `SPUBLISH`: every node of this shard.
    Shard,
}

/// What a client listens to has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Joins(Kind, Topic),
    Leaves(Kind, Topic),
}
