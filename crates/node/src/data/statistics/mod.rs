//! What is counted and timed of the commands that were executed, for `INFO`, `SLOWLOG` and `LATENCY`.
//!
//! ```text
//!  dispatch ── a command, and how long it took ──► Tally ──► per command: calls, time, a histogram
//!     │                                              └─ Pace::Slow ─┬─► Slowlog: its arguments
//!     │                                                             └─► Events: when, and for how long
//!     └─────── an error reply ──► Tally ──► per command and per code
//!  clockwork ── totals so far ──► Rates
//! ```
//! *Invariant:* everything here is bounded, whatever clients send.
//! *Invariant:* a command costs one look at a clock ([`Stopwatch`]) and what [`Tally::executed`] adds up; only what is slow or
//! failed costs more.

mod events;
mod histogram;
mod rates;
mod slowlog;
mod stopwatch;
mod tally;

pub(super) use events::{Event, Events, Sample, Samples};
pub(super) use slowlog::Entry;

use super::client::Client;
use super::plane::Plane;
use crate::config::Config;
use ironcache_command::{Flags, Spec};
use ironcache_spine::boottime_ms;
use rates::{Rates, Totals};
use slowlog::{Slowlog, kept};
use stopwatch::Stopwatch;
use tally::{Pace, Tally};

pub(crate) struct Statistics {
    pub(super) stopwatch: Stopwatch,
    pub(super) tally: Tally,
    pub(super) events: Events,
    pub(super) slowlog: Slowlog,
    pub(super) rates: Rates,
}

impl Statistics {
    pub(super) fn new(config: &Config) -> Self {
        Statistics {
            stopwatch: Stopwatch::new(),
            tally: Tally::new(config),
            events: Events::default(),
            slowlog: Slowlog::default(),
            rates: Rates::default(),
        }
    }

    /// The configuration has changed.
    pub(super) fn obey(&mut self, config: &Config) {
        self.tally.obey(config);
        self.slowlog.keep(config.slowlog_max_len);
    }
}

/// A tick of the clockwork.
pub(super) fn tick(plane: &mut Plane) {
    let stats = &plane.stats;
    let totals =
        Totals { commands: stats.commands, input_bytes: stats.input_bytes, output_bytes: stats.output_bytes };
    plane.statistics.stopwatch.set();
    plane.statistics.rates.look(boottime_ms(), totals);
}

/// Something of the node's own took from `since_ns` of the stopwatch until now.
pub(super) fn note_event(plane: &mut Plane, event: Event, since_ns: u64) {
    let threshold_ms = plane.config.latency_monitor_threshold_ms;
    let ms = plane.statistics.stopwatch.lap(since_ns) / 1_000_000;
    if threshold_ms > 0 && ms >= threshold_ms {
        let at_s = plane.statistics.stopwatch.wall_ms() / 1000;
        plane.statistics.events.add(event, Sample { at_s, ms });
    }
}

/// A command was executed and answered; it began when the clock showed `since_ns`.
#[inline]
pub(super) fn executed(
    plane: &mut Plane,
    client: &Client,
    spec: &'static Spec,
    args: &[&[u8]],
    since_ns: u64,
    reply: Option<&[u8]>,
) {
    plane.stats.commands += 1;
    let ns = plane.statistics.stopwatch.lap(since_ns);
    let pace = plane.statistics.tally.executed(spec, ns);
    if let Some(reply @ [b'-', ..]) = reply {
        plane.statistics.tally.failed(spec, reply);
    }
    if pace == Pace::Slow {
        note_slow(plane, client, spec, args, ns);
    }
}

/// The same of what a script called. Its error is no reply yet: the script's may be one, and is counted then.
pub(super) fn called(
    plane: &mut Plane,
    client: &Client,
    spec: &'static Spec,
    args: &[&[u8]],
    since_ns: u64,
    reply: &[u8],
) {
    if reply.first() == Some(&b'-') {
        plane.statistics.tally.failed_within(spec);
    }
    executed(plane, client, spec, args, since_ns, None);
}

#[cold]
fn note_slow(plane: &mut Plane, client: &Client, spec: &Spec, args: &[&[u8]], ns: u64) {
    let (config, at_s) = (&plane.config, plane.statistics.stopwatch.wall_ms() / 1000);
    let (us, ms) = (ns / 1_000, ns / 1_000_000);
    let threshold_ms = config.latency_monitor_threshold_ms;
    if threshold_ms > 0 && ms >= threshold_ms {
        let event = if spec.flags.contains(Flags::FAST) { Event::FastCommand } else { Event::Command };
        plane.statistics.events.add(event, Sample { at_s, ms });
    }
    if config.slowlog_slower_than_us.is_some_and(|most_us| us >= most_us) && is_logged(spec) {
        let entry = Entry {
            id: 0,
            at_s,
            us,
            args: kept(args),
            addr: client.info.borrow().addr,
            name: client.session.profile().name.clone(),
        };
        plane.statistics.slowlog.push(entry, config.slowlog_max_len);
    }
}

/// What an `EXEC` took is that of its commands, which are logged themselves.
fn is_logged(spec: &Spec) -> bool {
    spec.name != "exec"
}
