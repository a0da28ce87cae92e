//! A primary's side of the lease: may it answer clients now?
//!
//! ```text
//!   asked at t ──> leader: quorum round ──> granted, read index i ──> applied >= i, and the state names this life
//!        └───────────────────────────── t + lease: until then ──────────────────────────────┘
//! ```
//! *Invariant:* a lease runs from when it was asked for, not from when the answer came: whatever happened in between, the
//! leader that granted it had not been replaced at t.
//! *Invariant:* it is in force only once everything is applied that was committed before it was granted.
//! *Invariant:* its end suspends, it does not revoke: who owns the shard is said by the log alone.

/// What a leader granted to this life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The clock's time until which it holds: when it was asked for, and the length of a lease.
    pub until_ms: u64,
    /// In force once the log is applied up to here.
    pub index: u64,
}

/// What became of a lease at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leased {
    AsBefore,
    /// It began, or ended.
    Changed,
}

/// The lease of one life of a node, over all its times as a primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    in_force: Option<u64>,
    /// Granted, and the log not applied that far.
    waiting: Option<Grant>,
}

impl Lease {
    /// An answer of a leader, `now_ms` by the clock, and `applied` in the log.
    pub fn granted(&mut self, grant: Grant, now_ms: u64, applied: u64) {
        self.apply(applied);
        if grant.index <= applied {
            self.in_force = self.in_force.max(Some(grant.until_ms));
            return;
        }
        // The older one comes into force sooner, and would never if each answer replaced it.
        if self.waiting.is_none_or(|waiting| waiting.until_ms <= now_ms) {
            self.waiting = Some(grant);
        }
    }

    /// Until when this life may answer clients, given that the state names it; `None` if it never was granted.
    pub fn until_ms(&mut self, applied: u64) -> Option<u64> {
        self.apply(applied);
        self.in_force
    }

    /// May this life answer clients, given that the state names it?
    pub fn holds(&mut self, now_ms: u64, applied: u64) -> bool {
        self.until_ms(applied).is_some_and(|until_ms| now_ms < until_ms)
    }

    fn apply(&mut self, applied: u64) {
        if let Some(grant) = self.waiting.filter(|grant| grant.index <= applied) {
            self.in_force = self.in_force.max(Some(grant.until_ms));
            self.waiting = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_holds_before_it_was_granted() {
        assert!(!Lease::default().holds(0, u64::MAX));
    }

    #[test]
    fn it_holds_until_its_end_and_not_at_it() {
        let mut lease = Lease::default();
        lease.granted(Grant { until_ms: 900, index: 5 }, 3, 5);
        assert!(lease.holds(899, 5));
        assert!(!lease.holds(900, 5));
        lease.granted(Grant { until_ms: 1_100, index: 5 }, 905, 5);
        assert!(lease.holds(1_099, 5), "renewed");
    }

    #[test]
    fn an_answer_counts_once_the_log_is_applied_up_to_its_index() {
        let mut lease = Lease::default();
        lease.granted(Grant { until_ms: 900, index: 7 }, 3, 6);
        assert!(!lease.holds(10, 6), "what was committed before it may depose this life");
        assert!(lease.holds(10, 7));
    }

    #[test]
    fn an_older_answer_does_not_shorten_it() {
        let mut lease = Lease::default();
        lease.granted(Grant { until_ms: 900, index: 1 }, 3, 9);
        lease.granted(Grant { until_ms: 700, index: 1 }, 4, 9);
        assert_eq!(lease.until_ms(9), Some(900));
    }

    #[test]
    fn answers_that_outrun_the_log_do_not_put_each_other_off_for_ever() {
        let mut lease = Lease::default();
        for round in 0..10 {
            let grant = Grant { until_ms: 900 + 200 * round, index: 10 + round };
            lease.granted(grant, 200 * round, 9 + round);
        }
        assert!(lease.holds(1_900, 18), "some answer came into force meanwhile");
    }
}
