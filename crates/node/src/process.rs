//! What the kernel says of this process.

/// Resident memory, in bytes; 0 where the kernel does not say.
pub(crate) fn resident_bytes() -> u64 {
    // Of the whole simulation: no host's.
    if cfg!(turmoil) {
        return 0;
    }
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Processor time so far, in seconds: in user and in system mode.
pub(crate) fn cpu_seconds() -> (f64, f64) {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let field = |text: &str, index: usize| text.split_whitespace().nth(index)?.parse::<f64>().ok();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; the fields after it do not.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    (field(after, 11).unwrap_or(0.0) / ticks, field(after, 12).unwrap_or(0.0) / ticks)
}

/// The process's number; in the simulated world every host has one process, and a run is like the next.
pub(crate) fn id() -> u32 {
    if cfg!(turmoil) { 1 } else { std::process::id() }
}

/// System, release and machine, as `uname` tells them.
pub(crate) fn system() -> String {
    let system = rustix::system::uname();
    [system.sysname(), system.release(), system.machine()].map(|text| text.to_string_lossy()).join(" ")
}
