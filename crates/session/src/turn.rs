//! What becomes of one request.
//!
//! ```text
//!                          ┌─► Answered            the reply is written
//!  Session::take(request) ─┼─► Queued              the same; it is executed by `EXEC`
//!                          ├─► Run(Job)            the shell executes it, and writes the reply
//!                          ├─► Stop(Park|Hold|Pause)  nothing happened: take the same request again
//!                          ├─► Stop(Blocked)       taken; the reply is written by Session::wake
//!                          ├─► Stop(Close), Http   the connection ends
//!                          └─► Err(Refusal)        Session::refuse writes it
//! ```

use crate::acl::{AclLogQuery, Order};
use crate::blocked::Unblock;
use crate::client::Which;
use crate::functions::FunctionQuery;
use crate::kill::Kill;
use crate::pause::Paused;
use crate::pubsub::{Audience, Change, Subscriptions};
use crate::transaction::Queued;
use ironcache_command::Spec;
use ironcache_types::Slot;

/// What became of one request that was not refused.
pub enum Turn {
    /// By the session itself: the reply is written.
    Answered,
    /// Into a transaction: the reply is written, and nothing is executed yet.
    Queued,
    /// To be executed, and answered, by whoever has the data and the node.
    Run(Job),
    /// The connection does not go on to its next request.
    Stop(Stop),
    /// This is no request but HTTP, perhaps of a web page that has a browser send commands. Nothing of it is executed or
    /// answered: the connection closes.
    Http,
}

/// What the shell executes: everything about it is checked.
pub enum Job {
    /// A command on the data. `slot` is that of its keys; `None` without keys.
    Data { spec: &'static Spec, slot: Option<Slot> },
    /// The same of a command that waits if it finds nothing: [`Session::block_on`](crate::Session::block_on) then says so.
    Blocking { spec: &'static Spec, slot: Option<Slot> },
    /// `EXEC`: all of them, indivisibly, in one array of replies. `slot` is the only one that they touch; `None` if they may
    /// touch others.
    Transaction { commands: Vec<Queued>, slot: Option<Slot> },
    /// A script, whose `keys` words after their number are keys; `slot` is theirs.
    Script { spec: &'static Spec, slot: Option<Slot>, keys: usize },
    /// What only the node can answer.
    Query(Query),
    /// What the client is sent beside its replies has changed; the reply is written.
    Listen(Listening),
    /// The log of the cluster is to take it, or a file; the reply comes with the outcome.
    Order(Order),
}

/// What changes of that.
#[derive(Debug)]
pub enum Listening {
    /// To what others execute, too.
    Monitor,
    /// To channels, in this order.
    Topics(Vec<Change>),
    /// To what becomes of the keys that it has tracked ([`Session::tracking`](crate::Session::tracking)).
    Tracked,
    /// To nothing: neither to what others execute nor to any of these.
    Nothing(Subscriptions),
}

/// What a client asks about the node, its cluster or other clients. Where it says nothing of them, the arguments are the
/// request's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// `CLIENT INFO`.
    Myself,
    /// `CLIENT LIST`.
    Clients(Which),
    /// `CLIENT KILL`.
    Kill(Kill),
    /// `CLIENT PAUSE`.
    Pause {
        what: Paused,
        for_ms: u64,
    },
    /// `CLIENT UNPAUSE`.
    Unpause,
    /// `CLIENT UNBLOCK`.
    Unblock {
        id: u64,
        by: Unblock,
    },
    /// `ACL LOG`.
    AclLog(AclLogQuery),
    /// `ACL GENPASS`.
    GeneratePassword {
        bits: usize,
    },
    Cluster,
    Config,
    Debug,
    Info,
    Latency,
    Memory,
    Object,
    /// `PUBLISH` and `SPUBLISH`: how many clients of this node it reached.
    Publish(Audience),
    PubSub,
    Role,
    /// `SCRIPT`.
    Scripts,
    Functions(FunctionQuery),
    Slowlog,
    Time,
}

/// Why a connection does not go on to its next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Not executed, not answered: who serves it is being decided. Take it again when roles have changed.
    Park,
    /// Not executed, not answered: take it again when replicas have taken more of what was written before.
    Hold,
    /// Not executed, not answered: take it again when clients are not paused any more.
    Pause,
    /// Taken, and not answered yet: [`Session::wake`](crate::Session::wake) does when it can be.
    Blocked,
    /// Of a script: taken, and it has run for so long that others are seen to. The shell goes on with it.
    Slow,
    /// Taken, and not answered yet: what it orders is carried out ([`Job::Order`]).
    Order,
    /// Answered; then the connection closes.
    Close,
}

/// Where a command is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// It is a request of its own.
    Nothing,
    /// In an `EXEC`, where nothing waits.
    Transaction,
}
