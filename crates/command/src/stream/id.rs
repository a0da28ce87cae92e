//! Ids as clients write them: `ms-seq`, `ms`, `ms-*`, `*`, `-`, `+`, `(id`.

use super::error::StreamError;
use ironcache_keyspace::StreamId;
use ironcache_resp::parse_integer;

/// A sequence number that is not given.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Missing {
    Zero,
    Highest,
}

impl Missing {
    fn number(self) -> u64 {
        match self {
            Missing::Zero => 0,
            Missing::Highest => u64::MAX,
        }
    }
}

/// What `XADD` is to call an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NewId {
    /// `*`
    Any,
    /// `ms-*`
    Of {
        ms: u64,
    },
    This(StreamId),
}

/// No id of Redis' is longer.
const BYTES_MAX: usize = 127;

/// `ms` or `ms-seq`, and neither `-` nor `+`.
pub(super) fn strict(arg: &[u8]) -> Result<StreamId, StreamError> {
    numbers(arg, Missing::Zero).ok_or(StreamError::Id)
}

/// An id, or one of `-` and `+`.
pub(super) fn loose(arg: &[u8], missing: Missing) -> Result<StreamId, StreamError> {
    match arg {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => numbers(arg, missing).ok_or(StreamError::Id),
    }
}

/// What `XADD` is given.
pub(super) fn new(arg: &[u8]) -> Result<NewId, StreamError> {
    if arg == b"*" {
        return Ok(NewId::Any);
    }
    match c_text(arg).strip_suffix(b"-*").filter(|ms| !ms.contains(&b'-') && arg.len() <= BYTES_MAX) {
        Some(ms) => Ok(NewId::Of { ms: c_unsigned(ms).ok_or(StreamError::Id)? }),
        None => Ok(NewId::This(strict(arg)?)),
    }
}

/// The first id of an interval; `(` leaves it out.
pub(super) fn interval_start(arg: &[u8]) -> Result<StreamId, StreamError> {
    match arg {
        [b'(', _, ..] => strict(&arg[1..])?.after().ok_or(StreamError::IntervalStart),
        _ => loose(arg, Missing::Zero),
    }
}

/// The last id of an interval; `(` leaves it out.
pub(super) fn interval_end(arg: &[u8]) -> Result<StreamId, StreamError> {
    match arg {
        [b'(', _, ..] => {
            let id = numbers(&arg[1..], Missing::Highest).ok_or(StreamError::Id)?;
            id.before().ok_or(StreamError::IntervalEnd)
        }
        _ => loose(arg, Missing::Highest),
    }
}

fn numbers(arg: &[u8], missing: Missing) -> Option<StreamId> {
    if arg.len() > BYTES_MAX {
        return None;
    }
    let text = c_text(arg);
    match text.iter().position(|byte| *byte == b'-') {
        Some(at) => Some(StreamId { ms: c_unsigned(&text[..at])?, seq: c_unsigned(&text[at + 1..])? }),
        None => Some(StreamId { ms: c_unsigned(text)?, seq: missing.number() }),
    }
}

/// A text as C knows it.
fn c_text(arg: &[u8]) -> &[u8] {
    arg.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// As an integer that is shown, or as `strtoull` reads it: blanks, a sign, leading zeros; a negative one counts from above.
fn c_unsigned(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_integer(text) {
        return u64::try_from(number).ok();
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let text = &text[text.iter().take_while(|byte| blank(byte)).count()..];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        for (text, expected) in [
            ("5", Some(id(5, 0))),
            ("5-3", Some(id(5, 3))),
            ("05- 3", Some(id(5, 3))),
            ("+5-+3", Some(id(5, 3))),
            ("5--1", None),
            ("5--01", Some(id(5, u64::MAX))),
            ("18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            ("18446744073709551616", None),
            ("5\u{0}9", Some(id(5, 0))),
            ("-", None),
            ("+", None),
            ("", None),
            ("5-", None),
            ("-5", None),
            ("5-3-1", None),
            ("5 ", None),
            ("5-*", None),
            ("*", None),
        ] {
            assert_eq!(strict(text.as_bytes()).ok(), expected, "{text}");
        }
        assert!(strict(&[b'0'; 127]).is_ok() && strict(&[b'0'; 128]).is_err());
    }

    #[test]
    fn a_new_id_may_leave_out_its_number() {
        assert_eq!(new(b"*"), Ok(NewId::Any));
        assert_eq!(new(b"7-*"), Ok(NewId::Of { ms: 7 }));
        assert_eq!(new(b"7-1"), Ok(NewId::This(id(7, 1))));
        for text in ["-*", "7-1-*", "a-*", "**", "7*", ""] {
            assert_eq!(new(text.as_bytes()), Err(StreamError::Id), "{text}");
        }
    }

    #[test]
    fn a_bracket_leaves_an_end_out() {
        assert_eq!(interval_start(b"(5"), Ok(id(5, 1)));
        assert_eq!(interval_end(b"(5"), Ok(id(5, u64::MAX - 1)));
        assert_eq!(interval_end(b"(5-0"), Ok(id(4, u64::MAX)));
        assert_eq!(interval_end(b"5"), Ok(id(5, u64::MAX)));
        assert_eq!(interval_end(b"(0-0"), Err(StreamError::IntervalEnd));
        let last = b"(18446744073709551615-18446744073709551615";
        assert_eq!(interval_start(last), Err(StreamError::IntervalStart));
        for text in ["(", "(-", "(+", "((5"] {
            assert_eq!(interval_start(text.as_bytes()), Err(StreamError::Id), "{text}");
        }
    }
}
