//! Everything that is sent, received, and logged, as one number: two runs of a seed that differ anywhere differ in it.
//!
//! turmoil tells every message with its bytes, and our own crates what they do. The last lines are kept for whoever reads a
//! seed that failed.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Enough to see what led to a failure, and little enough to read.
const LINES_KEPT: usize = 400;

static TRACE: Mutex<Trace> =
    Mutex::new(Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, host: String::new(), lines: VecDeque::new() });

struct Trace {
    /// FNV-1a.
    hash: u64,
    events: u64,
    /// Whose turn it is.
    host: String,
    lines: VecDeque<String>,
}

/// Takes every event of this process from here on, and shows ours if told to.
pub(crate) fn begin(show: bool) {
    tracing::subscriber::set_global_default(Hashing { show }).expect("nobody else listens");
}

/// What is not an event of a crate is part of the run all the same: a fault, say.
pub(crate) fn note(line: &str, show: bool) {
    let mut trace = TRACE.lock().unwrap_or_else(PoisonError::into_inner);
    trace.take(line);
    trace.keep(line, show);
}

pub(crate) fn hash() -> (u64, u64) {
    let trace = TRACE.lock().unwrap_or_else(PoisonError::into_inner);
    (trace.hash, trace.events)
}

pub(crate) fn last_lines() -> Vec<String> {
    TRACE.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
}

impl Trace {
    fn take(&mut self, text: &str) {
        self.events += 1;
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn keep(&mut self, line: &str, show: bool) {
        if show {
            println!("{line}");
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }
}

struct Hashing {
    show: bool,
}

impl Subscriber for Hashing {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target.starts_with("turmoil")
            || target.starts_with("ironcache") && *metadata.level() <= Level::DEBUG
            || *metadata.level() <= Level::WARN
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text(String::new());
        span.record(&mut text);
        if span.metadata().name() == "node" {
            TRACE.lock().unwrap_or_else(PoisonError::into_inner).host = text.0;
        }
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        let mut trace = TRACE.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{}{} {}:{}", trace.host, metadata.level(), metadata.target(), text.0);
        trace.take(&line);
        if !metadata.target().starts_with("turmoil") {
            trace.keep(&line, self.show);
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
