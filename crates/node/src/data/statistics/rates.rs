//! How much there is a second, as of the last one and a half: of samples a tenth of a second apart.

/// As many as Redis averages.
const SAMPLES: usize = 16;
/// Time between two samples.
const SAMPLE_MS: u64 = 100;

/// Totals that only grow; [`Rates::look`] hands them in, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::data) struct Totals {
    pub commands: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub(in crate::data) struct Rates {
    last: Totals,
    last_ms: u64,
    /// A second's worth of each interval.
    samples: [Totals; SAMPLES],
    next: usize,
}

impl Rates {
    /// Takes a sample if it is time for one. `now_ms` only goes forward.
    pub(in crate::data) fn look(&mut self, now_ms: u64, totals: Totals) {
        let since_ms = now_ms.saturating_sub(self.last_ms);
        if since_ms < SAMPLE_MS {
            return;
        }
        let Totals { commands, input_bytes, output_bytes } = totals;
        // They begin anew at `CONFIG RESETSTAT`.
        let a_second = |now: u64, before: u64| now.saturating_sub(before) * 1000 / since_ms;
        if self.last_ms > 0 {
            self.samples[self.next] = Totals {
                commands: a_second(commands, self.last.commands),
                input_bytes: a_second(input_bytes, self.last.input_bytes),
                output_bytes: a_second(output_bytes, self.last.output_bytes),
            };
            self.next = (self.next + 1) % SAMPLES;
        }
        (self.last, self.last_ms) = (totals, now_ms);
    }

    /// A second.
    pub(in crate::data) fn now(&self) -> Totals {
        let mean = |of: fn(&Totals) -> u64| self.samples.iter().map(of).sum::<u64>() / SAMPLES as u64;
        Totals {
            commands: mean(|sample| sample.commands),
            input_bytes: mean(|sample| sample.input_bytes),
            output_bytes: mean(|sample| sample.output_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_told_as_it_is_and_a_stopped_one_fades() {
        let mut rates = Rates::default();
        let mut totals = Totals::default();
        for tick in 1..=200 {
            totals = Totals {
                commands: totals.commands + 5,
                input_bytes: totals.input_bytes + 100,
                output_bytes: totals.output_bytes + 1_000,
            };
            rates.look(tick * 10, totals);
        }
        let steady = Totals { commands: 500, input_bytes: 10_000, output_bytes: 100_000 };
        assert_eq!(rates.now(), steady);
        for tick in 201..=400 {
            rates.look(tick * 10, totals);
        }
        assert_eq!(rates.now(), Totals::default());
        rates.look(5_000, Totals::default());
        assert_eq!(rates.now(), Totals::default(), "totals that begin anew are no rate");
    }
}
