//! `CLIENT PAUSE`: until when commands are held back, and who waits for the end of it.
//!
//! *Invariant:* what is held back goes on when the pause ends, of which everybody who waits is told.
//! *Invariant:* while anything is held back, nothing is written by the node itself: no key expires.

use ironcache_session::Paused;
use std::rc::Rc;
use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Pause {
    on: Option<On>,
    ended: Rc<Notify>,
}

#[derive(Clone, Copy)]
struct On {
    what: Paused,
    /// By the clock that the clockwork hands in.
    until_ms: u64,
}

impl Pause {
    /// As in Redis, a second one adds to the first: whichever holds back more, and for longer.
    pub(crate) fn begin(&mut self, what: Paused, until_ms: u64) {
        let before = self.on.map_or((what, until_ms), |on| (on.what, on.until_ms));
        self.on = Some(On { what: what.max(before.0), until_ms: until_ms.max(before.1) });
    }

    pub(crate) fn end(&mut self) {
        if self.on.take().is_some() {
            self.ended.notify_waiters();
        }
    }

    /// It may be over.
    pub(crate) fn look(&mut self, now_ms: u64) {
        if self.on.is_some_and(|on| now_ms >= on.until_ms) {
            self.end();
        }
    }

    /// What is held back now.
    #[inline]
    pub(crate) fn what(&self) -> Option<Paused> {
        self.on.map(|on| on.what)
    }

    pub(crate) fn ended(&self) -> Rc<Notify> {
        Rc::clone(&self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_and_the_wider_of_two_hold() {
        let mut pause = Pause::default();
        assert_eq!(pause.what(), None);
        pause.begin(Paused::All, 10);
        pause.begin(Paused::Writes, 20);
        pause.look(19);
        assert_eq!(pause.what(), Some(Paused::All));
        pause.look(20);
        assert_eq!(pause.what(), None);
        pause.begin(Paused::Writes, 5);
        assert_eq!(pause.what(), Some(Paused::Writes));
        pause.end();
        assert_eq!(pause.what(), None);
    }
}
