//! Doubles as Redis 7.2 prints them (`d2string`, `fpconv_dtoa`): the shortest digits that read back as the same value.

use std::fmt::Write as _;
use std::ops::Deref;

/// The text of a double, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct DoubleText {
    bytes: [u8; DoubleText::BYTES_MAX],
    len: usize,
}

impl DoubleText {
    /// The longest texts are 17 digits with a sign, a point and an exponent as `e-324`: 24 bytes. If smaller, such a
    /// number would not fit.
    const BYTES_MAX: usize = 32;

    fn new() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], len: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = &mut self.bytes[self.len..][..bytes.len()];
        room.copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn push_zeros(&mut self, count: u32) {
        for _ in 0..count {
            self.push(b"0");
        }
    }
}

impl Deref for DoubleText {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("only ASCII is pushed")
    }
}

impl std::fmt::Write for DoubleText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl std::fmt::Display for DoubleText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

/// Formats `value`: `3`, `3.5`, `-0`, `inf`, `-inf`, `nan`, `1e+21`, `1e-7`.
pub fn format_double(value: f64) -> DoubleText {
    let mut out = DoubleText::new();
    if value.is_nan() {
        out.push(b"nan");
    } else if value.is_infinite() {
        out.push(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if let Some(integer) = exact_integer(value) {
        out.push(itoa::Buffer::new().format(integer).as_bytes());
    } else {
        push_finite(value, &mut out);
    }
    out
}

/// The integer that `value` is, where Redis (`double2ll`) prints it as one: within half of an `i64`. Above 2^53 these
/// digits are more than the shortest. The negative zero is none.
fn exact_integer(value: f64) -> Option<i64> {
    const BOUND: f64 = (1_u64 << 62) as f64;
    let integer = value as i64;
    let exact = value.abs() <= BOUND && integer as f64 == value;
    (exact && (value != 0.0 || value.is_sign_positive())).then_some(integer)
}

/// Writes `value` by the rules of `fpconv_dtoa`: plain digits while few zeros are needed, else an exponent.
fn push_finite(value: f64, out: &mut DoubleText) {
    if value.is_sign_negative() {
        out.push(b"-");
    }
    let mut scientific = DoubleText::new();
    write!(scientific, "{:e}", value.abs()).expect("DoubleText takes any text of a double");
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    let mut digits = DoubleText::new();
    mantissa.split('.').for_each(|part| digits.push(part.as_bytes()));
    let digits = digits.as_bytes();
    // value = digits · 10^scale = d.igits · 10^exponent
    let count = digits.len() as i32;
    let scale = exponent - (count - 1);
    if scale >= 0 && exponent < count + 7 {
        out.push(digits);
        out.push_zeros(scale.unsigned_abs());
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        match usize::try_from(count + scale) {
            Ok(whole) if whole > 0 => {
                let (before, after) = digits.split_at(whole);
                out.push(before);
                out.push(b".");
                out.push(after);
            }
            _ => {
                out.push(b"0.");
                out.push_zeros((count + scale).unsigned_abs());
                out.push(digits);
            }
        }
    } else {
        let (first, rest) = digits.split_at(1);
        out.push(first);
        if !rest.is_empty() {
            out.push(b".");
            out.push(rest);
        }
        out.push(if exponent < 0 { b"e-" } else { b"e+" });
        out.push(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::format_double;
    use proptest::prelude::*;

    #[test]
    fn doubles_read_as_redis_7_2_prints_them() {
        // The texts of d2string and fpconv_dtoa in redis 7.2.
        let texts = [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.0, "-3"),
            (3.5, "3.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-17.25, "-17.25"),
            (1e15, "1000000000000000"),
            (1e18, "1000000000000000000"),
            (4611686018427387904.0, "4611686018427387904"),
            (9223372036854775808.0, "9223372036854776000"),
            (1e19, "1e+19"),
            (1.5e22, "1.5e+22"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e300, "1e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (0.001, "0.001"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (0.0012345678, "0.0012345678"),
            (0.00012345678, "1.2345678e-4"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
        ];
        for (value, text) in texts {
            assert_eq!(&*format_double(value), text);
        }
    }

    proptest! {
        #[test]
        fn every_double_reads_back_as_itself(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let read: f64 = format_double(value).parse().expect("the text is a number");
            prop_assert!(read.to_bits() == bits || (read.is_nan() && value.is_nan()));
        }
    }
}
