//! The arithmetic of `INCRBYFLOAT`: decimal, so that 0.1 + 0.2 is 0.3.
//!
//! Redis computes in 80-bit floats and prints 17 decimals, which hides most binary rounding. Here
//! sums are exact in units of 10^-17; where that range ends (about 10^21) doubles take over.

use crate::arg::float;

const DECIMALS: i32 = 17;
const UNIT: i128 = 10_i128.pow(DECIMALS as u32);

/// Why a sum has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SumError {
    NotANumber,
    NotFinite,
}

/// The sum of two decimal texts, as text without exponent and without trailing zeros.
pub(crate) fn sum(a: &[u8], b: &[u8]) -> Result<String, SumError> {
    let (x, y) = (float(a).ok_or(SumError::NotANumber)?, float(b).ok_or(SumError::NotANumber)?);
    match fixed(a).zip(fixed(b)).and_then(|(x, y)| x.checked_add(y)) {
        Some(total) => Ok(show(total)),
        None if (x + y).is_finite() => Ok(format!("{}", x + y)),
        None => Err(SumError::NotFinite),
    }
}

/// A decimal in units of 10^-17, rounded half up; `None` if it is too large, or no decimal.
fn fixed(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // The power of ten of the last digit read, in the units of the result.
    let mut power = exponent.checked_add(DECIMALS)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10)?.checked_add(i128::from(char::from(digit).to_digit(10)?))?;
    }
    while power > 0 && value != 0 {
        value = value.checked_mul(10)?;
        power -= 1;
    }
    while power < 0 && value != 0 {
        let rounding = if power == -1 { 5 } else { 0 };
        value = value.checked_add(rounding)? / 10;
        power += 1;
    }
    Some(if negative { -value } else { value })
}

fn show(value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, fraction) =
        (value.unsigned_abs() / UNIT.unsigned_abs(), value.unsigned_abs() % UNIT.unsigned_abs());
    let text = format!("{sign}{whole}.{fraction:017}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_decimal_arithmetic() {
        for (a, b, total) in [
            ("10.5", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("5.0e3", "2.0e2", "5200"),
            ("-1", "1", "0"),
            ("-0.5", "0.25", "-0.25"),
            ("1e-17", "0", "0.00000000000000001"),
            ("1e-18", "0", "0"),
            (".5", "1.", "1.5"),
            ("3", "-1e0", "2"),
            ("1e25", "1", "10000000000000000000000000"),
            ("+2", "2", "4"),
        ] {
            assert_eq!(sum(a.as_bytes(), b.as_bytes()).as_deref(), Ok(total), "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        assert_eq!(sum(b"abc", b"1"), Err(SumError::NotANumber));
        assert_eq!(sum(b"inf", b"1"), Err(SumError::NotFinite));
        assert_eq!(sum(b"1.7e308", b"1.7e308"), Err(SumError::NotFinite));
        assert_eq!(sum(b"1e2147483647", b"1"), Err(SumError::NotANumber));
    }
}
