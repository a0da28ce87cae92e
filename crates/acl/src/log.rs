//! `ACL LOG`: what was refused lately, the newest first.
//!
//! *Invariant:* what is refused again and again is one entry that counts, so that nobody pushes all others out with it.

use crate::denied::{Denied, Reason};
use std::collections::VecDeque;

/// Entries that are looked at for one to add to, as Redis has it: more cost more at each refusal.
const LOOKED_AT: usize = 10;
/// An entry that was last added to before that is left alone: it tells of another day.
const SAME_WITHIN_MS: u64 = 60_000;

#[derive(Clone, Debug, Default)]
pub struct AclLog {
    /// Newest first.
    entries: VecDeque<LogEntry>,
}

/// What was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// `None`: to come in as `user`.
    pub denied: Option<Reason>,
    pub context: Context,
    pub object: Vec<u8>,
    pub user: Vec<u8>,
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    TopLevel,
    Transaction,
    /// In what a script called, wherever that ran.
    Script,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub attempt: Attempt,
    pub count: u64,
    /// Of the last time, Unix ms.
    pub at_ms: u64,
    /// As `CLIENT LIST` showed the client that tried it last.
    pub client: String,
}

impl Attempt {
    /// To do what was refused.
    pub fn denied(denied: &Denied, context: Context, user: &[u8]) -> Self {
        Self { denied: Some(denied.reason), context, object: denied.object.clone(), user: user.to_vec() }
    }

    /// To come in, by the command that is called so.
    pub fn to_come_in(command: &[u8], context: Context, user: &[u8]) -> Self {
        Self { denied: None, context, object: command.to_vec(), user: user.to_vec() }
    }

    pub fn reason(&self) -> &'static str {
        match self.denied {
            None => "auth",
            Some(Reason::Command) => "command",
            Some(Reason::Key) => "key",
            Some(Reason::Channel) => "channel",
        }
    }
}

impl Context {
    pub fn word(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Transaction => "multi",
            Context::Script => "lua",
        }
    }
}

impl AclLog {
    /// Writes down an attempt of `client`, and keeps `most` entries.
    pub fn note(&mut self, attempt: Attempt, client: String, at_ms: u64, most: usize) {
        let is_same = |entry: &LogEntry| {
            entry.attempt == attempt && at_ms.saturating_sub(entry.at_ms) <= SAME_WITHIN_MS
        };
        let known = self.entries.iter().take(LOOKED_AT).position(is_same);
        let count = known.and_then(|at| self.entries.remove(at)).map_or(0, |entry| entry.count);
        self.entries.push_front(LogEntry { attempt, count: count + 1, at_ms, client });
        self.entries.truncate(most);
    }

    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &LogEntry> + Clone {
        self.entries.iter()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(object: &str) -> Attempt {
        Attempt::to_come_in(object.as_bytes(), Context::TopLevel, b"ada")
    }

    fn shown(log: &AclLog) -> Vec<(String, u64)> {
        let object = |entry: &LogEntry| String::from_utf8_lossy(&entry.attempt.object).into_owned();
        log.iter().map(|entry| (object(entry), entry.count)).collect()
    }

    fn noted(objects: &[(&str, u64)], most: usize) -> Vec<(String, u64)> {
        let mut log = AclLog::default();
        for (object, at_ms) in objects {
            log.note(attempt(object), format!("client at {at_ms}"), *at_ms, most);
        }
        shown(&log)
    }

    #[test]
    fn the_same_again_is_counted_and_comes_first() {
        let entries = noted(&[("a", 0), ("b", 1), ("a", 2)], 128);
        assert_eq!(entries, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }

    #[test]
    fn what_was_last_tried_more_than_a_minute_ago_is_left_alone() {
        assert_eq!(noted(&[("a", 0), ("a", 60_000)], 128).len(), 1);
        assert_eq!(noted(&[("a", 0), ("a", 60_001)], 128).len(), 2);
    }

    #[test]
    fn only_the_newest_ten_are_looked_at_and_no_more_are_kept_than_were_asked_for() {
        let names: Vec<String> = (0..10).map(|name| name.to_string()).collect();
        let others = |names: &[String]| {
            let mut all = vec![("a", 0)];
            all.extend(names.iter().map(|name| (name.as_str(), 1)));
            all.push(("a", 2));
            noted(&all, 128).len()
        };
        assert_eq!(others(&names[..9]), 10, "it is the tenth");
        assert_eq!(others(&names), 12, "it is the eleventh");
        assert_eq!(noted(&[("a", 0), ("b", 0), ("c", 0)], 2), [("c".to_owned(), 1), ("b".to_owned(), 1)]);
    }

    #[test]
    fn another_user_another_place_or_another_reason_is_another_entry() {
        let mut log = AclLog::default();
        let first = attempt("a");
        let others = [
            Attempt { user: b"eve".to_vec(), ..first.clone() },
            Attempt { context: Context::Transaction, ..first.clone() },
            Attempt { denied: Some(Reason::Key), ..first.clone() },
            first,
        ];
        others.into_iter().for_each(|attempt| log.note(attempt, String::new(), 0, 128));
        assert_eq!(log.iter().count(), 4);
    }
}
