//! What was executed, refused and answered with an error, by command and by code.
//!
//! *Invariant:* a place for each command and subcommand of the table, found by its number; at most [`CODES_MAX`] codes.

use super::histogram::Histogram;
use crate::config::Config;
use ironcache_command::Spec;
use std::collections::BTreeMap;

/// Codes that are told apart. More than there are in the whole of Redis, so that scripts may have their own; and a script that
/// makes one up for each error does not fill the memory.
const CODES_MAX: usize = 128;

/// Of one command, or subcommand.
#[derive(Clone, Debug, Default)]
pub(in crate::data) struct OfCommand {
    pub calls: u64,
    pub ns: u64,
    /// Refused before they began.
    pub rejected: u64,
    /// Among the calls.
    pub failed: u64,
    /// If `latency-tracking` is `yes`.
    pub took: Histogram,
}

pub(in crate::data) struct Tally {
    /// By [`Spec::number`].
    by_command: Vec<OfCommand>,
    by_code: BTreeMap<String, u64>,
    errors: u64,
    tracks: bool,
    /// A command that took so long, or longer, is noted.
    slow_ns: u64,
}

/// How long a command may take before somebody wants to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what is slow is noted"]
pub(in crate::data) enum Pace {
    Usual,
    Slow,
}

impl Tally {
    pub(in crate::data) fn new(config: &Config) -> Self {
        let mut tally = Tally {
            by_command: vec![OfCommand::default(); Spec::COUNT],
            by_code: BTreeMap::new(),
            errors: 0,
            tracks: true,
            slow_ns: u64::MAX,
        };
        tally.obey(config);
        tally
    }

    /// `CONFIG RESETSTAT`.
    pub(in crate::data) fn reset(&mut self) {
        self.by_command.fill(OfCommand::default());
        self.by_code.clear();
        self.errors = 0;
    }

    /// The configuration has changed.
    pub(in crate::data) fn obey(&mut self, config: &Config) {
        self.tracks = config.latency_tracking;
        let of_log = config.slowlog_slower_than_us.map(|us| us.saturating_mul(1_000));
        let of_events = Some(config.latency_monitor_threshold_ms).filter(|ms| *ms > 0);
        let of_events = of_events.map(|ms| ms.saturating_mul(1_000_000));
        self.slow_ns = of_log.into_iter().chain(of_events).min().unwrap_or(u64::MAX);
    }

    /// A command took so long.
    #[inline]
    pub(in crate::data) fn executed(&mut self, spec: &Spec, ns: u64) -> Pace {
        let of = &mut self.by_command[spec.number];
        of.calls += 1;
        of.ns += ns;
        if self.tracks {
            of.took.record(ns);
        }
        if ns >= self.slow_ns { Pace::Slow } else { Pace::Usual }
    }

    /// It was answered with this error.
    #[cold]
    pub(in crate::data) fn failed(&mut self, spec: &Spec, reply: &[u8]) {
        self.by_command[spec.number].failed += 1;
        self.error(reply);
    }

    /// A command, if it is one, was refused with this error before it began.
    #[cold]
    pub(in crate::data) fn rejected(&mut self, spec: Option<&Spec>, reply: &[u8]) {
        if let Some(spec) = spec {
            self.by_command[spec.number].rejected += 1;
        }
        self.error(reply);
    }

    /// The same of what a script called: what its client is answered is another error, or none.
    #[cold]
    pub(in crate::data) fn failed_within(&mut self, spec: &Spec) {
        self.by_command[spec.number].failed += 1;
    }

    /// The same of what a script wanted to call.
    #[cold]
    pub(in crate::data) fn rejected_within(&mut self, spec: &Spec) {
        self.by_command[spec.number].rejected += 1;
    }

    /// `-CODE text`.
    fn error(&mut self, reply: &[u8]) {
        self.errors += 1;
        let code = reply.strip_prefix(b"-").unwrap_or(reply);
        let end = code.iter().position(|byte| matches!(byte, b' ' | b'\r')).unwrap_or(code.len());
        let code = String::from_utf8_lossy(&code[..end]);
        if let Some(count) = self.by_code.get_mut(&*code) {
            *count += 1;
        } else if self.by_code.len() < CODES_MAX {
            self.by_code.insert(code.into_owned(), 1);
        }
    }

    pub(in crate::data) fn of(&self, spec: &Spec) -> &OfCommand {
        &self.by_command[spec.number]
    }

    /// Error replies, by code.
    pub(in crate::data) fn codes(&self) -> &BTreeMap<String, u64> {
        &self.by_code
    }

    /// All of them.
    pub(in crate::data) fn errors(&self) -> u64 {
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_command::lookup;

    fn get() -> &'static Spec {
        lookup(b"get").unwrap()
    }

    #[test]
    fn a_code_ends_at_a_space_or_with_the_line_and_there_are_so_many_at_most() {
        let mut tally = Tally::new(&Config::default());
        for reply in ["-ERR wrong", "-ERR other\r\n", "-MOVED 1 h:1\r\n", "-BARE\r\n"] {
            tally.rejected(None, reply.as_bytes());
        }
        let codes: Vec<_> = tally.codes().iter().map(|(code, count)| (code.as_str(), *count)).collect();
        assert_eq!(codes, [("BARE", 1), ("ERR", 2), ("MOVED", 1)]);
        for number in 0..1_000 {
            tally.failed(get(), format!("-E{number} x\r\n").as_bytes());
        }
        assert_eq!((tally.codes().len(), tally.errors()), (CODES_MAX, 1_004));
        tally.reset();
        assert_eq!((tally.codes().len(), tally.errors(), tally.of(get()).failed), (0, 0, 0));
    }

    #[test]
    fn whoever_waits_least_says_what_is_slow() {
        let with = |slower_us, threshold_ms| {
            let config = Config {
                slowlog_slower_than_us: slower_us,
                latency_monitor_threshold_ms: threshold_ms,
                ..Config::default()
            };
            Tally::new(&config)
        };
        for (slower_us, threshold_ms, ns, pace) in [
            (None, 0, u64::MAX - 1, Pace::Usual),
            (Some(10), 0, 9_999, Pace::Usual),
            (Some(10), 0, 10_000, Pace::Slow),
            (Some(0), 0, 0, Pace::Slow),
            (None, 1, 1_000_000, Pace::Slow),
            (Some(10_000), 1, 999_999, Pace::Usual),
        ] {
            assert_eq!(
                with(slower_us, threshold_ms).executed(get(), ns),
                pace,
                "{slower_us:?} {threshold_ms} {ns}"
            );
        }
    }
}
