//! LATENCY DOCTOR: what the samples say, and what to do about it.

use super::super::super::statistics::{Event, Events};
use crate::config::Config;
use std::fmt::Write;

pub(super) fn report(events: &Events, config: &Config, now_s: u64) -> String {
    if config.latency_monitor_threshold_ms == 0 {
        return "Nothing is sampled: latency-monitor-threshold is 0. CONFIG SET latency-monitor-threshold \
                <milliseconds> has what takes longer sampled; 100 is a good value to begin with.\n"
            .to_owned();
    }
    if events.iter().len() == 0 {
        return format!(
            "Nothing has taken {} ms or longer since sampling began.\n",
            config.latency_monitor_threshold_ms
        );
    }
    let mut text = String::new();
    for (at, (event, samples)) in events.iter().enumerate() {
        let summary = samples.summary(now_s);
        let _ = writeln!(
            text,
            "{}. {}: {} latency spikes (average {} ms, mean deviation {} ms, period {:.2} s). Worst of all: {} ms.",
            at + 1,
            event.name(),
            summary.count,
            summary.ms_mean,
            summary.ms_deviation,
            summary.period_s,
            samples.ms_max
        );
    }
    text.push_str("\nAdvice:\n");
    let (mut commands, mut expiry) = (false, false);
    for (event, _) in events.iter() {
        match event {
            Event::Command | Event::FastCommand => commands = true,
            Event::ExpireCycle => expiry = true,
        }
    }
    if commands {
        text.push_str(if config.slowlog_slower_than_us.is_some() {
            "- SLOWLOG GET shows which commands took long: split large keys, and read them in parts.\n"
        } else {
            "- CONFIG SET slowlog-log-slower-than 10000, and SLOWLOG GET shows which commands take long.\n"
        });
        text.push_str(
            "- If a fast command took long, the machine did: look for processors that are shared, swap, and disks that hang.\n",
        );
    }
    if expiry {
        text.push_str("- Many keys expire at once: spread their times to live.\n");
    }
    text
}
