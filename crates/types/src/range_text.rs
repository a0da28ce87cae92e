//! Ranges as people and command lines write them: `1-3`, or `2` for `2-2`.

use crate::{LevelRange, WireRange};
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no range: MIN-MAX is expected, both from 1 to 65535 and MIN not above MAX")]
pub struct ParseRangeError {
    text: String,
}

impl FromStr for LevelRange {
    type Err = ParseRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(|(min, max)| LevelRange::new(min, max))
    }
}

impl FromStr for WireRange {
    type Err = ParseRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(|(min, max)| WireRange { min, max })
    }
}

fn parse(text: &str) -> Result<(u16, u16), ParseRangeError> {
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    match (min.parse(), max.parse()) {
        (Ok(min), Ok(max)) if 0 < min && min <= max => Ok((min, max)),
        _ => Err(ParseRangeError { text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_shown() {
        for range in [LevelRange::new(1, 1), LevelRange::new(2, 65535)] {
            assert_eq!(range.to_string().parse(), Ok(range));
        }
        assert_eq!("7".parse(), Ok(WireRange { min: 7, max: 7 }));
        for bad in ["", "-", "0-1", "2-1", "1-", "1-2-3", "1-65536", "one"] {
            assert!(bad.parse::<LevelRange>().is_err(), "{bad:?}");
        }
    }
}
