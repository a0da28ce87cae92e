//! Records of the audit chain.

use ironcache_types::AuditRecord;
use std::collections::BTreeMap;

/// Who asked.
pub fn asker(record: &AuditRecord) -> String {
    let word = |key: &str| record.who.get(key).map(String::as_str);
    match (word("credential"), word("name"), word("key"), word("node")) {
        (Some("insecure"), ..) => "anybody (insecure)".to_owned(),
        (Some("operator"), Some(name), Some(key), _) => format!("{name} ({})", short(key)),
        (Some("operator"), None, Some(key), _) => format!("operator {}", short(key)),
        (Some("node"), _, _, Some(node)) => format!("node {node}"),
        (Some("policy"), ..) => "policy".to_owned(),
        _ => pairs(&record.who),
    }
}

/// What was done, and to what.
pub fn act(record: &AuditRecord) -> String {
    let act = record.act.replace('-', " ");
    if record.details.is_empty() { act } else { format!("{act}: {}", pairs(&record.details)) }
}

fn pairs(words: &BTreeMap<String, String>) -> String {
    words.iter().map(|(key, value)| format!("{key} {}", short(value))).collect::<Vec<_>>().join(", ")
}

/// Hashes by their beginning; control characters, which a terminal would obey, by their names.
fn short(value: &str) -> String {
    let is_hash = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { value[..12].to_owned() } else { value.escape_debug().to_string() }
}

/// `2026-11-27 06:38:34`, of Unix ms; `-` for a time that nobody said.
pub fn utc(unix_ms: u64) -> String {
    if unix_ms == 0 {
        return "-".to_owned();
    }
    let (days, of_day_s) = (unix_ms / 86_400_000, unix_ms / 1000 % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day_s / 3600, of_day_s / 60 % 60, of_day_s % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Of days since 1970: Howard Hinnant's `civil_from_days`, with years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_in_utc() {
        for (unix_s, text) in [
            (1, "1970-01-01 00:00:01"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_164_799, "2024-02-28 23:59:59"),
            (1_795_761_514, "2026-11-27 06:38:34"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(unix_s * 1000), text);
        }
        assert_eq!(utc(0), "-");
    }

    #[test]
    fn what_others_wrote_moves_no_cursor() {
        assert_eq!(short("\u{1b}[2J\r\n"), r"\u{1b}[2J\r\n");
    }
}
