//! Proposals on their way to the log: some are lost, some arrive twice, all arrive late and out of order.

use crate::entry::Entry;
use crate::rng::Rng;

#[derive(Debug)]
pub(crate) struct Network {
    on_the_way: Vec<(u64, Entry)>,
    pub lost_percent: u64,
}

/// The longest way, in ms: several rounds of everything else.
const LATE_MS: u64 = 60;

impl Network {
    pub(crate) fn new(lost_percent: u64) -> Self {
        Network { on_the_way: Vec::new(), lost_percent }
    }

    pub(crate) fn send(&mut self, entry: Entry, now_ms: u64, rng: &mut Rng) {
        if rng.chance(self.lost_percent, 100) {
            return;
        }
        if rng.chance(self.lost_percent, 100) {
            self.on_the_way.push((now_ms + rng.below(20 * LATE_MS), entry.clone()));
        }
        self.on_the_way.push((now_ms + rng.below(LATE_MS), entry));
    }

    /// What arrives now, in an arbitrary order.
    pub(crate) fn arrivals(&mut self, now_ms: u64, rng: &mut Rng) -> Vec<Entry> {
        let (mut due, later) =
            std::mem::take(&mut self.on_the_way).into_iter().partition(|(at, _)| *at <= now_ms);
        self.on_the_way = later;
        shuffle(&mut due, rng);
        due.into_iter().map(|(_, entry)| entry).collect()
    }
}

fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.below(i as u64 + 1) as usize);
    }
}
