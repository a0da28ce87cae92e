//! One connection's protocol state: what it has said of itself, what it has begun, and what becomes of its next request,
//! decided without a socket, a task or a clock.
//!
//! ```text
//!  a request ──► Session::take(args, &Site, out) ──► Turn ─┬─ Answered: the reply is in `out`
//!                                                          ├─ Run(Job): the shell executes what is checked, and answers
//!                                                          └─ Stop: the connection does not go on
//!  Stop::Blocked, then whatever happens ──► Session::wake(Wake, &Site, out) ──► Woken
//!  a Refusal ──► Session::refuse ──► text, made once
//! ```
//! The shell (`node/src/data`) keeps the socket, the timers, the dataset, the buffer of replies and what they wait for. It
//! hands requests in as they arrive, executes a [`Job`], and asks for nothing else: what is refused, and how, is decided here.
//!
//! What may be relied on:
//! - [`Session::take`] has changed nothing when it answers `Stop(Park | Hold | Pause)`: the same request is taken again later.
//! - [`Site`] is the node as the session sees it: read only, of one moment, and in the words of a client (an [`Endpoint`], not
//!   a node's number). A test is one: a struct of plain values.
//! - [`Watches`] is the one thing that sessions share: who watches which keys. The shell tells it of what is written.
//! - Who a session acts for is an [`Account`], which it holds and the node keeps up with the log: what its user may do is asked of it
//!   before each command, and whoever may do everything is asked with one comparison. What is ordered about users ([`Order`]) is
//!   answered when the log has taken it.
//! - [`Refusal`] is every reason for which a request is not executed; a [`Redirect`] is one of them, and never read again.
//!
//! How replies that do not answer the request before them fit:
//! - *A command that blocks* is a [`Stop::Blocked`]: a variant of `blocked::Blocked` says what it waits for, its time is in
//!   [`Session::blocked_ms_max`], and what ends it is a [`Wake`]. `WAIT` waits for replicas; `BLPOP` and its like for keys, in the
//!   shell's book of waiters, which has whoever makes a key ready serve them: the session is then [`Session::served`], and no reply
//!   is its own. Once another node serves the slot it is answered `MOVED`, as one that was parked. Inside a transaction nothing waits.
//! - *A message to a subscriber* answers no request and meets no `Turn`. A turn that changes what a session is sent beside its
//!   replies writes its reply (of a subscription: the confirmation) and says so by [`Job::Listen`]; the shell keeps who listens
//!   to what in a [`Registry`], since one message goes to many, and a queue of messages for each of them. `MONITOR` is one,
//!   channels are another, and the third is what becomes of keys that a client keeps ([`TrackingTable`]).
//!
//! *Invariant:* pure: no clock, task, socket or file; a deadline is a number of ms that the shell waits for.
//! *Invariant:* on the path of a command on the data nothing is allocated, and nothing about the session is written but the
//! name of the command.

mod account;
mod acl;
mod blocked;
mod client;
mod command;
mod functions;
mod kill;
mod monitor;
mod pause;
mod profile;
mod pubsub;
mod refusal;
mod replies;
mod route;
mod script;
mod server;
mod session;
mod site;
mod subcommand;
#[cfg(test)]
mod tests;
mod tracking;
mod transaction;
mod turn;
mod watch;

pub use account::{Account, Accounts, Changed};
pub use acl::{AclLogQuery, Order};
pub use blocked::{Unblock, Wake, Woken};
pub use client::{Class, Which};
pub use functions::{Code, FunctionQuery, Known, LibraryOrder};
pub use kill::{Itself, Kill, Told};
pub use monitor::{Listens, monitor_line};
pub use pause::Paused;
pub use profile::Profile;
pub use pubsub::{Audience, Change, Counts, Kind, Message, Registry, Subscriptions, Topic, introspect};
pub use refusal::{Endpoint, Redirect, Refusal};
pub use script::{is_function, is_script};
pub use session::{Evictable, Session, Touches, Trusted};
pub use site::{Busy, Introduction, Looked, Owner, ShownAs, Site};
pub use subcommand::{Subcommand, help_or_refuse};
pub use tracking::{
    Form, Keys, Notice, ShownTracking, Tracking, TrackingCounts, TrackingTable, broken_redirect, form,
};
pub use transaction::{COMMAND_BYTES_MAX, Queued};
pub use turn::{Job, Listening, Query, Stop, Turn, Within};
pub use watch::{KeyChange, WATCHED_BYTES_MAX, Watches};
