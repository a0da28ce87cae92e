//! From one level to the next: what the state becomes when a new level's rules come into force.
//!
//! *Invariant:* pure, and a function of the state alone: every release that admits both levels gives the same.

use crate::state::ControlState;
use ironcache_types::Level;

impl ControlState {
    /// Raises the state to `level`, one level after another. A level that it has reached changes nothing.
    pub(super) fn raise_to(&mut self, level: Level) {
        while self.cluster_level < level {
            let next = self.cluster_level.next();
            self.raise(next);
            self.cluster_level = next;
        }
    }

    /// What changes on the way to `next`: nothing, as no level above the first has been defined.
    #[cfg(not(feature = "next"))]
    fn raise(&mut self, _next: Level) {}

    #[cfg(feature = "next")]
    fn raise(&mut self, next: Level) {
        if next == ironcache_types::NEXT {
            self.raise_to_next();
        }
    }
}
