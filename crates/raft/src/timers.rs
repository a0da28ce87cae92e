//! What a node runs raft by, from its start to its end.
//!
//! *Invariant:* found before raft starts, from what is stored: no quorum and no network is asked.

use crate::machine::StateMachine;
use crate::wal::Wal;
use ironcache_control::{Command, RaftTimers};
use ironcache_formats::entry::{self, EntryKind};
use ironcache_types::Level;
use openraft::EntryPayload;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timers {
    /// These, whatever the cluster was created with.
    Own(RaftTimers),
    /// Those that the cluster was created with, once they are stored here; the default ones before.
    OfTheCluster,
}

impl Timers {
    pub(crate) fn resolve(self, machine: &StateMachine, wal: &Wal) -> RaftTimers {
        match self {
            Timers::Own(own) => own,
            Timers::OfTheCluster => of_the_snapshot(machine).or_else(|| of_the_log(wal)).unwrap_or_default(),
        }
    }
}

fn of_the_snapshot(machine: &StateMachine) -> Option<RaftTimers> {
    let view = machine.views().borrow().clone();
    view.state.cluster_id.map(|_| view.state.policy.timers)
}

/// As they were created: they do not change afterwards. An entry that was stored and never committed does no harm: the
/// next attempt to create the cluster is at the same nodes.
fn of_the_log(wal: &Wal) -> Option<RaftTimers> {
    wal.entries(..).into_iter().find_map(|entry| {
        let EntryPayload::Normal(bytes) = entry.payload else { return None };
        if bytes.header().kind != EntryKind::InitCluster.number() {
            return None;
        }
        match entry::open(&bytes, Level(u16::MAX)) {
            Ok((_, Command::InitCluster(init))) => Some(init.policy.timers),
            // What cannot be read is named when it is applied.
            Ok(_) | Err(_) => None,
        }
    })
}
