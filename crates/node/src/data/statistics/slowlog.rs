//! The commands that took longest, the latest first.
//!
//! *Invariant:* of a command a bounded part is kept, and of commands `slowlog-max-len`.
//! *Invariant:* nobody's password is kept.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// Arguments that are kept of a command, and bytes of each, as in Redis.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::data) struct Entry {
    /// From 0 on, never used again.
    pub id: u64,
    pub at_s: u64,
    pub us: u64,
    pub args: Vec<Vec<u8>>,
    pub addr: SocketAddr,
    pub name: String,
}

#[derive(Default)]
pub(in crate::data) struct Slowlog {
    /// The oldest first.
    entries: VecDeque<Entry>,
    next: u64,
}

impl Slowlog {
    /// `entry` comes without an id; `most` are kept.
    pub(in crate::data) fn push(&mut self, entry: Entry, most: usize) {
        let id = self.next;
        self.next += 1;
        self.entries.push_back(Entry { id, ..entry });
        self.keep(most);
    }

    /// `slowlog-max-len` may have changed.
    pub(in crate::data) fn keep(&mut self, most: usize) {
        self.entries.drain(..self.entries.len().saturating_sub(most));
    }

    pub(in crate::data) fn reset(&mut self) {
        self.entries.clear();
    }

    pub(in crate::data) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The latest first.
    pub(in crate::data) fn latest(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter().rev()
    }
}

/// What is kept of a command's arguments, its name first.
pub(in crate::data) fn kept(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let shown = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut secrets = Secrets::of(args[0]);
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(shown + 1);
    for (at, arg) in args[..shown].iter().enumerate() {
        if secrets.takes(at, arg) {
            kept.push(b"(redacted)".to_vec());
        } else if arg.len() > ARG_BYTES_MAX {
            let more = arg.len() - ARG_BYTES_MAX;
            kept.push([&arg[..ARG_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat());
        } else {
            kept.push(arg.to_vec());
        }
    }
    if shown < args.len() {
        kept.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    kept
}

/// Which arguments are nobody else's business.
enum Secrets {
    None,
    /// Of `AUTH`.
    All,
    /// Of `HELLO`: behind the word `AUTH`.
    AfterAuth {
        left: usize,
    },
    /// Of `CONFIG SET`: the value behind a name.
    AfterName {
        is_next: bool,
    },
    /// Of `ACL SETUSER`: all that it sets.
    OfUsers {
        sets: bool,
    },
}

impl Secrets {
    fn of(command: &[u8]) -> Secrets {
        match command.to_ascii_lowercase().as_slice() {
            b"auth" => Secrets::All,
            b"hello" => Secrets::AfterAuth { left: 0 },
            b"acl" => Secrets::OfUsers { sets: false },
            b"config" => Secrets::AfterName { is_next: false },
            _ => Secrets::None,
        }
    }

    /// Is the next argument one?
    fn takes(&mut self, at: usize, arg: &[u8]) -> bool {
        match self {
            Secrets::None => false,
            Secrets::All => at > 0,
            Secrets::AfterAuth { left } if *left > 0 => {
                *left -= 1;
                true
            }
            Secrets::AfterAuth { left } => {
                *left = if at > 1 && arg.eq_ignore_ascii_case(b"auth") { 2 } else { 0 };
                false
            }
            Secrets::OfUsers { sets } => {
                *sets |= at == 1 && arg.eq_ignore_ascii_case(b"setuser");
                *sets && at > 1
            }
            Secrets::AfterName { is_next } => {
                let is_secret = *is_next;
                *is_next = !is_secret && at > 1 && arg.eq_ignore_ascii_case(b"requirepass");
                is_secret
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(command: &str) -> String {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        let kept = kept(&args);
        kept.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_latest_is_first_and_the_oldest_goes() {
        let mut log = Slowlog::default();
        let entry = |us| {
            let addr = "127.0.0.1:1".parse().unwrap();
            Entry { id: 0, at_s: 1, us, args: Vec::new(), addr, name: String::new() }
        };
        for us in 10..15 {
            log.push(entry(us), 3);
        }
        assert_eq!(
            log.latest().map(|entry| (entry.id, entry.us)).collect::<Vec<_>>(),
            [(4, 14), (3, 13), (2, 12)]
        );
        log.keep(1);
        assert_eq!(log.len(), 1);
        log.reset();
        log.push(entry(1), 3);
        assert_eq!(log.latest().next().map(|entry| entry.id), Some(5));
        log.push(entry(1), 0);
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn much_is_cut_short_as_in_redis() {
        let long = "x".repeat(200);
        assert_eq!(shown(&format!("set k {long}")), format!("set k {}... (72 more bytes)", &long[..128]));
        let many = vec!["m"; 33].join(" ");
        assert_eq!(shown(&many), format!("{} ... (2 more arguments)", vec!["m"; 31].join(" ")));
        assert_eq!(shown(&vec!["m"; 32].join(" ")), vec!["m"; 32].join(" "));
    }

    #[test]
    fn no_password_is_kept() {
        for (command, expected) in [
            ("AUTH secret", "AUTH (redacted)"),
            ("auth me secret", "auth (redacted) (redacted)"),
            ("HELLO 3 AUTH me secret SETNAME x", "HELLO 3 AUTH (redacted) (redacted) SETNAME x"),
            (
                "CONFIG SET maxclients 5 requirepass secret timeout 1",
                "CONFIG SET maxclients 5 requirepass (redacted) timeout 1",
            ),
            ("acl SETUSER ada >secret", "acl SETUSER (redacted) (redacted)"),
            ("ACL GETUSER ada", "ACL GETUSER ada"),
            ("GET auth", "GET auth"),
        ] {
            assert_eq!(shown(command), expected);
        }
    }
}
