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
    /// The longest text is a sign, 21 digits or 17 with a point, and an exponent of up to `e-324`.
    const BYTES_MAX: usize = 40;

    fn new() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], len: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = &mut self.bytes[self.len..][..bytes.len()];
        room.copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn push_zeros(&mut self, count: usize) {
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

/// The integer that `value` is, where Redis prints it as one.
fn exact_integer(value: f64) -> Option<i64> {
    // Redis' double2ll takes what a double holds exactly, ±2^52, and leaves the negative zero to the other path.
    const BOUND: f64 = (1_u64 << 52) as f64;
    let integer = value as i64;
    (value.abs() < BOUND && integer as f64 == value && !(value == 0.0 && value.is_sign_negative()))
        .then_some(integer)
}

/// `value` = 0.`digits` · 10^(exponent+1), written with or without an exponent by the rules of `fpconv_dtoa`.
fn push_finite(value: f64, out: &mut DoubleText) {
    if value.is_sign_negative() {
        out.push(b"-");
    }
    let mut scientific = DoubleText::new();
    write!(scientific, "{:e}", value.abs()).expect("DoubleText takes any text of a double");
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    let mut digits = DoubleText::new();
    for part in mantissa.split('.') {
        digits.push(part.as_bytes());
    }
    let digits = digits.as_bytes();
    let count = digits.len() as i32;
    // The value is digits · 10^scale.
    let scale = exponent - (count - 1);
    if scale >= 0 && exponent < count + 7 {
        out.push(digits);
        out.push_zeros(scale.unsigned_abs() as usize);
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        let whole = count + scale;
        if whole <= 0 {
            out.push(b"0.");
            out.push_zeros(whole.unsigned_abs() as usize);
            out.push(digits);
        } else {
            let (before, after) = digits.split_at(whole.unsigned_abs() as usize);
            out.push(before);
            out.push(b".");
            out.push(after);
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
