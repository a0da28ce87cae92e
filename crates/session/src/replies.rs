//! `CLIENT REPLY`: whether a client is sent what its requests are answered with.
//!
//! *Invariant:* a request is executed, counted and shown to monitors all the same.

use crate::refusal::Refusal;
use crate::session::Session;
use crate::turn::Turn;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    #[default]
    Sent,
    /// Until `CLIENT REPLY ON`.
    Dropped,
    /// `CLIENT REPLY SKIP` is being answered: that reply is dropped, and the next.
    DropNext,
    DropThis,
}

impl Session {
    pub(crate) fn set_replies(&mut self, mode: &[u8], out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        match (mode.to_ascii_lowercase().as_slice(), self.replies) {
            (b"on", _) => {
                self.replies = Replies::Sent;
                return self.ok(out);
            }
            (b"off", _) => self.replies = Replies::Dropped,
            (b"skip", Replies::Dropped) => {}
            (b"skip", Replies::Sent | Replies::DropNext | Replies::DropThis) => {
                self.replies = Replies::DropNext;
            }
            _ => return Err(Refusal::Syntax),
        }
        Ok(Turn::Answered)
    }

    /// Is what the request was answered with dropped?
    #[inline]
    pub fn is_mute(&self) -> bool {
        self.replies != Replies::Sent
    }

    /// A reply was dropped; another may be next.
    pub fn dropped(&mut self) {
        self.replies = match self.replies {
            Replies::Dropped => Replies::Dropped,
            Replies::DropNext => Replies::DropThis,
            Replies::DropThis | Replies::Sent => Replies::Sent,
        };
    }
}
