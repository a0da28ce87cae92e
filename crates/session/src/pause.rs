//! `CLIENT PAUSE`: what is held back for a while, on every connection.
//!
//! *Invariant:* nothing of a request that is held back has happened: it is taken again.

use crate::refusal::Refusal;
use crate::script::may_write;
use crate::session::Session;
use crate::transaction::Transaction;
use ironcache_command::Spec;
use ironcache_resp::parse_integer;

/// What is held back, the less first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// What may change data.
    Writes,
    All,
}

impl Paused {
    /// Of `CLIENT PAUSE timeout [WRITE|ALL]`, with the time in ms.
    pub(crate) fn parse(args: &[&[u8]]) -> Result<(Paused, u64), Refusal> {
        let [timeout, mode @ ..] = args else { return Err(Refusal::Syntax) };
        let what = match mode {
            [] => Paused::All,
            [mode] if mode.eq_ignore_ascii_case(b"all") => Paused::All,
            [mode] if mode.eq_ignore_ascii_case(b"write") => Paused::Writes,
            _ => return Err(Refusal::PauseMode),
        };
        let timeout = parse_integer(timeout).ok_or(Refusal::TimeoutNotAnInteger)?;
        let for_ms = u64::try_from(timeout).map_err(|_| Refusal::TimeoutNegative)?;
        Ok((what, for_ms))
    }
}

impl Session {
    /// Is the command held back? An `EXEC` is if it would write.
    #[cold]
    pub(crate) fn is_held(&self, spec: &Spec, paused: Paused) -> bool {
        match paused {
            Paused::All => true,
            Paused::Writes => {
                let by_exec =
                    spec.name == "exec" && self.transaction.as_ref().is_some_and(Transaction::may_write);
                spec.is_write() || by_exec || may_write(spec)
            }
        }
    }
}
