//! Reads what the machine says. In the simulated world it says nothing: no host's machine is a simulated one's.

use super::{Clock, Descriptors, Disk, Ground, Kernel, Memory};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Of this process, and of the disk that `data_dir` is on, or would be. Blocks as a disk may.
pub fn measure(data_dir: &Path) -> Ground {
    if cfg!(turmoil) {
        return Ground::default();
    }
    let limit = getrlimit(Resource::Nofile);
    Ground {
        descriptors: Descriptors {
            // Without a bound there is as much as the kernel counts to.
            soft: Some(limit.current.unwrap_or(u64::MAX)),
            hard: Some(limit.maximum.unwrap_or(u64::MAX)),
            open: fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count().saturating_sub(1) as u64),
        },
        memory: Memory { machine_bytes: machine_bytes(), group_bytes: group_bytes() },
        disk: existing(data_dir).and_then(|dir| disk(&dir)),
        kernel: Kernel {
            overcommit: number("/proc/sys/vm/overcommit_memory"),
            huge_pages_forced: huge_pages_forced(),
            somaxconn: number("/proc/sys/net/core/somaxconn"),
            syn_backlog: number("/proc/sys/net/ipv4/tcp_max_syn_backlog"),
            syncookies: number("/proc/sys/net/ipv4/tcp_syncookies"),
        },
        clock: Clock {
            now_s: ironcache_store::clock::wall_ms() / 1_000,
            written_s: written_s(data_dir),
            is_kept: is_kept(),
        },
    }
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The directory, or the nearest one above it that there is.
pub fn existing(dir: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(dir).ok()?;
    whole.ancestors().find(|dir| dir.exists()).map(Path::to_owned)
}

fn disk(dir: &Path) -> Option<Disk> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(Disk {
        size_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        files_free: (stat.f_files > 0).then_some(stat.f_favail),
    })
}

fn machine_bytes() -> Option<u64> {
    of_meminfo(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

pub(super) fn of_meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The least bound of this process' group and of those above it, by either version of control groups.
fn group_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut files = Vec::new();
    for (mount, path, file) in mounts(&groups) {
        let group = Path::new(mount).join(path.trim_start_matches('/'));
        // Inside a container its own group is the root of what it sees.
        files.extend(group.ancestors().take_while(|dir| dir.starts_with(mount)).map(|dir| dir.join(file)));
    }
    files.iter().filter_map(|file| of_limit(&fs::read_to_string(file).ok()?)).min()
}

/// Where the bound of memory lies, by the lines of `/proc/self/cgroup`: mount, path below it, file.
pub(super) fn mounts(groups: &str) -> Vec<(&'static str, &str, &'static str)> {
    let of_line = |line| {
        let mut parts = str::splitn(line, 3, ':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if id == "0" && controllers.is_empty() {
            Some(("/sys/fs/cgroup", path, "memory.max"))
        } else {
            let is_memory = controllers.split(',').any(|name| name == "memory");
            is_memory.then_some(("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
        }
    };
    groups.lines().filter_map(of_line).collect()
}

/// `max`, or a number near the largest, is none.
pub(super) fn of_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

fn huge_pages_forced() -> bool {
    let enabled = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    forced(&enabled, &status)
}

/// The kernel says `THP_enabled: 0` of a process that has refused them.
pub(super) fn forced(enabled: &str, status: &str) -> bool {
    let refused =
        status.lines().any(|line| line.strip_prefix("THP_enabled:").is_some_and(|said| said.trim() == "0"));
    enabled.contains("[always]") && !refused
}

/// Of what a node writes in all its life, the newest.
fn written_s(data_dir: &Path) -> Option<u64> {
    let modified = |entry: fs::DirEntry| entry.metadata().ok()?.modified().ok();
    let newest = fs::read_dir(data_dir).ok()?.filter_map(|entry| modified(entry.ok()?)).max()?;
    Some(newest.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

fn is_kept() -> Option<bool> {
    // SAFETY: all zeros is a value of it, and asks for no change.
    let mut ask: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the struct is ours; the kernel fills it, and changes nothing without a mode.
    match unsafe { libc::adjtimex(&raw mut ask) } {
        -1 => None,
        state => Some(state != libc::TIME_ERROR && ask.status & libc::STA_UNSYNC == 0),
    }
}
