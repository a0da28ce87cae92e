//! The audit chain of the cluster: part of the state, so of every snapshot and of its hash.
//!
//! ```text
//!   apply ── accepted, and something changed ──► audited? ── yes ──► record, chained to the newest
//!                                                   └─ no, and why
//! ```
//! A refused order changes nothing, the chain included: the node that was asked counts and logs it.
//!
//! *Invariant:* every accepted change by an audited command leaves exactly one record, and nothing else leaves any (I25).
//! *Invariant:* what is dropped leaves its number and its hash: the chain that is kept begins where the dropped one ended.

use crate::command::Command;
use crate::log_id::LogId;
use crate::origin::{Credential, Origin};
use crate::state::ControlState;
use ironcache_types::{AuditBroken, AuditLink, AuditRecord, verify_audit};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

mod act;

pub use act::{Act, Audited, Unaudited};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The newest record that was dropped.
    pub anchor: AuditLink,
    /// The newest record. Kept beside it, so that a change of that very record shows.
    pub head: AuditLink,
    /// Oldest first; at most [`Audit::RECORDS_MAX`]. Shared: `apply` copies the state for each entry, and few are audited.
    pub records: Arc<VecDeque<AuditRecord>>,
}

impl Default for Audit {
    fn default() -> Self {
        Audit { anchor: AuditLink::NONE, head: AuditLink::NONE, records: Arc::default() }
    }
}

impl Audit {
    /// A year of a release a week (staged, started, paused and resumed, final), and as many orders besides. With fewer, what
    /// happened is gone before anybody asks; more are in every snapshot, about 300 bytes each, and are hashed with the
    /// state.
    pub const RECORDS_MAX: usize = 512;

    /// Of each text in a record: an address, a name, a reason. Longer ones are cut, or one order could fill a snapshot.
    pub const TEXT_BYTES_MAX: usize = 200;

    /// Does every record follow from the one before?
    ///
    /// # Errors
    /// The first place where it does not.
    pub fn verify(&self) -> Result<(), AuditBroken> {
        let Audit { anchor, head, records } = self;
        verify_audit(*anchor, records.iter(), *head)
    }

    fn push(&mut self, record: AuditRecord) {
        self.head = record.link();
        let records = Arc::make_mut(&mut self.records);
        records.push_back(record);
        while records.len() > Self::RECORDS_MAX {
            let Some(dropped) = records.pop_front() else { break };
            self.anchor = dropped.link();
        }
    }
}

impl ControlState {
    /// Writes down what `command` has made of `before`.
    pub(crate) fn note_audited(
        &mut self,
        before: &ControlState,
        at: LogId,
        origin: Option<&Origin>,
        command: &Command,
    ) {
        let act = match act::audited(command, before, self) {
            Audited::Yes(act) => act,
            Audited::No(_) => return,
        };
        let last = self.audit.records.back();
        let (by, from, at_ms) = match origin {
            Some(Origin { by, from, at_ms }) => (*by, from.as_deref(), *at_ms),
            // Not before what is known to have been before.
            None => (Credential::Policy, None, last.map_or(0, |last| last.at_ms)),
        };
        // Who founds a cluster, and who revokes themself, is known at one side of it only.
        let known = if before.cluster_id.is_some() { &before.security } else { &self.security };
        let record = AuditRecord {
            seq: self.audit.head.seq + 1,
            at_ms,
            epoch: self.epoch,
            log_index: at.index,
            who: by.words(known).into_iter().map(|(key, value)| (key, cut(&value))).collect(),
            from: from.map(cut),
            act: act.word().to_owned(),
            details: details(&act),
            previous: self.audit.head.hash,
        };
        self.audit.push(record);
    }
}

fn details(act: &Act) -> BTreeMap<String, String> {
    act.details().into_iter().map(|(key, value)| (key.to_owned(), cut(&value))).collect()
}

/// At most [`Audit::TEXT_BYTES_MAX`] of it, whole characters.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(Audit::TEXT_BYTES_MAX)].to_owned()
}
