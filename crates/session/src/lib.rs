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
//! - [`Refusal`] is every reason for which a request is not executed; a [`Redirect`] is one of them, and never read again.
//!
//! How replies that do not answer the request before them fit:
//! - *A command that blocks* is a further [`Stop::Blocked`]: a variant of `blocked::Blocked` that says what it waits for, its time
//!   in [`Session::blocked_ms_max`], and what ends it as a further [`Wake`] (a key is ready, another client unblocks it, the
//!   shard is handed over). `WAIT` is the first. The command is executed when it is woken, not when it is taken: so it can be
//!   answered `MOVED` then, as one that was parked. Inside a transaction nothing waits: it is woken at once, its time up.
//! - *A message to a subscriber* answers no request and meets no `Turn`. [`Listens`] is what a session is sent beside its replies;
//!   a turn that changes it writes its reply (of a subscription: the confirmation) and says so by [`Job::Listen`], and the shell
//!   keeps who listens to what, since one message goes to many, and a queue of messages for each of them. `MONITOR` is the
//!   first; channels are further variants, with the state that Redis asks of them.
//!
//! *Invariant:* pure: no clock, task, socket or file; a deadline is a number of ms that the shell waits for.
//! *Invariant:* on the path of a command on the data nothing is allocated, and nothing about the session is written but the
//! name of the command.

mod blocked;
mod client;
mod command;
mod kill;
mod monitor;
mod pause;
mod profile;
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
mod transaction;
mod turn;
mod watch;

pub use blocked::{Wake, Woken};
pub use client::Which;
pub use kill::{Itself, Kill, Told};
pub use monitor::{Listens, monitor_line};
pub use pause::Paused;
pub use profile::Profile;
pub use refusal::{Endpoint, Redirect, Refusal};
pub use session::{Evictable, Session, Touches, Trusted};
pub use site::{Introduction, Owner, ShownAs, Site};
pub use subcommand::{Subcommand, help_or_refuse};
pub use transaction::{COMMAND_BYTES_MAX, Queued};
pub use turn::{Job, Query, Stop, Turn, Within};
