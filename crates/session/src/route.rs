//! Which slot a command is about, and whether it is executed here.

use crate::refusal::{Redirect, Refusal};
use crate::session::Session;
use crate::site::{Owner, Site};
use crate::turn::{Job, Stop, Turn};
use ironcache_command::{Flags, Spec};
use ironcache_types::{ReadFrom, Slot, key_slot};

/// Of a command on a slot that nobody redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    Here,
    Undecided,
}

/// The one slot of a command's keys; `None` without keys.
#[inline]
pub(crate) fn slot_of(spec: &Spec, args: &[&[u8]]) -> Result<Option<Slot>, Refusal> {
    one_slot(spec.keys(args).map(key_slot))
}

#[inline]
pub(crate) fn one_slot(slots: impl Iterator<Item = Slot>) -> Result<Option<Slot>, Refusal> {
    let mut slot = None;
    for this in slots {
        if *slot.get_or_insert(this) != this {
            return Err(Refusal::CrossSlot);
        }
    }
    Ok(slot)
}

#[inline]
pub(crate) fn admit(site: &impl Site, slot: Slot, read: ReadFrom) -> Result<Admitted, Refusal> {
    match site.owner(slot, read) {
        Owner::Here => Ok(Admitted::Here),
        Owner::Undecided => Ok(Admitted::Undecided),
        Owner::At(endpoint) => Err(Refusal::Moved(Redirect { slot, endpoint })),
        Owner::Nobody => Err(Refusal::Unowned),
    }
}

impl Session {
    /// Where a command of this connection may be answered.
    #[inline]
    pub(crate) fn reads(&self, spec: &Spec) -> ReadFrom {
        if self.readonly && !spec.is_write() { ReadFrom::Replica } else { ReadFrom::Primary }
    }

    /// May a command on the data be executed here and now?
    #[inline]
    pub(crate) fn data(
        &self,
        spec: &'static Spec,
        args: &[&[u8]],
        site: &impl Site,
    ) -> Result<Turn, Refusal> {
        let (slot, writes) = (slot_of(spec, args)?, spec.is_write());
        let admitted = match slot {
            Some(slot) => admit(site, slot, self.reads(spec))?,
            None if writes => match site.owner_without_keys() {
                Owner::Here => Admitted::Here,
                Owner::Undecided => Admitted::Undecided,
                Owner::At(_) | Owner::Nobody => return Err(Refusal::ReadOnlyReplica),
            },
            None => Admitted::Here,
        };
        if admitted == Admitted::Undecided {
            return Ok(Turn::Stop(Stop::Park));
        }
        if writes && spec.flags.contains(Flags::DENYOOM) && site.is_out_of_memory() {
            return Err(Refusal::OutOfMemory);
        }
        if writes && !site.has_enough_in_sync() {
            return Err(Refusal::FewInSync);
        }
        if writes && site.is_backed_up() {
            return Ok(Turn::Stop(Stop::Hold));
        }
        Ok(Turn::Run(Job::Data { spec, slot }))
    }
}
