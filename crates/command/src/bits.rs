//! Strings as rows of bits: the first bit of a byte is its highest.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::{self, ticking};
use ironcache_keyspace::{Effect, MAX_STRING_BYTES, SetExpiry};
use ironcache_resp::parse_integer;

type Outcome = Result<(), CommandError>;

/// Bytes between two ticks: some tens of microseconds.
const STEP_BYTES: usize = 1 << 16;

/// The offset of a bit, which no string can be too short for.
pub(crate) fn offset(arg: &[u8]) -> Result<usize, CommandError> {
    let offset = parse_integer(arg).and_then(|offset| usize::try_from(offset).ok());
    offset.filter(|offset| (offset / 8) < MAX_STRING_BYTES as usize).ok_or(CommandError::BitOffset)
}

fn bit_of(text: &[u8], offset: usize) -> bool {
    text.get(offset / 8).is_some_and(|byte| byte >> (7 - offset % 8) & 1 == 1)
}

pub(crate) fn setbit(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let offset = offset(call.args[2])?;
    let on = match parse_integer(call.args[3]) {
        Some(0) => false,
        Some(1) => true,
        Some(_) | None => return Err(CommandError::BitValue),
    };
    let text = call.db.read::<[u8]>(key)?;
    let (before, grows) =
        (bit_of(text.unwrap_or_default(), offset), text.is_none_or(|t| t.len() <= offset / 8));
    if before != on || grows {
        let byte = text.and_then(|text| text.get(offset / 8)).copied().unwrap_or(0);
        let mask = 0x80 >> (offset % 8);
        let byte = if on { byte | mask } else { byte & !mask };
        call.db.record(Effect::SetRange { key, offset: offset as u64 / 8, value: &[byte] });
    }
    call.reply.int(before.into());
    Ok(())
}

pub(crate) fn getbit(call: &mut Call<'_>) -> Outcome {
    let offset = offset(call.args[2])?;
    let set = call.db.read::<[u8]>(call.args[1])?.is_some_and(|text| bit_of(text, offset));
    call.reply.int(set.into());
    Ok(())
}

/// What a range counts in.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(arg: &[u8]) -> Result<Self, CommandError> {
        if arg::is(arg, "bit") {
            Ok(Unit::Bit)
        } else if arg::is(arg, "byte") {
            Ok(Unit::Byte)
        } else {
            Err(CommandError::Syntax)
        }
    }

    fn bits(self) -> i64 {
        match self {
            Unit::Byte => 8,
            Unit::Bit => 1,
        }
    }
}

/// The bits, `start..end`, that a range of a string of `bytes` means; `None` if it is empty.
fn bits(start: i64, end: i64, unit: Unit, bytes: usize) -> Option<(usize, usize)> {
    let total = bytes as i64 * 8 / unit.bits();
    let absolute = |at: i64| if at < 0 { at.saturating_add(total).max(0) } else { at };
    let (start, end) = (absolute(start), absolute(end).min(total - 1));
    if start > end {
        return None;
    }
    Some(((start * unit.bits()) as usize, ((end + 1) * unit.bits()) as usize))
}

/// The bytes that hold the bits `start..end`, with those outside the range set to those of `outside`.
fn masked(text: &[u8], start: usize, end: usize, outside: u8) -> impl Iterator<Item = u8> {
    let (first, last) = (start / 8, (end - 1) / 8);
    ticking_bytes(&text[first..=last]).enumerate().map(move |(i, byte)| {
        let mut kept = 0xff_u8;
        if first + i == first {
            kept &= 0xff >> (start % 8);
        }
        if first + i == last {
            kept &= 0xff << (7 - (end - 1) % 8);
        }
        byte & kept | outside & !kept
    })
}

fn ticking_bytes(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.chunks(STEP_BYTES).flat_map(|chunk| {
        progress::tick();
        chunk.iter().copied()
    })
}

pub(crate) fn bitcount(call: &mut Call<'_>) -> Outcome {
    let Some(text) = call.db.read::<[u8]>(call.args[1])? else {
        call.reply.int(0);
        return Ok(());
    };
    let range = match call.args[2..] {
        [] => bits(0, -1, Unit::Byte, text.len()),
        [start, end, ref unit @ ..] if unit.len() < 2 => {
            let (start, end) = (arg::integer(start)?, arg::integer(end)?);
            // Looked at before the unit is, as Redis does.
            if start < 0 && end < 0 && start > end {
                None
            } else {
                let unit = unit.first().map_or(Ok(Unit::Byte), |unit| Unit::parse(unit))?;
                bits(start, end, unit, text.len())
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    let count: u64 = range
        .map_or(0, |(start, end)| masked(text, start, end, 0).map(|byte| u64::from(byte.count_ones())).sum());
    call.reply.int(count as i64);
    Ok(())
}

pub(crate) fn bitpos(call: &mut Call<'_>) -> Outcome {
    let wanted = match arg::integer(call.args[2])? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::BitArgument),
    };
    let Some(text) = call.db.read::<[u8]>(call.args[1])? else {
        // A row of zeros without an end.
        call.reply.int(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let (range, ends) = match call.args[3..] {
        [] => (bits(0, -1, Unit::Byte, text.len()), false),
        [start] => (bits(arg::integer(start)?, -1, Unit::Byte, text.len()), false),
        [start, end, ref unit @ ..] if unit.len() < 2 => {
            let start = arg::integer(start)?;
            let unit = unit.first().map_or(Ok(Unit::Byte), |unit| Unit::parse(unit))?;
            (bits(start, arg::integer(end)?, unit, text.len()), true)
        }
        _ => return Err(CommandError::Syntax),
    };
    let Some((start, end)) = range else {
        call.reply.int(-1);
        return Ok(());
    };
    // As if what lies outside the range were not what is looked for.
    let flip = if wanted { 0 } else { 0xff };
    let found =
        masked(text, start, end, flip).map(|byte| byte ^ flip).enumerate().find(|(_, byte)| *byte != 0);
    let found = found.map(|(i, byte)| (start / 8 + i) * 8 + byte.leading_zeros() as usize);
    match found {
        Some(at) => call.reply.count(at),
        // Behind the string there are zeros, unless the range ends before.
        None if !wanted && !ends => call.reply.count(text.len() * 8),
        None => call.reply.int(-1),
    }
    Ok(())
}

pub(crate) fn bitop(call: &mut Call<'_>) -> Outcome {
    let (operation, key, sources) = (call.args[1], call.args[2], &call.args[3..]);
    let fold: fn(u8, u8) -> u8 = match () {
        () if arg::is(operation, "and") => |a, b| a & b,
        () if arg::is(operation, "or") => |a, b| a | b,
        () if arg::is(operation, "xor") => |a, b| a ^ b,
        () if arg::is(operation, "not") && sources.len() != 1 => return Err(CommandError::BitopNot),
        () if arg::is(operation, "not") => |a, _| !a,
        () => return Err(CommandError::Syntax),
    };
    let sources = sources.iter().map(|key| Ok(call.db.peek::<[u8]>(key)?.unwrap_or_default()));
    let sources: Vec<&[u8]> = sources.collect::<Result<_, CommandError>>()?;
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let is_not = arg::is(operation, "not");
    let mut value = vec![0; len];
    for at in ticking((0..len).step_by(STEP_BYTES)) {
        progress::tick();
        let end = (at + STEP_BYTES).min(len);
        for (i, source) in sources.iter().enumerate() {
            // A source that is shorter goes on with zeros.
            let step = source.get(at.min(source.len())..end.min(source.len())).unwrap_or_default();
            let zeros = std::iter::repeat(&0);
            for (byte, other) in value[at..end].iter_mut().zip(step.iter().chain(zeros)) {
                *byte = match i {
                    0 if is_not => !other,
                    0 => *other,
                    _ => fold(*byte, *other),
                };
            }
        }
    }
    call.db.was_read();
    if len > 0 {
        call.db.record(Effect::SetString { key, value: &value, expiry: SetExpiry::Never });
    } else if call.db.exists(key) {
        call.db.record(Effect::Delete { key });
    }
    call.reply.count(len);
    Ok(())
}
