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

/// A double as `strtod` reads it, whole: infinities are numbers, NaN is none, and what overflows or
/// vanishes is refused.
pub(crate) fn float(arg: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(arg).ok()?;
    let Ok(value) = text.parse::<f64>() else {
        return hexadecimal(text);
    };
    let names_infinity = arg.iter().any(|b| matches!(b, b'n' | b'N'));
    let has_digits =
        || arg.iter().take_while(|b| !matches!(b, b'e' | b'E')).any(|b| (b'1'..=b'9').contains(b));
    let refused =
        value.is_nan() || (value.is_infinite() && !names_infinity) || (value == 0.0 && has_digits());
    (!refused).then_some(value)
}

/// A score as it is kept. There is one zero: Redis' usual encoding of a sorted set keeps no sign of it. (Replies show the
/// sign of a zero that was just computed, as Redis' do.)
pub(crate) fn one_zero(score: f64) -> f64 {
    score + 0.0
}

/// A double as C's `strtod` reads a whole text: blanks before it are skipped, nothing at all is 0, and a byte of 0 ends it.
/// What overflows is infinite, what vanishes is 0; NaN is no number.
pub(crate) fn c_double(arg: &[u8]) -> Option<f64> {
    let text = arg.split(|b| *b == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let text = text.trim_ascii_start();
    let rounded = || std::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|value| !value.is_nan());
    float(text).or_else(rounded)
}

/// An element as `SORT` reads it, whole: as [`c_double`], but what overflows or vanishes is refused.
pub(crate) fn sortable(element: &[u8]) -> Option<f64> {
    let text = element.split(|b| *b == 0).next().unwrap_or_default();
    if text.is_empty() { Some(0.0) } else { float(text.trim_ascii_start()) }
}

/// An integer between `min` and `max`, as options are whose error names both.
pub(crate) fn between(arg: &[u8], min: i64, max: i64) -> Result<i64, CommandError> {
    let value = integer(arg)?;
    if (min..=max).contains(&value) { Ok(value) } else { Err(CommandError::NotBetween { min, max }) }
}

/// A number of at least 1; whatever else it is, the error says `what` it is of.
pub(crate) fn above_zero(arg: &[u8], what: &'static str) -> Result<usize, CommandError> {
    let value = parse_integer(arg).and_then(|value| usize::try_from(value).ok());
    value.filter(|value| *value > 0).ok_or(CommandError::NotAboveZero { what })
}

/// A number of at least 0; whatever else it is, the error says `what` it is of.
pub(crate) fn not_negative(arg: &[u8], what: &'static str) -> Result<usize, CommandError> {
    let value = parse_integer(arg).and_then(|value| usize::try_from(value).ok());
    value.ok_or(CommandError::Negative { what })
}

/// A double such as `-0x1.8p3`, which C reads and Rust does not.
fn hexadecimal(text: &str) -> Option<f64> {
    /// Digits beyond the 60 bits before this one only tell whether the value is exact.
    const FULL: u64 = 1 << 60;
    let (sign, text) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let (digits, exponent) = match text.split_once(['p', 'P']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut mantissa, mut inexact) = (0_u64, 0_u64);
    let mut exponent = i64::from(exponent) - 4 * i64::try_from(fraction.len()).ok()?;
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(digit.to_digit(16)?);
        if mantissa < FULL {
            mantissa = mantissa << 4 | digit;
        } else {
            inexact |= u64::from(digit != 0);
            exponent += 4;
        }
    }
    // In two steps, so that no power overflows where the value does not.
    let exponent = exponent.clamp(-2000, 2000) as i32;
    let value = (mantissa | inexact) as f64 * 2_f64.powi(exponent / 2) * 2_f64.powi(exponent - exponent / 2);
    (value.is_finite() && (value != 0.0 || mantissa == 0)).then_some(sign * value)
}

/// How many a popping command takes: the option `COUNT`, at most once, or 1.
pub(crate) fn pop_count(options: &[&[u8]]) -> Result<usize, CommandError> {
    match options {
        [] => Ok(1),
        [option, count, rest @ ..] if is(option, "count") => {
            let count = above_zero(count, "count")?;
            if rest.is_empty() { Ok(count) } else { Err(CommandError::Syntax) }
        }
        _ => Err(CommandError::Syntax),
    }
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
        for (text, value) in [
            ("0x10", 16.0),
            ("-0X.8p1", -1.0),
            ("+0x1.8p-3", 0.1875),
            ("0x1e5", 485.0),
            ("0x1.p0", 1.0),
            ("0x0p9999", 0.0),
            ("0x1fffffffffffffffp0", 2_305_843_009_213_693_952.0),
            ("0x10000000000000800001", 75_557_863_725_914_340_196_352.0),
            ("0x1p-1074", 5e-324),
        ] {
            assert_eq!(float(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "abc",
            "1e400",
            "1e-400",
            "1x",
            "--1",
            "0x",
            "0x.",
            "0xg",
            "0x1p",
            "-0x-1",
            "0x1p1024",
            "0x1p-1100",
            "0x 1",
            "1x1",
            "0x1p99999999999",
        ] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
        assert_eq!(float(b"0e5"), Some(0.0));
    }
}
