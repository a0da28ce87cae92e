//! `MULTI`: what is queued until `EXEC`, and whether that may run.
//!
//! *Invariant:* what was queued is executed by one `EXEC`, whole and once, or never: whoever forgets a transaction, or refuses
//! its `EXEC`, has forgotten all of it.

use crate::acl::is_order;
use crate::pubsub::is_of_a_shard;
use crate::refusal::Refusal;
use crate::route::{self, Admitted};
use crate::script;
use crate::session::Session;
use crate::site::{Owner, Site};
use crate::turn::{Job, Stop, Turn};
use crate::watch::{TooMuch, WATCHED_BYTES_MAX, Watch};
use ironcache_command::{Flags, Run, Spec, check_subcommand};
use ironcache_resp::Writer;
use ironcache_types::{ReadFrom, Slot};

/// Longest command, and longest transaction, in bytes: it is held whole until it is executed. Smaller, and the largest
/// value (512 MiB) could not be set; larger, and a few clients fill the memory with what they have not finished sending.
pub const COMMAND_BYTES_MAX: usize = 768 << 20;
/// What an argument costs besides its bytes while it is queued.
const QUEUED_ARG_BYTES: usize = 32;

#[derive(Default)]
pub(crate) struct Transaction {
    commands: Vec<Queued>,
    /// Their arguments, with what each costs to keep.
    pub bytes: usize,
    /// A command was refused while queueing: `EXEC` answers `EXECABORT`.
    pub spoilt: bool,
}

/// A command of a transaction.
pub struct Queued {
    pub spec: &'static Spec,
    args: Vec<Vec<u8>>,
    /// Of its keys.
    slot: Option<Slot>,
}

impl Queued {
    pub fn args(&self) -> Vec<&[u8]> {
        self.args.iter().map(Vec::as_slice).collect()
    }
}

impl Transaction {
    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    fn push(&mut self, spec: &'static Spec, args: &[&[u8]], slot: Option<Slot>) -> Result<(), Refusal> {
        let bytes: usize = args.iter().map(|arg| arg.len() + QUEUED_ARG_BYTES).sum();
        if self.bytes.saturating_add(bytes) > COMMAND_BYTES_MAX {
            return Err(Refusal::TransactionTooLong { most_bytes: COMMAND_BYTES_MAX });
        }
        self.bytes += bytes;
        self.commands.push(Queued { spec, args: args.iter().map(|arg| arg.to_vec()).collect(), slot });
        Ok(())
    }

    fn writes(&self) -> bool {
        self.commands.iter().any(|command| command.spec.is_write())
    }

    /// Is there a command that writes, or a script that may? Where that is none of a primary's it is told so when it does.
    pub(crate) fn may_write(&self) -> bool {
        self.commands.iter().any(|command| command.spec.is_write() || script::may_write(command.spec))
    }

    fn calls_functions(&self) -> bool {
        self.commands.iter().any(|command| script::is_function(command.spec))
    }

    /// May it take more memory than there is?
    fn grows(&self) -> bool {
        self.commands.iter().any(|command| command.spec.flags.contains(Flags::DENYOOM))
    }

    /// The one slot of all keys.
    fn slot(&self) -> Result<Option<Slot>, Refusal> {
        route::one_slot(self.commands.iter().filter_map(|command| command.slot))
    }

    /// Is there a command whose keys its arguments do not name? A `FLUSHALL` or a `KEYS` touches more than the keys' slot.
    fn touches_all(&self) -> bool {
        let names_none = |spec: &Spec| matches!(spec.run, Run::Data(_)) && !spec.takes_keys();
        self.commands.iter().any(|command| names_none(command.spec))
    }
}

/// Is it executed at once, also inside `MULTI`?
fn is_never_queued(spec: &Spec) -> bool {
    matches!(spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Does Redis take it in no transaction?
fn is_never_in_one(spec: &Spec) -> bool {
    spec.name == "shutdown"
}

impl Session {
    /// Does a command go into the transaction, and not into execution?
    #[inline]
    pub(crate) fn queues(&self, spec: &Spec) -> bool {
        self.transaction.is_some() && !is_never_queued(spec)
    }

    pub(crate) fn queue(
        &mut self,
        spec: &'static Spec,
        args: &[&[u8]],
        site: &impl Site,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
        if is_never_in_one(spec) {
            return Err(Refusal::NotInTransaction);
        }
        check_subcommand(spec, args).map_err(|why| Refusal::Subcommand { text: why.to_string() })?;
        if is_order(spec.name, args) {
            return Err(Refusal::OrderInTransaction);
        }
        let slot = route::slot_of(spec, args)?;
        let read = if is_of_a_shard(spec) { ReadFrom::Replica } else { self.reads(spec) };
        if let Some(slot) = slot
            && let Admitted::Undecided = route::admit(site, slot, read)?
        {
            return Ok(Turn::Stop(Stop::Park));
        }
        // Whatever it is: what is queued takes memory too.
        if site.is_out_of_memory() {
            return Err(Refusal::OutOfMemory);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.push(spec, args, slot)?;
        }
        Writer::new(out, self.protocol).simple("QUEUED");
        Ok(Turn::Queued)
    }

    pub(crate) fn multi(&mut self, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        if self.transaction.is_some() {
            return Err(Refusal::NestedMulti);
        }
        self.transaction = Some(Transaction::default());
        self.ok(out)
    }

    pub(crate) fn discard(&mut self, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        if self.transaction.is_none() {
            return Err(Refusal::DiscardWithoutMulti);
        }
        self.forget_transaction();
        self.ok(out)
    }

    pub(crate) fn exec(&mut self, site: &impl Site, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        let Some(transaction) = &self.transaction else {
            return Err(Refusal::ExecWithoutMulti);
        };
        let slot = match self.admit_transaction(transaction, site) {
            Ok(Admission::Execute { slot }) => slot,
            Ok(Admission::Stop(stop)) => return Ok(Turn::Stop(stop)),
            Err(refusal) => {
                self.forget_transaction();
                return Err(refusal);
            }
        };
        let commands = self.transaction.take().unwrap_or_default().commands;
        let watch = self.watch.take();
        if watch.is_some_and(|watch| watch.is_disturbed(site)) {
            Writer::new(out, self.protocol).null_array();
            return Ok(Turn::Answered);
        }
        Ok(Turn::Run(Job::Transaction { commands, slot }))
    }

    fn admit_transaction(&self, transaction: &Transaction, site: &impl Site) -> Result<Admission, Refusal> {
        if transaction.spoilt {
            return Err(Refusal::Spoilt);
        }
        let (slot, writes) = (transaction.slot()?, transaction.writes());
        let admitted = match slot {
            Some(slot) if self.readonly && !writes => route::admit(site, slot, ReadFrom::Replica)?,
            Some(slot) => route::admit(site, slot, ReadFrom::Primary)?,
            None if writes && site.owner_without_keys() != Owner::Here => Admitted::Undecided,
            None => Admitted::Here,
        };
        if admitted == Admitted::Undecided {
            return Ok(Admission::Stop(Stop::Park));
        }
        if transaction.calls_functions() && site.is_loading_libraries() {
            return Ok(Admission::Stop(Stop::Park));
        }
        if transaction.grows() && site.is_out_of_memory() {
            return Err(Refusal::ExecOutOfMemory);
        }
        if writes && !site.has_enough_in_sync() {
            return Err(Refusal::FewInSync);
        }
        let may_write = writes || transaction.may_write() && site.epoch().is_some();
        if may_write && site.is_backed_up() {
            return Ok(Admission::Stop(Stop::Hold));
        }
        Ok(Admission::Execute { slot: slot.filter(|_| !transaction.touches_all()) })
    }

    pub(crate) fn watch(
        &mut self,
        spec: &Spec,
        args: &[&[u8]],
        site: &impl Site,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
        if self.transaction.is_some() {
            return Err(Refusal::WatchInMulti);
        }
        let Some(slot) = route::slot_of(spec, args)? else {
            return Err(Refusal::WatchWithoutKeys);
        };
        match route::admit(site, slot, ReadFrom::Primary)? {
            Admitted::Here => {
                let id = self.id;
                let watch = self.watch.get_or_insert_with(|| Watch::new(id, site));
                watch
                    .add(&args[1..], site)
                    .map_err(|TooMuch| Refusal::WatchesTooMuch { most_bytes: WATCHED_BYTES_MAX })?;
                self.ok(out)
            }
            Admitted::Undecided => Ok(Turn::Stop(Stop::Park)),
        }
    }

    pub(crate) fn unwatch(&mut self, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        self.watch = None;
        self.ok(out)
    }

    /// Ends `MULTI` and `WATCH`: nothing that was queued is ever executed.
    pub(crate) fn forget_transaction(&mut self) {
        self.transaction = None;
        self.watch = None;
    }
}

enum Admission {
    Execute { slot: Option<Slot> },
    Stop(Stop),
}
