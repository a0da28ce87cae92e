//! What the engine is told, besides what clients and links ask it.

use crate::asked::Ask;
use crate::holding::Held;
use crate::lease::Grant;
use ironcache_control::ControlState;
use ironcache_types::Epoch;
use std::sync::Arc;

/// What time it is, by two clocks of the shell's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The time in which this process ran: what the silence of others is measured in.
    pub ran_ms: u64,
    /// Of a clock that counts while the machine sleeps, too: what leases are measured in, and waiting for an outcome.
    pub boot_ms: u64,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// What lies on the disk is read: the dataset holds that. Or nothing lies there.
    Loaded { held: Option<Held> },
    /// The log is applied up to `index`.
    Applied { index: u64, state: Arc<ControlState> },
    /// Every few ms, and when [`Action::TickAfter`](crate::Action::TickAfter) asked for it.
    Tick,
    /// The leader answered.
    Granted(Grant),
    /// The log rejected what was proposed. That it accepted something is told by the applied state alone, and that
    /// nobody knows by nothing.
    Rejected(Ask),
    /// What [`Action::SettleReplies`](crate::Action::SettleReplies) let go is on its way to the clients.
    RepliesLeft { handover: Epoch },
    /// The node stops soon: a promotion now would be an outage in a moment.
    Leaving,
    /// The checkpoint is being written: from here on the dataset stays as it is.
    Sealed,
    /// No checkpoint came of it: what was held is served on.
    Unsealed,
}
