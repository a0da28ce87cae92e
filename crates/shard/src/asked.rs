//! Something was asked of the log, and nothing has come of it yet.
//!
//! ```text
//!              asked ──── applied: accepted, or overtaken ───► forgotten
//!                │ └───── nobody tells ─────────► asked again, after a while that depends on what it is
//!                └─────── rejected ─────────────► asked again, 100 ms later at the earliest
//! ```
//! *Invariant:* that nobody tells is no rejection: what the proposal required stays required.
//! *Invariant:* a rejection is an entry, and every entry leads back to whoever asks: without a pause they would chase each
//! other.

use ironcache_replication::Proposal;
use ironcache_types::{Epoch, Member};

/// A rejected proposal is made again at the earliest after this: the entry that made it wrong has to be applied here first,
/// and every try is an entry of everybody's log.
pub(crate) const REJECTED_AGAIN_MS: u64 = 100;
/// One without an outcome after this. Shorter: what is only slow is asked twice. Longer: what was lost is missed longer.
pub(crate) const AGAIN_MS: u64 = 1_000;
/// Longer than a proposal is pursued: whatever became of one that is older, nobody will tell.
pub(crate) const OUTCOME_MS_MAX: u64 = 6_000;

/// One proposal under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    number: u64,
    /// Since it was made, or rejected.
    since_ms: u64,
    heard: Heard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    No,
}

impl Asked {
    pub(crate) fn new(number: u64, now_ms: u64) -> Self {
        Asked { number, since_ms: now_ms, heard: Heard::Nothing }
    }

    /// The log said no, to this very proposal.
    pub(crate) fn rejected(&mut self, number: u64, now_ms: u64) {
        if self.number == number {
            (self.since_ms, self.heard) = (now_ms, Heard::No);
        }
    }

    /// May it still be accepted, as far as this node knows?
    pub(crate) fn is_open(&self) -> bool {
        match self.heard {
            Heard::Nothing => true,
            Heard::No => false,
        }
    }

    /// May it be asked again, `again_ms` being the pause without an outcome?
    pub(crate) fn is_due(&self, now_ms: u64, again_ms: u64) -> bool {
        let pause_ms = match self.heard {
            Heard::Nothing => again_ms,
            Heard::No => REJECTED_AGAIN_MS,
        };
        now_ms.saturating_sub(self.since_ms) >= pause_ms
    }
}

/// May something be asked that may have been asked before?
pub(crate) fn may_ask(asked: Option<Asked>, now_ms: u64, again_ms: u64) -> bool {
    asked.is_none_or(|asked| asked.is_due(now_ms, again_ms))
}

/// Names one proposal, to the shell: it hands it back when the log has rejected that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The ownership epoch, or the handover, in which it was made.
    pub(crate) epoch: Epoch,
    pub(crate) number: u64,
    pub(crate) about: About,
}

/// What a proposal is about whose rejection matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Member {
        member: Member,
        proposal: Proposal,
    },
    /// Without a proposal of its own if another one is under way.
    Mode {
        proposal: Option<Proposal>,
    },
    Promotion,
}

impl Ask {
    pub fn about(&self) -> About {
        self.about
    }
}
