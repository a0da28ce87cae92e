//! Numbers as C prints and reads them: what scripts send, and what `cjson` writes, agrees with Redis digit by digit.

use mlua::Value;

/// As `printf("%.{digits}g")`.
pub(crate) fn general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let digits = digits.max(1);
    // Rounded to as many digits as are shown: the exponent is that of the rounded number.
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= i32::try_from(digits).unwrap_or(i32::MAX) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs());
    }
    let decimals = i32::try_from(digits).unwrap_or(i32::MAX) - 1 - exponent;
    trimmed(&format!("{value:.*}", usize::try_from(decimals).unwrap_or(0))).to_owned()
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// The number at the start of `text`, as C's `strtod` finds it, and the bytes that it takes. Blanks are not skipped.
pub(crate) fn leading(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let negative = text.first() == Some(&b'-');
    let body = &text[signed..];
    let starts = |word: &[u8]| body.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let (value, taken) = if starts(b"infinity") {
        (f64::INFINITY, 8)
    } else if starts(b"inf") {
        (f64::INFINITY, 3)
    } else if starts(b"nan") {
        (f64::NAN, 3)
    } else if starts(b"0x") && body.get(2).is_some_and(u8::is_ascii_hexdigit) {
        hexadecimal(body)
    } else {
        decimal(body)?
    };
    Some((if negative { -value } else { value }, signed + taken))
}

fn decimal(body: &[u8]) -> Option<(f64, usize)> {
    let digits = |from: usize| body[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let mut taken = whole;
    let mut decimals = 0;
    if body.get(taken) == Some(&b'.') {
        decimals = digits(taken + 1);
        taken += 1 + decimals;
    }
    if whole + decimals == 0 {
        return None;
    }
    if matches!(body.get(taken), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(body.get(taken + 1), Some(b'+' | b'-')));
        let exponent = body.get(taken + 1 + signed..).map_or(0, |_| digits(taken + 1 + signed));
        if exponent > 0 {
            taken += 1 + signed + exponent;
        }
    }
    let text = std::str::from_utf8(&body[..taken]).ok()?;
    Some((text.parse().ok()?, taken))
}

fn hexadecimal(body: &[u8]) -> (f64, usize) {
    let (mut value, mut taken, mut scale) = (0.0_f64, 2, None);
    while let Some(byte) = body.get(taken) {
        match (char::from(*byte).to_digit(16), byte) {
            (Some(digit), _) => {
                value = value * 16.0 + f64::from(digit);
                scale = scale.map(|scale: i32| scale - 4);
            }
            (None, b'.') if scale.is_none() => scale = Some(0),
            (None, _) => break,
        }
        taken += 1;
    }
    let mut exponent = scale.unwrap_or(0);
    if matches!(body.get(taken), Some(b'p' | b'P')) {
        let signed = usize::from(matches!(body.get(taken + 1), Some(b'+' | b'-')));
        let rest = body.get(taken + 1 + signed..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            let text = String::from_utf8_lossy(&body[taken + 1..taken + 1 + signed + digits]).into_owned();
            exponent = exponent.saturating_add(text.trim_start_matches('+').parse().unwrap_or(i32::MAX));
            taken += 1 + signed + digits;
        }
    }
    (value * 2_f64.powi(exponent), taken)
}

/// A number, or a text that is one, as Lua takes it for a number.
pub(crate) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(text) => {
            let text = text.as_bytes();
            let trimmed = text.trim_ascii();
            leading(trimmed).filter(|(_, taken)| *taken == trimmed.len()).map(|(number, _)| number)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_c_prints_them() {
        for (value, digits, text) in [
            (0.0, 17, "0"),
            (-0.0, 17, "-0"),
            (3.0, 17, "3"),
            (0.1, 17, "0.10000000000000001"),
            (0.1, 14, "0.1"),
            (1e15, 14, "1e+15"),
            (1e16, 17, "10000000000000000"),
            (1e17, 17, "1e+17"),
            (123_456_789.125, 14, "123456789.125"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (0.000_012_5, 14, "1.25e-05"),
            (0.000_125, 14, "0.000125"),
            (9.999_999_999_999_999, 14, "10"),
            (99_999_999_999_999.9, 14, "1e+14"),
            (-2.5, 1, "-2"),
            (f64::INFINITY, 14, "inf"),
        ] {
            assert_eq!(general(value, digits), text);
        }
    }

    #[test]
    fn a_number_ends_where_c_ends_it() {
        for (text, value, taken) in [
            ("12]", 12.0, 2),
            ("-1.5e3,", -1500.0, 6),
            ("1e", 1.0, 1),
            ("1e+x", 1.0, 1),
            ("1.", 1.0, 2),
            (".5", 0.5, 2),
            ("0x10p1 ", 32.0, 6),
            ("0xg", 0.0, 1),
            ("infinity", f64::INFINITY, 8),
            ("-inf", f64::NEG_INFINITY, 4),
            ("01", 1.0, 2),
        ] {
            assert_eq!(leading(text.as_bytes()), Some((value, taken)), "{text}");
        }
        assert_eq!(leading(b"-"), None);
        assert_eq!(leading(b"."), None);
        assert_eq!(leading(b"e1"), None);
    }
}
