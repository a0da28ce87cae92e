//! Lists.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, EventClass, Items, List, Side};

type Outcome = Result<(), CommandError>;

fn len(call: &mut Call<'_>) -> Result<usize, CommandError> {
    Ok(call.db.read::<List>(call.args[1])?.map_or(0, |list| list.items().len()))
}

/// Whether a push makes a list where there is none.
#[derive(Clone, Copy, PartialEq)]
enum Absent {
    Create,
    Leave,
}

pub(crate) fn lpush(call: &mut Call<'_>) -> Outcome {
    push(call, Side::Head, Absent::Create)
}

pub(crate) fn rpush(call: &mut Call<'_>) -> Outcome {
    push(call, Side::Tail, Absent::Create)
}

pub(crate) fn lpushx(call: &mut Call<'_>) -> Outcome {
    push(call, Side::Head, Absent::Leave)
}

pub(crate) fn rpushx(call: &mut Call<'_>) -> Outcome {
    push(call, Side::Tail, Absent::Leave)
}

fn push(call: &mut Call<'_>, side: Side, absent: Absent) -> Outcome {
    let values = &call.args[2..];
    let mut new = len(call)?;
    if new > 0 || absent == Absent::Create {
        call.db.record(Effect::ListPush { key: call.args[1], side, values: Items::new(values) });
        new += values.len();
    }
    call.reply.count(new);
    Ok(())
}

pub(crate) fn lpop(call: &mut Call<'_>) -> Outcome {
    pop(call, Side::Head)
}

pub(crate) fn rpop(call: &mut Call<'_>) -> Outcome {
    pop(call, Side::Tail)
}

fn pop(call: &mut Call<'_>, side: Side) -> Outcome {
    let key = call.args[1];
    let wanted = match call.args[2..] {
        [] => None,
        [count] => Some(arg::count(count)?),
        _ => return Err(CommandError::WrongArity { command: call.command }),
    };
    let Some(list) = call.db.read::<List>(key)? else {
        match wanted {
            None => call.reply.null(),
            Some(_) => call.reply.null_array(),
        }
        return Ok(());
    };
    let items = list.items();
    let count = wanted.unwrap_or(1).min(items.len());
    if wanted.is_some() {
        call.reply.array(count);
    }
    for i in ticking(0..count) {
        let at = if side == Side::Head { i } else { items.len() - 1 - i };
        call.reply.bulk(&items[at]);
    }
    if count > 0 {
        call.db.record(Effect::ListPop { key, side, count: count as u64 });
    }
    Ok(())
}

pub(crate) fn llen(call: &mut Call<'_>) -> Outcome {
    let len = len(call)?;
    call.reply.count(len);
    Ok(())
}

pub(crate) fn lrange(call: &mut Call<'_>) -> Outcome {
    let (start, stop) = (arg::integer(call.args[2])?, arg::integer(call.args[3])?);
    let Some(list) = call.db.read::<List>(call.args[1])? else {
        call.reply.array(0);
        return Ok(());
    };
    let range = arg::range(start, stop, list.items().len());
    call.reply.array(range.len());
    ticking(list.items().range(range)).for_each(|item| call.reply.bulk(item));
    Ok(())
}

/// A position, counted from the end if negative, in a sequence of `len`.
fn position(index: i64, len: usize) -> Option<usize> {
    let from_head = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(from_head).ok().filter(|at| *at < len)
}

pub(crate) fn lindex(call: &mut Call<'_>) -> Outcome {
    let Some(list) = call.db.read::<List>(call.args[1])? else {
        call.reply.null();
        return Ok(());
    };
    match position(arg::integer(call.args[2])?, list.items().len()) {
        Some(at) => call.reply.bulk(&list.items()[at]),
        None => call.reply.null(),
    }
    Ok(())
}

pub(crate) fn lset(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args[1], call.args[3]);
    let len = len(call)?;
    if len == 0 {
        return Err(CommandError::NoSuchKey);
    }
    let index = arg::integer(call.args[2])?;
    let index = position(index, len).ok_or(CommandError::IndexOutOfRange)? as u64;
    call.db.record(Effect::ListSet { key, index, value });
    call.reply.ok();
    Ok(())
}

pub(crate) fn ltrim(call: &mut Call<'_>) -> Outcome {
    let (start, stop) = (arg::integer(call.args[2])?, arg::integer(call.args[3])?);
    let key = call.args[1];
    let len = len(call)?;
    let kept = arg::range(start, stop, len);
    if kept.len() < len {
        call.db.record(Effect::ListTrim { key, from: kept.start as u64, len: kept.len() as u64 });
    } else if len > 0 {
        call.did(EventClass::List, "ltrim", key);
    }
    call.reply.ok();
    Ok(())
}

pub(crate) fn lrem(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args[1], call.args[3]);
    let count = arg::integer(call.args[2])?;
    let Some(list) = call.db.read::<List>(key)? else {
        call.reply.int(0);
        return Ok(());
    };
    let before = list.items().len();
    if ticking(list.items()).any(|item| **item == *value) {
        call.db.record(Effect::ListRemove { key, count, value });
    }
    let removed = before - len(call)?;
    call.reply.count(removed);
    Ok(())
}

pub(crate) fn linsert(call: &mut Call<'_>) -> Outcome {
    let [key, place, pivot, value] = [call.args[1], call.args[2], call.args[3], call.args[4]];
    let after = if arg::is(place, "before") {
        0
    } else if arg::is(place, "after") {
        1
    } else {
        return Err(CommandError::Syntax);
    };
    let Some(list) = call.db.read::<List>(key)? else {
        call.reply.int(0);
        return Ok(());
    };
    let before = list.items().len();
    let found = ticking(list.items()).position(|item| **item == *pivot);
    match found {
        None => call.reply.int(-1),
        Some(at) => {
            call.db.record(Effect::ListInsert { key, index: (at + after) as u64, value });
            call.reply.count(before + 1);
        }
    }
    Ok(())
}
