//! The machine and the day of a measurement, without anything that names the machine.

use std::time::{SystemTime, UNIX_EPOCH};

/// As in "2 cores, 24 GB, Linux 6.1.0; 2026-01-31, load 0.12 before it". The load is that of the last minute: above 1
/// or so, something else than this was running too, and times are longer than they could be.
pub(crate) fn line() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory = memory_gb(&read("/proc/meminfo"));
    let release = read("/proc/sys/kernel/osrelease");
    let kernel = kernel_numbers(&release);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores, {memory} GB, Linux {kernel}; {}, load {load} before it", date(seconds))
}

fn memory_gb(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0);
    (kib * 1024 + 500_000_000) / 1_000_000_000
}

/// The suffix of a kernel's version names who built it, and for which machines.
fn kernel_numbers(release: &str) -> &str {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    &release[..end]
}

/// The day, as in 2026-01-31 (UTC). Howard Hinnant's `civil_from_days`, for days after 1970.
fn date(unix_s: u64) -> String {
    let days = unix_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days_are_right() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_709_164_800), "2024-02-29");
        assert_eq!(date(1_709_251_200), "2024-03-01");
        assert_eq!(date(1_798_675_199), "2026-12-30");
    }

    #[test]
    fn the_kernel_and_the_memory_are_numbers_only() {
        assert_eq!(kernel_numbers("6.1.0-13-some-cloud\n"), "6.1.0");
        assert_eq!(kernel_numbers("6.8\n"), "6.8");
        assert_eq!(memory_gb("MemFree: 1 kB\nMemTotal:       16384000 kB\n"), 17);
    }
}
