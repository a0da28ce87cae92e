//! Which replies may leave.
//!
//! *Invariant:* a reply leaves while the lease runs, those that have waited for members included: a primary that was cut off
//! meanwhile may have been deposed, and what it applies then (a lower mode, a smaller set) was not said of its writes.

use crate::engine::Engine;
use crate::role::Role;
use ironcache_control::AckMode;
use ironcache_replication::Gate;
use ironcache_types::Offset;

/// The offsets that buffered replies depend on; 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// End of the last write.
    pub write: u64,
    /// End of the last effect on a slot that was read.
    pub read: u64,
}

/// Whether a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Now,
    /// When everything below this offset may be acknowledged.
    After(u64),
    /// The role is lost: never.
    Lost,
}

impl Owed {
    pub fn is_nothing(&self) -> bool {
        *self == Owed::default()
    }
}

impl Engine {
    /// A command was executed, and its frame ends at `end`. On the path of every write.
    #[inline]
    pub fn on_frame(&mut self, end: Offset, ran_ms: u64) {
        if let Role::Primary(primary) = &mut self.role {
            primary.gate.on_frame(end, ran_ms);
        }
    }

    /// May the replies that owe this be sent now?
    pub fn may_reply(&mut self, owed: Owed) -> Reply {
        let enough = self.has_enough_in_sync();
        let Role::Primary(primary) = &mut self.role else {
            return Reply::Lost;
        };
        let Owed { write, read } = owed;
        // In mode `in-sync` no read shows what a later primary may lack.
        let needed = match primary.mode {
            AckMode::InSync => write.max(read),
            AckMode::Primary => write,
        };
        if needed == 0 {
            return Reply::Now;
        }
        if !self.leased || write > 0 && !enough {
            return Reply::After(needed);
        }
        match primary.gate.may_acknowledge(Offset(needed)) {
            Gate::Open => Reply::Now,
            Gate::WaitFor { member: _, behind_bytes: _ } => Reply::After(needed),
        }
    }

    /// May a reply leave that has waited for `offset`, by the lease at the last look?
    pub fn is_released(&mut self, offset: u64) -> bool {
        if !self.leased || !self.has_enough_in_sync() {
            return false;
        }
        match &mut self.role {
            Role::Primary(primary) => match primary.gate.may_acknowledge(Offset(offset)) {
                Gate::Open => true,
                Gate::WaitFor { member: _, behind_bytes: _ } => false,
            },
            Role::Loading | Role::Replica(_) => false,
        }
    }
}
