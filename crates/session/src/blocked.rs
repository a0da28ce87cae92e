//! What was taken and is answered later, on something that happens.
//!
//! *Invariant:* a blocked session takes no other request; the next one stays in the shell's buffer.
//! *Invariant:* whatever ends it, it is answered exactly once, unless its connection closes.

use crate::refusal::Refusal;
use crate::route;
use crate::session::Session;
use crate::site::Site;
use crate::turn::{Stop, Turn, Within};
use ironcache_command::Spec;
use ironcache_resp::{Writer, parse_integer};
use ironcache_types::{Epoch, Offset, ReadFrom, Slot};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Blocked {
    /// `WAIT`: until so many replicas hold everything below `offset`. Nobody tells any more once the role of `epoch` is lost:
    /// then it answers how many were known to, as at a timeout.
    OnReplicas { replicas: usize, offset: Offset, epoch: Option<Epoch>, holders: usize, timeout_ms: u64 },
    /// `BLPOP` and its like: until one of its keys, which are of this slot, has something for it. A read may wait at a replica.
    OnKeys { slot: Slot, read: ReadFrom, timeout_ms: u64 },
}

/// What may end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Replicas have acknowledged, or roles have changed: look.
    Look,
    /// Its time is up, or nobody waits any more.
    TimeIsUp,
    /// Another client wants it to go on.
    Unblock(Unblock),
}

/// How `CLIENT UNBLOCK` ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblock {
    /// As if its time were up.
    Timeout,
    Error,
}

impl Unblock {
    pub(crate) fn parse(word: &[u8]) -> Result<Self, Refusal> {
        match word.to_ascii_lowercase().as_slice() {
            b"timeout" => Ok(Unblock::Timeout),
            b"error" => Ok(Unblock::Error),
            _ => Err(Refusal::UnblockReason),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Woken {
    /// The reply is written.
    Answered,
    /// It ends with this: [`Session::refuse`] answers it.
    Refused(Refusal),
    Still,
}

impl Session {
    /// For how long it may stay blocked, from when it was; `None` for ever, or if it is not.
    pub fn blocked_ms_max(&self) -> Option<u64> {
        let (Blocked::OnReplicas { timeout_ms, .. } | Blocked::OnKeys { timeout_ms, .. }) = self.blocked?;
        (timeout_ms > 0).then_some(timeout_ms)
    }

    /// Does it wait for what replicas acknowledge?
    pub fn is_blocked_on_replicas(&self) -> bool {
        matches!(self.blocked, Some(Blocked::OnReplicas { .. }))
    }

    /// A command waits for keys of this slot; 0 ms: for ever. Whoever executes it has found nothing there. Answers where it may
    /// be served.
    pub fn block_on(&mut self, spec: &Spec, slot: Slot, timeout_ms: u64) -> ReadFrom {
        let read = self.reads(spec);
        self.blocked = Some(Blocked::OnKeys { slot, read, timeout_ms });
        read
    }

    /// Somebody else has executed what it waited to do, and has the reply.
    pub fn served(&mut self) {
        self.blocked = None;
    }

    /// Something happened that may answer what it waits for.
    pub fn wake(&mut self, wake: Wake, site: &impl Site, out: &mut Vec<u8>) -> Woken {
        let woken = match (&mut self.blocked, wake) {
            (None, _) => Woken::Answered,
            (Some(_), Wake::Unblock(Unblock::Error)) => Woken::Refused(Refusal::Unblocked),
            (Some(Blocked::OnReplicas { replicas, offset, epoch, holders, .. }), _) => {
                let is_primary_still = epoch.is_some() && site.epoch() == *epoch;
                if is_primary_still {
                    *holders = site.holders(*offset);
                }
                if is_primary_still && *holders < *replicas && wake == Wake::Look {
                    return Woken::Still;
                }
                Writer::new(out, self.protocol).count(*holders);
                Woken::Answered
            }
            (Some(Blocked::OnKeys { slot, read, .. }), Wake::Look) => {
                match route::admit(site, *slot, *read) {
                    // Undecided: who serves the slot then says where to go, or serves it here.
                    Ok(route::Admitted::Here | route::Admitted::Undecided) => return Woken::Still,
                    Err(refusal) => Woken::Refused(refusal),
                }
            }
            (Some(Blocked::OnKeys { .. }), Wake::TimeIsUp | Wake::Unblock(Unblock::Timeout)) => {
                Writer::new(out, self.protocol).null_array();
                Woken::Answered
            }
        };
        self.blocked = None;
        woken
    }

    pub(crate) fn wait(
        &mut self,
        args: &[&[u8]],
        site: &impl Site,
        within: Within,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
        let epoch = site.epoch();
        if epoch.is_none() {
            return Err(Refusal::WaitAtReplica);
        }
        let replicas = parse_integer(args[1]).ok_or(Refusal::NotAnInteger)?;
        let timeout = parse_integer(args[2]).ok_or(Refusal::TimeoutNotAnInteger)?;
        let timeout_ms = u64::try_from(timeout).map_err(|_| Refusal::TimeoutNegative)?;
        let replicas = usize::try_from(replicas).unwrap_or(0);
        let (offset, holders) = (self.last_write, 0);
        self.blocked = Some(Blocked::OnReplicas { replicas, offset, epoch, holders, timeout_ms });
        match within {
            Within::Nothing => Ok(Turn::Stop(Stop::Blocked)),
            Within::Transaction => {
                self.wake(Wake::TimeIsUp, site, out);
                Ok(Turn::Answered)
            }
        }
    }
}
