//! Everything of the command line that is not a server: the commands that operate a cluster, a playground, a demo.
//!
//! ```text
//!   cluster · release · upgrade ─► HTTP ─► any node
//!   playground · demo ─► local cluster of `server` processes, then the same commands
//! ```
//! *Invariant:* the commands know a cluster through its HTTP interface only; of a node's files they read its key and its join
//! code, and only where they are told to, and no daemon is linked here.
//! *Invariant:* reasons come as enums with numbers, and become sentences in [`text`], nowhere else.
//! *Invariant:* exit codes and JSON are a contract with scripts (see [`exit`]).

mod access;
pub mod cluster;
mod command;
pub mod demo;
pub mod exit;
mod interrupt;
pub mod local;
pub mod output;
pub mod playground;
mod program;
pub mod release;
pub mod text;
pub mod upgrade;

pub use command::{Command, run};
pub use program::Program;
