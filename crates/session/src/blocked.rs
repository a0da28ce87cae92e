//! What was taken and is answered later, on something that happens.
//!
//! *Invariant:* a blocked session takes no other request; the next one stays in the shell's buffer.
//! *Invariant:* whatever ends it, it is answered exactly once, unless its connection closes.

use crate::refusal::Refusal;
use crate::session::Session;
use crate::site::Site;
use crate::turn::{Stop, Turn, Within};
use ironcache_resp::{Writer, parse_integer};
use ironcache_types::{Epoch, Offset};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Blocked {
    /// `WAIT`: until so many replicas hold everything below `offset`. Nobody tells any more once the role of `epoch` is lost:
    /// then it answers how many were known to, as at a timeout.
    OnReplicas { replicas: usize, offset: Offset, epoch: Option<Epoch>, holders: usize, timeout_ms: u64 },
}

/// What may end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Replicas have acknowledged, or roles have changed: look.
    Look,
    /// Its time is up, or nobody waits any more.
    TimeIsUp,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The reply is written.
    Answered,
    Still,
}

impl Session {
    /// For how long it may stay blocked, from when it was; `None` for ever, or if it is not.
    pub fn blocked_ms_max(&self) -> Option<u64> {
        let Blocked::OnReplicas { timeout_ms, .. } = self.blocked?;
        (timeout_ms > 0).then_some(timeout_ms)
    }

    /// Something happened that may answer what it waits for.
    pub fn wake(&mut self, wake: Wake, site: &impl Site, out: &mut Vec<u8>) -> Woken {
        let Some(Blocked::OnReplicas { replicas, offset, epoch, holders, .. }) = &mut self.blocked else {
            return Woken::Answered;
        };
        let is_primary_still = epoch.is_some() && site.epoch() == *epoch;
        if is_primary_still {
            *holders = site.holders(*offset);
        }
        if is_primary_still && *holders < *replicas && wake == Wake::Look {
            return Woken::Still;
        }
        Writer::new(out, self.protocol).count(*holders);
        self.blocked = None;
        Woken::Answered
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
