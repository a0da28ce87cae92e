//! The clocks of a machine, in ms. In the simulated world they are the simulation's.
//!
//! Durations within a process are `tokio::time::Instant`s, which are std's in a release and the simulation's there.

/// Since the machine was started, sleep included: it only goes forward, and is the same in every process.
#[cfg(not(turmoil))]
pub fn boottime_ms() -> u64 {
    boottime_ns() / 1_000_000
}

/// The same in ns, for what takes less than a ms.
#[cfg(not(turmoil))]
pub fn boottime_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Never negative, and 584 years of room.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What people call the time: Unix time, which may be set. 0 before 1970: a clock so wrong is wrong anyway, and nothing
/// may panic over it.
#[cfg(not(turmoil))]
pub fn wall_ms() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// As if every machine had been started at once, a while before the simulation.
#[cfg(turmoil)]
pub fn boottime_ms() -> u64 {
    const UP_BEFORE_MS: u64 = 1_000_000;
    UP_BEFORE_MS + turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64)
}

#[cfg(turmoil)]
pub fn boottime_ns() -> u64 {
    boottime_ms() * 1_000_000
}

#[cfg(turmoil)]
pub fn wall_ms() -> u64 {
    turmoil::since_epoch().map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_the_start_only_goes_forward() {
        let (first, then) = (boottime_ms(), boottime_ms());
        assert!(first > 0 && then >= first);
        assert!(wall_ms() > 1_600_000_000_000, "this machine knows its date");
    }
}
