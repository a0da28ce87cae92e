//! A server that is asked on one connection, and on another tells what becomes of its keys, or of those that the first has read.
//!
//! ```text
//!   asking:     SET k v      PUBLISH mark 0      DEL k       PUBLISH mark 1
//!   listening:    set k ──▶ mark 0 ends what the first has told ──▶ del k ──▶ mark 1
//! ```
//!
//! *Invariant:* a transaction is not parted by a mark: what it tells is told by its `EXEC`.

use crate::{Args, Remote, Side};
use ironcache_resp::{Protocol, Value};

/// Everything that there is to be told.
const ALL: &str = "KEAnm";
/// No channel of the keyspace, and of the pattern that is listened to.
const MARK: &str = "__keyed__:mark";
const PATTERN: &str = "__key*__:*";

pub(crate) struct Listening {
    asks: Remote,
    listens: Remote,
    what: What,
    told: Vec<String>,
}

/// What it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Whatever becomes of any key.
    Changes,
    /// Which of the keys that were read are no longer as they were.
    Invalidations,
}

/// Of everything nothing is told here: an empty dataset that is emptied is no change to us.
fn invalidated(what: &Value) -> Vec<String> {
    let Value::Array(keys) = what else { return Vec::new() };
    keys.iter().map(|key| key.as_bytes().unwrap_or_default().escape_ascii().to_string()).collect()
}

impl Listening {
    /// # Errors
    /// It cannot be asked to tell.
    pub(crate) fn to(mut asks: Remote, mut listens: Remote, what: What) -> Result<Self, String> {
        let set = match what {
            What::Changes => {
                listens.ask(&["PSUBSCRIBE", PATTERN])?;
                asks.ask(&["CONFIG", "SET", "notify-keyspace-events", ALL])?
            }
            What::Invalidations => {
                let Value::Int(id) = listens.ask(&["CLIENT", "ID"])? else { return Err("no id".to_owned()) };
                listens.ask(&["SUBSCRIBE", MARK])?;
                asks.ask(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id.to_string()])?
            }
        };
        match set {
            Value::Simple(_) => Ok(Self { asks, listens, what, told: Vec::new() }),
            other => Err(format!("it does not tell: {other:?}")),
        }
    }

    /// What was told until a mark came.
    fn until_marked(&mut self) -> Result<String, String> {
        let mut told = Vec::new();
        loop {
            let message = self.listens.message()?;
            let Value::Push(parts) = &message else { return Err(format!("no message: {message:?}")) };
            if let [Value::Bulk(kind), what] = &parts[..]
                && kind == b"invalidate"
            {
                told.extend(invalidated(what));
                continue;
            }
            // A message names its pattern, if it came by one.
            let words = parts
                .iter()
                .skip(parts.len().saturating_sub(2))
                .map(|part| part.as_bytes().unwrap_or_default());
            match words.collect::<Vec<_>>()[..] {
                [channel, _] if channel == MARK.as_bytes() => {
                    if self.what == What::Invalidations {
                        // Of one command their order says nothing.
                        told.sort();
                    }
                    return Ok(told.join(", "));
                }
                [channel, payload] => {
                    told.push(format!("{} {}", channel.escape_ascii(), payload.escape_ascii()));
                }
                _ => return Err(format!("no message of a channel: {message:?}")),
            }
        }
    }
}

impl Side for Listening {
    fn run(&mut self, protocol: Protocol, commands: &[Args]) -> Result<Vec<Vec<u8>>, String> {
        let mark = ["PUBLISH", MARK, ""].map(|word| word.as_bytes().to_vec()).to_vec();
        let is = |args: &Args, name: &[u8]| args[0].eq_ignore_ascii_case(name);
        let (mut marked, mut is_own, mut queues) = (Vec::new(), Vec::new(), false);
        for args in commands {
            queues = is(args, b"multi") || queues && !is(args, b"exec");
            marked.push(args.clone());
            is_own.push(false);
            if !queues {
                marked.push(mark.clone());
                is_own.push(true);
            }
        }
        let replies = self.asks.run(protocol, &marked)?;
        let (mut others, mut told) = (Vec::new(), Vec::new());
        for (reply, is_own) in replies.into_iter().zip(is_own) {
            if is_own {
                told.pop();
                told.push(self.until_marked()?);
            } else {
                others.push(reply);
                told.push(String::new());
            }
        }
        self.told = told;
        Ok(others)
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}
