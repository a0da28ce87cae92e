//! Watching and steering a roll.
//!
//! ```text
//!   GET /v1/upgrade ──follow──► View ──► table and bar (a terminal) | lines (a pipe) | JSON | nothing
//! ```
//! *Invariant:* watching changes nothing: the roll goes on whether or not anybody looks.

mod command;
mod follow;
mod lines;
mod once;
mod table;
mod view;

pub use command::UpgradeCommand;
pub use follow::{Ending, follow};
pub use once::{UpgradeArgs, run as run_once};
pub use view::{Gauge, View};
