//! Where enums with numbers become sentences.
//!
//! *Invariant:* pure: the same value gives the same text; no clock is read.
//! *Invariant:* what this release does not know is shown as it came, and ends no command.

mod audit;
mod hold;
mod members;
mod named;
mod plan;
#[cfg(test)]
pub(crate) mod samples;
mod soaking;
mod waiting_on;

pub use audit::{act, asker, utc};
pub use hold::{held, hold_reason};
pub use members::change;
pub use named::Names;
pub(crate) use plan::phase_word;
pub use plan::{ended_line, phase_line};
pub use soaking::{rollback_blocker, soaking_lines};
pub use waiting_on::waiting_on;
