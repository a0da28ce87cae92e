//! Scans in steps.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::glob::glob_matches;
use ironcache_keyspace::{Dict, Hash, Keyed, ScanCursor, Set, Zset};
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
    step(
        call,
        2,
        |hash: &Hash| hash.fields(),
        |field, emit| {
            emit(&field.name);
            emit(&field.value);
        },
    )
}

pub(crate) fn sscan(call: &mut Call<'_>) -> Outcome {
    step(call, 1, |set: &Set| set.members(), |member, emit| emit(&member.0))
}

pub(crate) fn zscan(call: &mut Call<'_>) -> Outcome {
    step(
        call,
        2,
        |zset: &Zset| zset.members(),
        |scored, emit| {
            emit(&scored.member);
            emit(format_double(scored.score).as_bytes());
        },
    )
}

/// Hands the strings that an element is shown as to a function.
type Show<E> = fn(&E, &mut dyn FnMut(&[u8]));

/// One step through the elements of a key, of which each is shown as `width` strings.
fn step<V: crate::call::View, E: Keyed>(
    call: &mut Call<'_>,
    width: usize,
    elements: fn(&V) -> &Dict<E>,
    show: Show<E>,
) -> Outcome {
    let cursor = cursor(call.args[2])?;
    let mut found = Vec::new();
    let mut next = 0;
    if let Some(value) = call.db.read::<V>(call.args[1])? {
        let options = Options::parse(&call.args[3..], Kinds::Refused)?;
        let elements = elements(value);
        let whole = elements.len() <= WHOLE_ELEMENTS_MAX;
        let (from, count) = if whole { (0, WHOLE_ELEMENTS_MAX) } else { (cursor as usize, options.count) };
        next = elements.scan(from, count, |element| {
            if options.matches(element.key()) {
                found.push(element);
            }
        });
    }
    call.reply.array(2);
    call.reply.bulk(next.to_string().as_bytes());
    call.reply.array(found.len() * width);
    found.into_iter().for_each(|element| show(element, &mut |text| call.reply.bulk(text)));
    Ok(())
}
