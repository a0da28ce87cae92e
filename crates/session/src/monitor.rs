//! `MONITOR`: a line for each command that was executed, to whoever listens; no reply to anything.
//!
//! *Invariant:* no line holds a password.

use crate::refusal::Refusal;
use crate::session::Session;
use crate::turn::{Job, Listening, Turn, Within};
use ironcache_command::{Flags, lookup};
use std::fmt::{Display, Write};

/// Is a session shown what others execute?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listens {
    #[default]
    Nothing,
    Monitor,
}

impl Session {
    pub(crate) fn monitor(&mut self, within: Within, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        match within {
            Within::Nothing => {
                self.ok(out)?;
                let before = std::mem::replace(&mut self.listens, Listens::Monitor);
                self.look_up();
                // The shell is told only of what changes.
                Ok(match before {
                    Listens::Monitor => Turn::Answered,
                    Listens::Nothing => Turn::Run(Job::Listen(Listening::Monitor)),
                })
            }
            Within::Transaction => Err(Refusal::MonitorInTransaction),
        }
    }

    /// It is sent nothing any more but replies.
    pub(crate) fn listen_to_nothing(&mut self) -> Turn {
        if !self.attentive && self.tracking.is_none() {
            return Turn::Answered;
        }
        self.track_nothing();
        let subscriptions = std::mem::take(&mut self.subscriptions);
        self.listens = Listens::Nothing;
        self.look_up();
        Turn::Run(Job::Listen(Listening::Nothing(subscriptions)))
    }

    /// Notes whether its next request needs a closer look.
    pub(crate) fn look_up(&mut self) {
        self.attentive = self.listens != Listens::Nothing || self.is_subscribed();
    }
}

/// One command of a client as monitors are shown it; none for an administrator's. Format: the Redis documentation of
/// `MONITOR`.
pub fn monitor_line(now_ms: u64, client: &impl Display, args: &[&[u8]]) -> Option<String> {
    let spec = lookup(args[0])?.named(args);
    if spec.flags.contains(Flags::ADMIN) {
        return None;
    }
    let mut line = format!("{}.{:06} [0 {client}]", now_ms / 1000, now_ms % 1000 * 1000);
    // How many of the arguments that follow are nobody else's business.
    let mut secret = 0;
    for (at, arg) in args.iter().enumerate() {
        if secret > 0 {
            secret -= 1;
            line.push_str(" \"(redacted)\"");
            continue;
        }
        match spec.name {
            "auth" if at == 0 => secret = args.len(),
            "hello" if at > 1 && arg.eq_ignore_ascii_case(b"auth") => secret = 2,
            _ => {}
        }
        line.push_str(" \"");
        arg.iter().for_each(|byte| push_shown(*byte, &mut line));
        line.push('"');
    }
    Some(line)
}

/// A byte as Redis shows it in quotes.
fn push_shown(byte: u8, line: &mut String) {
    match byte {
        b'\\' | b'"' => {
            line.push('\\');
            line.push(char::from(byte));
        }
        b'\n' => line.push_str("\\n"),
        b'\r' => line.push_str("\\r"),
        b'\t' => line.push_str("\\t"),
        0x07 => line.push_str("\\a"),
        0x08 => line.push_str("\\b"),
        b' '..=b'~' => line.push(char::from(byte)),
        _ => {
            let _ = write!(line, "\\x{byte:02x}");
        }
    }
}
