//! The arithmetic of `INCRBYFLOAT`: the 80-bit floats of x86, in which Redis computes, and which hide most of binary
//! rounding when 17 decimals of them are shown.
//!
//! *Invariant:* a sum and its text are, bit for bit, those of `strtold`, `+` and `%.17Lf` on x86-64.

use crate::big::Big;

/// The exponent of the lowest bit of the smallest number.
const EXPONENT_MIN: i32 = -16_445;
/// That of the largest.
const EXPONENT_MAX: i32 = 16_384 - 64;
/// Longer texts are no numbers.
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// Texts whose first digit stands for more than this power of ten, or less than the other, are infinite, or nothing.
const TENS_MAX: i64 = 4_940;
const TENS_MIN: i64 = -4_970;

/// Why a sum has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SumError {
    /// The number that is there.
    OldNotANumber,
    /// The one to be added.
    AddedNotANumber,
    NotFinite,
}

/// A number: `mantissa · 2^exponent`, the mantissa's highest bit set but for the very smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extended {
    Finite { negative: bool, mantissa: u64, exponent: i32 },
    Infinite { negative: bool },
}

use Extended::{Finite, Infinite};

impl Extended {
    pub(crate) fn is_finite(self) -> bool {
        matches!(self, Finite { .. })
    }

    /// Reads a whole text. What overflows, or vanishes, or is NaN, is no number.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
            return Some(Infinite { negative });
        }
        let rest = std::str::from_utf8(rest).ok()?;
        let hexadecimal = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"));
        let parsed = match hexadecimal {
            Some(digits) => Self::of_digits(negative, digits, 16, &['p', 'P'])?,
            None => Self::of_digits(negative, rest, 10, &['e', 'E'])?,
        };
        let vanished = |digits: &str| digits.chars().any(|c| c.is_ascii_hexdigit() && c != '0');
        let significant = rest.split(if hexadecimal.is_some() { ['p', 'P'] } else { ['e', 'E'] }).next()?;
        match parsed {
            Infinite { .. } => None,
            Finite { mantissa: 0, .. } if vanished(significant.trim_start_matches(['0', 'x', 'X'])) => None,
            finite @ Finite { .. } => Some(finite),
        }
    }

    fn of_digits(negative: bool, text: &str, base: u32, marks: &[char]) -> Option<Self> {
        let (digits, exponent) = match text.split_once(marks) {
            Some((digits, exponent)) => (digits, power(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut number = Big::default();
        let mut count = 0_i64;
        for digit in whole.chars().chain(fraction.chars()) {
            number.multiply_add(base, digit.to_digit(base)?);
            count += i64::from(!number.is_zero());
        }
        let scale = exponent.saturating_sub(fraction.len() as i64 * if base == 16 { 4 } else { 1 });
        if number.is_zero() {
            return Some(Finite { negative, mantissa: 0, exponent: 0 });
        }
        if base == 16 {
            let (high, below, lost) = number.highest();
            return Some(Self::round(negative, high, below as i64 + scale, lost));
        }
        if count + scale > TENS_MAX {
            return Some(Infinite { negative });
        }
        if count + scale < TENS_MIN {
            return Some(Finite { negative, mantissa: 0, exponent: 0 });
        }
        // Of ten's two factors the one only moves the exponent.
        let mut lost = false;
        let mut shifted = 0;
        if scale >= 0 {
            (0..scale).for_each(|_| number.multiply_add(5, 0));
        } else {
            // Wide enough for all bits that count to be left after the division.
            shifted = 130 + (-scale as usize) * 3;
            number.shift_left(shifted);
            (0..-scale).for_each(|_| lost |= number.divide(5) != 0);
        }
        let (high, below, more_lost) = number.highest();
        Some(Self::round(negative, high, below as i64 + scale - shifted as i64, lost || more_lost))
    }

    /// The number nearest to `wide · 2^exponent`, and a little more if bits were lost; of two the even one.
    fn round(negative: bool, wide: u128, exponent: i64, lost: bool) -> Self {
        if wide == 0 {
            return Finite { negative, mantissa: 0, exponent: 0 };
        }
        let bits = 128 - i64::from(wide.leading_zeros());
        let drop = (bits - 64).max(i64::from(EXPONENT_MIN) - exponent).min(127);
        let (mut mantissa, mut exponent) = (wide, exponent + drop);
        if drop > 0 {
            let (rest, half) = (wide & ((1 << drop) - 1), 1_u128 << (drop - 1));
            mantissa = wide >> drop;
            let up = rest > half || rest == half && (lost || mantissa & 1 == 1);
            mantissa += u128::from(up);
            if mantissa >> 64 != 0 {
                mantissa >>= 1;
                exponent += 1;
            }
        } else {
            mantissa <<= -drop;
        }
        if exponent > i64::from(EXPONENT_MAX) {
            return Infinite { negative };
        }
        Finite { negative, mantissa: mantissa as u64, exponent: exponent as i32 }
    }

    pub(crate) fn add(self, other: Self) -> Option<Self> {
        /// Bits kept below the larger one's: enough to round by.
        const KEPT: u32 = 62;
        let (a, b) = match (self, other) {
            (Finite { .. }, Finite { .. }) => (self, other),
            (Infinite { negative }, Infinite { negative: other }) if negative != other => return None,
            (infinite @ Infinite { .. }, _) | (_, infinite @ Infinite { .. }) => return Some(infinite),
        };
        let (Finite { mantissa: ma, exponent: ea, .. }, Finite { mantissa: mb, exponent: eb, .. }) = (a, b)
        else {
            return None;
        };
        if ma == 0 || mb == 0 {
            return Some(if ma == 0 { b } else { a });
        }
        // The smallest ones have leading zeros, so the exponents alone do not say which is larger.
        let (large, small) = if (ea, ma) >= (eb, mb) { (a, b) } else { (b, a) };
        let (Finite { negative, mantissa, exponent }, Finite { negative: n, mantissa: m, exponent: e }) =
            (large, small)
        else {
            return None;
        };
        let wide = u128::from(mantissa) << KEPT;
        let distance = (exponent - e).unsigned_abs();
        let narrow = u128::from(m) << KEPT;
        let moved = narrow.checked_shr(distance).unwrap_or(0);
        let lost = moved.checked_shl(distance).unwrap_or(0) != narrow;
        // What is lost of a number that is taken away leaves a little less: it borrows one, and gives most of it back.
        let sum = if negative == n { wide + moved } else { wide - moved - u128::from(lost) };
        if sum == 0 {
            return Some(Finite { negative: false, mantissa: 0, exponent: 0 });
        }
        Some(Self::round(negative, sum, i64::from(exponent) - i64::from(KEPT), lost))
    }

    /// As `%.17Lf` shows it, without zeros at the end. Of an infinite one, nothing.
    pub(crate) fn show(self) -> String {
        const UNIT: u128 = 10_u128.pow(17);
        let Finite { negative, mantissa, exponent } = self else {
            return String::new();
        };
        let text = if exponent >= 0 {
            let mut whole = Big::from(mantissa);
            whole.shift_left(exponent as usize);
            whole.show()
        } else {
            let drop = exponent.unsigned_abs();
            let scaled = u128::from(mantissa) * UNIT;
            let (quotient, rest, half) = match drop {
                0..128 => (scaled >> drop, scaled & ((1 << drop) - 1), 1 << (drop - 1)),
                _ => (0, 0, 1),
            };
            let up = rest > half || rest == half && quotient & 1 == 1;
            let units = quotient + u128::from(up);
            let text = format!("{}.{:017}", units / UNIT, units % UNIT);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        if negative && text != "0" { format!("-{text}") } else { text }
    }
}

/// Exact: it has more bits of each kind.
impl From<f64> for Extended {
    fn from(value: f64) -> Self {
        const MANTISSA_BITS: u32 = 52;
        let (bits, negative) = (value.to_bits(), value.is_sign_negative());
        let fraction = bits & ((1 << MANTISSA_BITS) - 1);
        match (bits >> MANTISSA_BITS) as i64 & 0x7ff {
            0x7ff => Infinite { negative },
            0 => Self::round(negative, fraction.into(), -1074, false),
            exponent => Self::round(negative, (fraction | 1 << MANTISSA_BITS).into(), exponent - 1075, false),
        }
    }
}

/// A power as C reads it: one that does not fit is as large as matters.
fn power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    Some(if text.starts_with('-') { -size } else { size })
}

/// The sum of two texts, as text without exponent.
pub(crate) fn sum(old: &[u8], added: &[u8]) -> Result<String, SumError> {
    let old = Extended::parse(old).ok_or(SumError::OldNotANumber)?;
    let added = Extended::parse(added).ok_or(SumError::AddedNotANumber)?;
    old.add(added).filter(|sum| sum.is_finite()).map(Extended::show).ok_or(SumError::NotFinite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, total) in [
            ("10.5", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("5.0e3", "2.0e2", "5200"),
            ("-1", "1", "0"),
            ("-0.5", "0.25", "-0.25"),
            ("1e-17", "0", "0.00000000000000001"),
            ("1e-18", "0", "0"),
            ("-1e-18", "0", "0"),
            (".5", "1.", "1.5"),
            ("1e25", "1", "10000000000000000000000000"),
            ("+2", "2", "4"),
            ("0x10", "0x.8p1", "17"),
            ("9223372036854775807", "1.5", "9223372036854775808"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("-1e-4950", "0", "0"),
            ("1e4000", "-1e4000", "0"),
        ] {
            assert_eq!(sum(a.as_bytes(), b.as_bytes()).as_deref(), Ok(total), "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        assert_eq!(sum(b"abc", b"1"), Err(SumError::OldNotANumber));
        assert_eq!(sum(b"inf", b"1"), Err(SumError::NotFinite));
        assert_eq!(sum(b"inf", b"-inf"), Err(SumError::NotFinite));
        assert_eq!(sum(b"1.1e4932", b"1.1e4932"), Err(SumError::NotFinite));
        for text in
            ["", " 1", "1 ", "nan", "1e", "0x", "1e5000", "1e-5000", "1e99999999999999999999", "--1", "1x"]
        {
            assert_eq!(sum(b"1", text.as_bytes()), Err(SumError::AddedNotANumber), "{text}");
        }
    }
}
