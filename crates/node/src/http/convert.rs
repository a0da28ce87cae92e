//! From the live types of log, coordinator and data plane to what the HTTP port answers, and from a request back.
//!
//! *Invariant:* every live type is taken apart without `..`: a field that is added does not compile before somebody
//! has said here whether it is shown.
//! *Invariant:* no other file makes an answer's type out of a live one.

mod control;
mod plan;
mod request;
mod waiting_on;

pub(super) use control::{ack_mode, control, quarantine};
pub(super) use plan::{history_entry, plan};
pub(super) use request::{log_ack_mode, wire};
pub(super) use waiting_on::waiting_on;

use ironcache_api::Reason;
use ironcache_types::{LevelRange, WireRange};

/// A reason that has no code yet.
fn reason(text: &str) -> Reason {
    Reason { code: None, reason: text.to_owned() }
}

pub(super) fn levels(wire: WireRange) -> LevelRange {
    let WireRange { min, max } = wire;
    LevelRange::new(min, max)
}
