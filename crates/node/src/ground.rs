//! The ground that a node stands on: what the machine gives it, and what of that will let it down.
//!
//! ```text
//!   /proc, the data directory's disk ──measure──► Ground ──findings(Wants)──► [Finding]
//!                                                   │                            │
//!                       `server --check`, before a start, and /metrics while it runs
//! ```
//! *Invariant:* what is found is a function of what was measured and of the configuration: both are passed in.
//! *Invariant:* measuring changes nothing, and what the machine does not say is no finding.

mod finding;
mod measure;
#[cfg(test)]
mod tests;

pub use finding::{Finding, Weight, bytes};
pub use measure::{existing, measure};

pub use crate::descriptors::RESERVED;

use crate::config::Config;
use crate::http::{KEEP_FREE_BYTES, KEEP_FREE_SHARE};
use ironcache_spine::LISTEN_BACKLOG;

/// What was measured; `None` for what the machine does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    pub descriptors: Descriptors,
    pub memory: Memory,
    pub disk: Option<Disk>,
    pub kernel: Kernel,
    pub clock: Clock,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    pub soft: Option<u64>,
    /// The launcher raises the soft limit to it.
    pub hard: Option<u64>,
    /// Of this process, now.
    pub open: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub machine_bytes: Option<u64>,
    /// What the control group, a container say, may take.
    pub group_bytes: Option<u64>,
}

impl Memory {
    /// The lesser of both.
    pub fn limit_bytes(&self) -> Option<u64> {
        self.machine_bytes.into_iter().chain(self.group_bytes).min()
    }
}

/// The file system that the data directory is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    pub size_bytes: u64,
    pub free_bytes: u64,
    /// How many more files it takes; `None` where that has no bound.
    pub files_free: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// `vm.overcommit_memory`.
    pub overcommit: Option<u64>,
    /// The machine gives huge pages to whoever does not refuse them, and this process could not.
    pub huge_pages_forced: bool,
    /// `net.core.somaxconn`.
    pub somaxconn: Option<u64>,
    /// `net.ipv4.tcp_max_syn_backlog`.
    pub syn_backlog: Option<u64>,
    /// `net.ipv4.tcp_syncookies`.
    pub syncookies: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Unix time; 0 is unknown.
    pub now_s: u64,
    /// When the data directory was last written to, by this clock as it was then.
    pub written_s: Option<u64>,
    /// Does the kernel say that something keeps its clock right?
    pub is_kept: Option<bool>,
}

/// What a node of a configuration wants of its ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    pub clients: u64,
    /// Memory that is not the dataset's.
    pub buffers_bytes: u64,
}

impl Wants {
    pub fn of(config: &Config) -> Self {
        let Config { maxclients, maxmemory_clients, backlog_bytes, .. } = config;
        Wants {
            clients: u64::from(*maxclients),
            buffers_bytes: maxmemory_clients.saturating_add(*backlog_bytes),
        }
    }
}

/// Less, and not even the log takes an entry: some hundred of them.
const NO_ROOM_BYTES: u64 = 1 << 20;
/// Logs, tails, a checkpoint by slots, copies of each on their way: some dozens at a time.
const FILES_FEW: u64 = 100;
/// Clocks that are kept right are stepped by less; a machine that starts without one is off by hours.
const CLOCK_BACK_S: u64 = 60;
/// What Redis asks for, and warns below: a burst of clients that come again at a node's restart.
const QUEUE_FEW: u64 = 511;

impl Ground {
    /// Worst first.
    pub fn findings(&self, wants: Wants) -> Vec<Finding> {
        let Ground { descriptors, memory, disk, kernel, clock } = self;
        let mut found: Vec<Finding> = descriptors
            .findings(wants.clients)
            .into_iter()
            .chain(memory.findings(wants.buffers_bytes))
            .chain(disk.as_ref().and_then(Disk::findings))
            .chain(kernel.findings())
            .chain(clock.findings())
            .collect();
        found.sort_by_key(Finding::weight);
        found
    }
}

impl Descriptors {
    /// What the node has once the soft limit is raised.
    pub fn limit(&self) -> Option<u64> {
        self.hard.or(self.soft)
    }

    fn findings(&self, clients: u64) -> Option<Finding> {
        let limit = self.limit()?;
        let left = limit.saturating_sub(RESERVED);
        if left == 0 {
            return Some(Finding::NoDescriptors { limit, reserved: RESERVED });
        }
        (left < clients).then_some(Finding::FewDescriptors { limit, reserved: RESERVED, left, clients })
    }
}

impl Memory {
    fn findings(&self, buffers_bytes: u64) -> Option<Finding> {
        let has_bytes = self.limit_bytes()?;
        // With half of it for buffers there is less for the dataset than for what surrounds it.
        (buffers_bytes > has_bytes / 2).then_some(Finding::SmallMemory { buffers_bytes, has_bytes })
    }
}

impl Disk {
    /// What a release that is staged leaves to the node.
    pub fn keep_free_bytes(&self) -> u64 {
        KEEP_FREE_BYTES.min(self.size_bytes / KEEP_FREE_SHARE)
    }

    fn findings(&self) -> Option<Finding> {
        let Disk { size_bytes: _, free_bytes, files_free } = *self;
        let keep_bytes = self.keep_free_bytes();
        if free_bytes < NO_ROOM_BYTES {
            Some(Finding::DiskFull { free_bytes, needs_bytes: NO_ROOM_BYTES })
        } else if free_bytes < keep_bytes {
            Some(Finding::DiskLow { free_bytes, keep_bytes })
        } else {
            files_free.filter(|files| *files < FILES_FEW).map(|files| Finding::FewFiles { files })
        }
    }
}

impl Kernel {
    fn findings(&self) -> Vec<Finding> {
        let Kernel { overcommit, huge_pages_forced, somaxconn, syn_backlog, syncookies } = self;
        let strict = (*overcommit == Some(2)).then_some(Finding::StrictOvercommit);
        let huge = huge_pages_forced.then_some(Finding::HugePages);
        let asked = LISTEN_BACKLOG.unsigned_abs().into();
        let short = |queue: &u64| *queue < QUEUE_FEW;
        let queue = somaxconn.filter(short).map(|somaxconn| Finding::ShortQueue { somaxconn, asked });
        // With cookies nobody is lost when it overflows.
        let without_cookies = syn_backlog.filter(short).filter(|_| *syncookies == Some(0));
        let half_open = without_cookies.map(|syn_backlog| Finding::ShortSynQueue { syn_backlog });
        [strict, huge, queue, half_open].into_iter().flatten().collect()
    }
}

impl Clock {
    fn findings(&self) -> Vec<Finding> {
        let Clock { now_s, written_s, is_kept } = *self;
        let back_s = written_s.filter(|_| now_s > 0).map_or(0, |written| written.saturating_sub(now_s));
        let went_back = (back_s > CLOCK_BACK_S).then_some(Finding::ClockWentBack { back_s });
        let free = (is_kept == Some(false)).then_some(Finding::ClockNotKept);
        went_back.into_iter().chain(free).collect()
    }
}
