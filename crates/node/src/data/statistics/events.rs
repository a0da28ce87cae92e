//! When something was slow, and how slow: the samples of `LATENCY`, by event.
//!
//! *Invariant:* of an event [`SAMPLES_MAX`] seconds are kept, each with the longest of it.

use std::collections::{BTreeMap, VecDeque};

/// As many as Redis keeps.
const SAMPLES_MAX: usize = 160;

/// What may be slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::data) enum Event {
    Command,
    /// Of a command that is fast, whatever the data.
    ExpireCycle,
    FastCommand,
}

impl Event {
    const ALL: [Event; 3] = [Event::Command, Event::ExpireCycle, Event::FastCommand];

    pub(in crate::data) fn name(self) -> &'static str {
        match self {
            Event::Command => "command",
            Event::ExpireCycle => "expire-cycle",
            Event::FastCommand => "fast-command",
        }
    }

    pub(in crate::data) fn named(name: &[u8]) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) struct Sample {
    pub at_s: u64,
    pub ms: u64,
}

#[derive(Default)]
pub(in crate::data) struct Events(BTreeMap<Event, Samples>);

#[derive(Default)]
pub(in crate::data) struct Samples {
    /// The oldest first.
    kept: VecDeque<Sample>,
    /// Of all that there ever were.
    pub ms_max: u64,
}

/// Samples in short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::data) struct Summary {
    pub count: u64,
    pub ms_least: u64,
    pub ms_most: u64,
    pub ms_mean: u64,
    /// How far from the mean they are, on average.
    pub ms_deviation: u64,
    /// Seconds between two, on average.
    pub period_s: f64,
}

impl Events {
    pub(in crate::data) fn add(&mut self, event: Event, sample: Sample) {
        let samples = self.0.entry(event).or_default();
        samples.ms_max = samples.ms_max.max(sample.ms);
        match samples.kept.back_mut() {
            Some(last) if last.at_s == sample.at_s => last.ms = last.ms.max(sample.ms),
            Some(_) | None => {
                if samples.kept.len() == SAMPLES_MAX {
                    samples.kept.pop_front();
                }
                samples.kept.push_back(sample);
            }
        }
    }

    pub(in crate::data) fn iter(&self) -> impl ExactSizeIterator<Item = (Event, &Samples)> {
        self.0.iter().map(|(event, samples)| (*event, samples))
    }

    pub(in crate::data) fn of(&self, event: Event) -> Option<&Samples> {
        self.0.get(&event)
    }

    /// Were there any?
    pub(in crate::data) fn forget(&mut self, event: Event) -> bool {
        self.0.remove(&event).is_some()
    }

    /// How many events there were.
    pub(in crate::data) fn forget_all(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }
}

impl Samples {
    /// The oldest first.
    pub(in crate::data) fn iter(&self) -> impl ExactSizeIterator<Item = Sample> + DoubleEndedIterator + '_ {
        self.kept.iter().copied()
    }

    pub(in crate::data) fn summary(&self, now_s: u64) -> Summary {
        let count = self.kept.len() as u64;
        let of =
            |take: fn(u64, u64) -> u64| self.kept.iter().map(|sample| sample.ms).reduce(take).unwrap_or(0);
        let ms_mean = of(|a, b| a + b) / count.max(1);
        let away: u64 = self.kept.iter().map(|sample| sample.ms.abs_diff(ms_mean)).sum();
        let since_s = self.kept.front().map_or(0, |first| now_s.saturating_sub(first.at_s)).max(1);
        Summary {
            count,
            ms_least: of(u64::min),
            ms_most: of(u64::max),
            ms_mean,
            ms_deviation: away / count.max(1),
            period_s: since_s as f64 / count.max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_second_the_longest_is_kept_and_of_seconds_the_latest() {
        let mut events = Events::default();
        for (at_s, ms) in [(1, 5), (1, 9), (1, 7), (2, 3)] {
            events.add(Event::Command, Sample { at_s, ms });
        }
        let samples = events.of(Event::Command).unwrap();
        assert_eq!(samples.iter().map(|s| (s.at_s, s.ms)).collect::<Vec<_>>(), [(1, 9), (2, 3)]);
        let summary = samples.summary(11);
        assert_eq!((summary.count, summary.ms_least, summary.ms_most), (2, 3, 9));
        assert_eq!((summary.ms_mean, summary.ms_deviation, summary.period_s), (6, 3, 5.0));
        for at_s in 3..1_000 {
            events.add(Event::Command, Sample { at_s, ms: 1 });
        }
        let samples = events.of(Event::Command).unwrap();
        assert_eq!((samples.iter().len(), samples.ms_max), (SAMPLES_MAX, 9));
        assert_eq!(samples.summary(1_000).ms_most, 1);
        assert!(events.of(Event::ExpireCycle).is_none());
        assert!(events.forget(Event::Command) && !events.forget(Event::Command));
        assert_eq!(events.forget_all(), 0);
    }

    #[test]
    fn an_event_is_found_by_its_name() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.name().to_uppercase().as_bytes()), Some(event));
        }
        assert_eq!(Event::named(b"nothing"), None);
    }
}
