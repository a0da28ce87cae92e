//! Which percentiles are shown, as Redis writes them: `50 99 99.9`.
//!
//! *Invariant:* a number of thousandths each, so that what is written can be compared and is what was read.

use std::fmt;

/// Digits behind the point. More tell nothing: a percentile is one of a few hundred counts.
const DIGITS: usize = 3;
const UNIT: u32 = 10_u32.pow(DIGITS as u32);

/// From 0 to 100, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Percentiles(Vec<u32>);

impl Percentiles {
    /// `None` for anything but numbers from 0 to 100, separated by spaces.
    pub fn parse(text: &str) -> Option<Percentiles> {
        text.split_ascii_whitespace().map(thousandths).collect::<Option<Vec<_>>>().map(Percentiles)
    }

    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().map(|thousandths| f64::from(*thousandths) / f64::from(UNIT))
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, percentile) in self.iter().enumerate() {
            write!(f, "{}{percentile}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

fn thousandths(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > DIGITS || !are_digits(whole) || !are_digits(rest) {
        return None;
    }
    let rest = format!("{rest:0<DIGITS$}");
    let number = whole.parse::<u32>().ok()? * UNIT + rest[..DIGITS].parse::<u32>().ok()?;
    (number <= 100 * UNIT).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_shown_as_they_are_read() {
        for (text, shown) in [
            ("50 99 99.9", Some("50 99 99.9")),
            ("", Some("")),
            (" 50.0  100.0 ", Some("50 100")),
            ("0 99.999 99.9999", Some("0 99.999 99.999")),
            ("101", None),
            ("100.001", None),
            ("-1", None),
            ("x", None),
            (".5", None),
            ("1e1", None),
            ("99999999999999", None),
        ] {
            assert_eq!(Percentiles::parse(text).map(|read| read.to_string()).as_deref(), shown, "{text:?}");
        }
    }
}
