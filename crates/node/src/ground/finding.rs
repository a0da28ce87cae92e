//! What can be wrong with a node's ground, and what to do about it.
//!
//! *Invariant:* a code, once released, keeps its meaning; it is a label in `/metrics`, and scripts go by it.

use std::fmt;

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The node does not start, or serves nobody.
    Error,
    /// It runs, with less than it was told, or until the day on which that is missing.
    Warning,
}

impl Weight {
    pub fn as_str(self) -> &'static str {
        match self {
            Weight::Error => "error",
            Weight::Warning => "warning",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    NoDescriptors { limit: u64, reserved: u64 },
    FewDescriptors { limit: u64, reserved: u64, left: u64, clients: u64 },
    SmallMemory { buffers_bytes: u64, has_bytes: u64 },
    DiskFull { free_bytes: u64, needs_bytes: u64 },
    DiskLow { free_bytes: u64, keep_bytes: u64 },
    FewFiles { files: u64 },
    StrictOvercommit,
    HugePages,
    ShortQueue { somaxconn: u64, asked: u64 },
    ShortSynQueue { syn_backlog: u64 },
    ClockWentBack { back_s: u64 },
    ClockNotKept,
}

impl Finding {
    /// Every code, for metrics that are there before anything is found.
    pub const CODES: [&'static str; 12] = [
        "no_descriptors",
        "few_descriptors",
        "small_memory",
        "disk_full",
        "disk_low",
        "few_files",
        "strict_overcommit",
        "huge_pages",
        "short_queue",
        "short_syn_queue",
        "clock_went_back",
        "clock_not_kept",
    ];

    pub fn code(&self) -> &'static str {
        match self {
            Finding::NoDescriptors { .. } => "no_descriptors",
            Finding::FewDescriptors { .. } => "few_descriptors",
            Finding::SmallMemory { .. } => "small_memory",
            Finding::DiskFull { .. } => "disk_full",
            Finding::DiskLow { .. } => "disk_low",
            Finding::FewFiles { .. } => "few_files",
            Finding::StrictOvercommit => "strict_overcommit",
            Finding::HugePages => "huge_pages",
            Finding::ShortQueue { .. } => "short_queue",
            Finding::ShortSynQueue { .. } => "short_syn_queue",
            Finding::ClockWentBack { .. } => "clock_went_back",
            Finding::ClockNotKept => "clock_not_kept",
        }
    }

    pub fn weight(&self) -> Weight {
        match self {
            Finding::NoDescriptors { .. } | Finding::DiskFull { .. } => Weight::Error,
            Finding::FewDescriptors { .. }
            | Finding::SmallMemory { .. }
            | Finding::DiskLow { .. }
            | Finding::FewFiles { .. }
            | Finding::StrictOvercommit
            | Finding::HugePages
            | Finding::ShortQueue { .. }
            | Finding::ShortSynQueue { .. }
            | Finding::ClockWentBack { .. }
            | Finding::ClockNotKept => Weight::Warning,
        }
    }

    /// What to do.
    pub fn advice(&self) -> String {
        let text = match self {
            Finding::NoDescriptors { reserved, .. } => {
                return format!(
                    "raise the hard limit to {reserved} and one for each client (ulimit -Hn, LimitNOFILE=)"
                );
            }
            Finding::FewDescriptors { reserved, clients, .. } => {
                return format!(
                    "raise the hard limit to {} (ulimit -Hn, LimitNOFILE=), or lower maxclients",
                    reserved + clients
                );
            }
            Finding::SmallMemory { .. } => {
                "lower maxmemory-clients or backlog-bytes, or give the node more memory"
            }
            Finding::DiskFull { .. } => "make room, or put the data directory on another disk",
            Finding::DiskLow { .. } => "make room before the next release is staged",
            Finding::FewFiles { .. } => "remove files, or make the file system with more inodes",
            Finding::StrictOvercommit => {
                "set vm.overcommit_memory to 0 or 1; a node never forks, so nothing is gained by 2"
            }
            Finding::HugePages => {
                "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, and again at each start of the machine"
            }
            Finding::ShortQueue { .. } => "sysctl -w net.core.somaxconn=4096",
            Finding::ShortSynQueue { .. } => {
                "sysctl -w net.ipv4.tcp_syncookies=1, or net.ipv4.tcp_max_syn_backlog=4096"
            }
            Finding::ClockWentBack { .. } => {
                "set the clock, and see that it is kept (chrony, systemd-timesyncd): keys expire by it"
            }
            Finding::ClockNotKept => {
                "run chrony or systemd-timesyncd; in a container the host's counts, and may be right all the same"
            }
        };
        text.to_owned()
    }
}

/// What is, with the number and the bar.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NoDescriptors { limit, reserved } => write!(
                f,
                "a process may have {limit} descriptors, and {reserved} are kept for peers, operators and files: none is \
                 left for clients"
            ),
            Finding::FewDescriptors { limit, reserved, left, clients } => write!(
                f,
                "a process may have {limit} descriptors, and {reserved} are kept for peers, operators and files: {left} \
                 clients are let in instead of maxclients = {clients}"
            ),
            Finding::SmallMemory { buffers_bytes, has_bytes } => write!(
                f,
                "buffers may take {} (maxmemory-clients and backlog-bytes) of the {} that there are",
                bytes(*buffers_bytes),
                bytes(*has_bytes)
            ),
            Finding::DiskFull { free_bytes, needs_bytes } => write!(
                f,
                "the data directory's disk has {} left, and the log alone needs {}",
                bytes(*free_bytes),
                bytes(*needs_bytes)
            ),
            Finding::DiskLow { free_bytes, keep_bytes } => write!(
                f,
                "the data directory's disk has {} left; a release is not taken with less than {} to spare",
                bytes(*free_bytes),
                bytes(*keep_bytes)
            ),
            Finding::FewFiles { files } => {
                write!(f, "the data directory's file system takes only {files} more files")
            }
            Finding::StrictOvercommit => {
                f.write_str("vm.overcommit_memory is 2: memory is refused while there is some, and then a node ends")
            }
            Finding::HugePages => f.write_str(
                "transparent huge pages are `always`, and this process may not refuse them: more memory, slower first writes",
            ),
            Finding::ShortQueue { somaxconn, asked } => write!(
                f,
                "net.core.somaxconn is {somaxconn}: of {asked} clients that may wait while a daemon is replaced, the rest is \
                 turned away"
            ),
            Finding::ShortSynQueue { syn_backlog } => write!(
                f,
                "net.ipv4.tcp_max_syn_backlog is {syn_backlog}, without cookies: a burst of clients is not answered"
            ),
            Finding::ClockWentBack { back_s } => {
                write!(f, "the clock is {back_s} s behind what it was when the data directory was last written to")
            }
            Finding::ClockNotKept => f.write_str("the kernel says that nothing keeps its clock right"),
        }
    }
}

/// In the largest unit of which there is one, for people.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}
