//! Scans in steps.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::glob::glob_matches;
use ironcache_keyspace::{Kind, ScanCursor, Value};
use ironcache_resp::format_double;

type Outcome = Result<(), CommandError>;

/// Up to this many elements of one key are answered at once, as Redis does with its compact encodings.
const WHOLE_ELEMENTS_MAX: usize = 128;

/// The options of the `SCAN` family.
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    kind: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(mut args: &[&'a [u8]], kinds: Kinds) -> Result<Self, CommandError> {
        let mut options = Options { pattern: None, count: 10, kind: None };
        while let [option, rest @ ..] = args {
            let [value, rest @ ..] = rest else {
                return Err(CommandError::Syntax);
            };
            if arg::is(option, "match") {
                options.pattern = Some(value);
            } else if arg::is(option, "count") {
                let count = arg::integer(value)?;
                options.count =
                    usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
            } else if arg::is(option, "type") && kinds == Kinds::Allowed {
                options.kind = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
            args = rest;
        }
        Ok(options)
    }

    fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob_matches(pattern, name))
    }
}

/// Whether `TYPE` may be given: it is for whole keys.
#[derive(Clone, Copy, PartialEq)]
enum Kinds {
    Allowed,
    Refused,
}

/// As C's `strtoul` reads it, whole and without blanks: nothing is 0, and a negative number counts from above.
fn cursor(arg: &[u8]) -> Result<u64, CommandError> {
    let (negative, digits) = match arg {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // A second sign is none of its digits.
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(CommandError::InvalidCursor)?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

pub(crate) fn scan(call: &mut Call<'_>) -> Outcome {
    let cursor = ScanCursor(cursor(call.args[1])?);
    let options = Options::parse(&call.args[2..], Kinds::Allowed)?;
    let now_ms = call.db.now_ms;
    let mut keys = Vec::new();
    let next = call.db.keyspace().scan(cursor, options.count, |entry| {
        let kind = entry.value().kind().name();
        if !entry.is_expired(now_ms)
            && options.kind.is_none_or(|wanted| arg::is(wanted, kind))
            && options.matches(entry.key())
        {
            keys.push(entry.key());
        }
    });
    call.reply.array(2);
    call.reply.bulk(next.0.to_string().as_bytes());
    call.reply.array(keys.len());
    keys.into_iter().for_each(|key| call.reply.bulk(key));
    Ok(())
}

pub(crate) fn hscan(call: &mut Call<'_>) -> Outcome {
    step(call, Kind::Hash)
}

pub(crate) fn sscan(call: &mut Call<'_>) -> Outcome {
    step(call, Kind::Set)
}

pub(crate) fn zscan(call: &mut Call<'_>) -> Outcome {
    step(call, Kind::Zset)
}

/// What an element is shown with.
enum With<'a> {
    Nothing,
    Value(&'a [u8]),
    Score(f64),
}

/// One step through the elements of a key, which holds a collection of this kind or nothing.
fn step(call: &mut Call<'_>, kind: Kind) -> Outcome {
    let cursor = cursor(call.args[2])?;
    let mut found = Vec::new();
    let mut next = 0;
    if let Some(value) = call.db.read::<Value>(call.args[1])? {
        let len = match value {
            Value::Hash(hash) if kind == Kind::Hash => hash.len(),
            Value::Set(set) if kind == Kind::Set => set.len(),
            Value::Zset(zset) if kind == Kind::Zset => zset.len(),
            _ => return Err(CommandError::WrongType),
        };
        let options = Options::parse(&call.args[3..], Kinds::Refused)?;
        let whole = len <= WHOLE_ELEMENTS_MAX;
        let (from, count) = if whole { (0, WHOLE_ELEMENTS_MAX) } else { (cursor as usize, options.count) };
        let mut meet = |name, with| {
            if options.matches(name) {
                found.push((name, with));
            }
        };
        next = match value {
            Value::Hash(hash) => hash.scan(from, count, |(name, value)| meet(name, With::Value(value))),
            Value::Set(set) => set.scan(from, count, |member| meet(member, With::Nothing)),
            Value::Zset(zset) => {
                zset.scan(from, count, |scored| meet(scored.member, With::Score(scored.score)))
            }
            Value::String(_) | Value::List(_) | Value::Stream(_) => return Err(CommandError::WrongType),
        };
    }
    let width = if kind == Kind::Set { 1 } else { 2 };
    call.reply.array(2);
    call.reply.bulk(next.to_string().as_bytes());
    call.reply.array(found.len() * width);
    for (name, with) in found {
        call.reply.bulk(name);
        match with {
            With::Nothing => {}
            With::Value(value) => call.reply.bulk(value),
            With::Score(score) => call.reply.bulk(format_double(score).as_bytes()),
        }
    }
    Ok(())
}
