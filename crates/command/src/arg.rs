//! Reading arguments as numbers, ranges and option words, as strictly as Redis does.

use crate::error::CommandError;
use ironcache_resp::parse_integer;

pub(crate) fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    parse_integer(arg).ok_or(CommandError::NotAnInteger)
}

/// A count that must not be negative.
pub(crate) fn count(arg: &[u8]) -> Result<usize, CommandError> {
    let count = parse_integer(arg).ok_or(CommandError::NotPositive)?;
    usize::try_from(count).map_err(|_| CommandError::NotPositive)
}

/// A double as `strtod` reads it, whole, without hexadecimal: infinities are numbers, NaN is none,
/// and what overflows or vanishes is refused.
pub(crate) fn float(arg: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(arg).ok()?.parse().ok()?;
    let names_infinity = arg.iter().any(|b| matches!(b, b'n' | b'N'));
    let has_digits =
        || arg.iter().take_while(|b| !matches!(b, b'e' | b'E')).any(|b| (b'1'..=b'9').contains(b));
    let refused =
        value.is_nan() || (value.is_infinite() && !names_infinity) || (value == 0.0 && has_digits());
    (!refused).then_some(value)
}

/// Whether the argument is this option, which is given in lower case.
pub(crate) fn is(arg: &[u8], option: &str) -> bool {
    arg.eq_ignore_ascii_case(option.as_bytes())
}

/// A range of positions, negative ones counted from the end, as positions `start..end` of a sequence
/// of `len`.
pub(crate) fn range(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let absolute = |at: i64| if at < 0 { at.saturating_add(len as i64) } else { at };
    let start = absolute(start).max(0) as usize;
    let end = (absolute(stop).saturating_add(1).max(0) as usize).min(len);
    if start < end { start..end } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_both_ends() {
        assert_eq!(range(0, -1, 5), 0..5);
        assert_eq!(range(-3, -2, 5), 2..4);
        assert_eq!(range(-100, 100, 5), 0..5);
        assert_eq!(range(3, 1, 5), 0..0);
        assert_eq!(range(5, 9, 5), 0..0);
        assert_eq!(range(0, i64::MAX, 5), 0..5);
        assert_eq!(range(i64::MIN, i64::MIN, 5), 0..0);
        assert_eq!(range(0, -1, 0), 0..0);
    }

    #[test]
    fn floats_are_read_as_redis_reads_them() {
        for (text, value) in
            [("1", 1.0), ("-2.5e3", -2500.0), ("inf", f64::INFINITY), ("-INFINITY", -f64::INFINITY)]
        {
            assert_eq!(float(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["", " 1", "1 ", "nan", "abc", "1e400", "1e-400", "1x", "--1"] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
        assert_eq!(float(b"0e5"), Some(0.0));
    }
}
