//! Strings.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::expire::{Moment, deadline};
use crate::extended::{self, SumError};
use ironcache_keyspace::{Effect, MAX_STRING_BYTES, SetExpiry};
use ironcache_resp::parse_integer;

type Outcome = Result<(), CommandError>;

pub(crate) fn get(call: &mut Call<'_>) -> Outcome {
    match call.db.read::<[u8]>(call.args[1])? {
        Some(value) => call.reply.bulk(value),
        None => call.reply.null(),
    }
    Ok(())
}

/// When `SET` sets.
#[derive(Clone, Copy, PartialEq)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

/// What `SET` answers.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Ok,
    OldValue,
}

pub(crate) fn set(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args[1], call.args[2]);
    let (mut condition, mut answer, mut expiry) = (Condition::Always, Answer::Ok, None);
    let mut options = call.args[3..].iter();
    while let Some(option) = options.next() {
        if arg::is(option, "nx") && condition != Condition::IfPresent {
            condition = Condition::IfAbsent;
        } else if arg::is(option, "xx") && condition != Condition::IfAbsent {
            condition = Condition::IfPresent;
        } else if arg::is(option, "get") {
            answer = Answer::OldValue;
        } else if arg::is(option, "keepttl") && expiry.is_none_or(|e| e == Ok(SetExpiry::Keep)) {
            expiry = Some(Ok(SetExpiry::Keep));
        } else if let Some(moment) = Moment::option(option)
            .filter(|moment| expiry.is_none_or(|e| matches!(e, Err((before, _)) if before == *moment)))
        {
            // Given twice the last amount counts, and only that one is looked at.
            let amount = options.next().ok_or(CommandError::Syntax)?;
            expiry = Some(Err((moment, *amount)));
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let expiry = match expiry {
        None => SetExpiry::Never,
        Some(Ok(expiry)) => expiry,
        Some(Err((moment, amount))) => SetExpiry::At(deadline(call, amount, moment)?),
    };

    let plain = condition == Condition::Always && answer == Answer::Ok;
    if !plain {
        let present = match answer {
            Answer::OldValue => {
                let old = call.db.read::<[u8]>(key)?;
                match old {
                    Some(old) => call.reply.bulk(old),
                    None => call.reply.null(),
                }
                let present = old.is_some();
                call.db.was_read();
                present
            }
            Answer::Ok => call.db.exists(key),
        };
        let met = match condition {
            Condition::Always => true,
            Condition::IfAbsent => !present,
            Condition::IfPresent => present,
        };
        if !met {
            if answer == Answer::Ok {
                call.reply.null();
            }
            return Ok(());
        }
    } else if expiry == SetExpiry::Keep {
        // An expired key has no expiry to keep: it goes first.
        call.db.exists(key);
    }
    call.db.record(Effect::SetString { key, value, expiry });
    if answer == Answer::Ok {
        call.reply.ok();
    }
    Ok(())
}

pub(crate) fn setnx(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args[1], call.args[2]);
    let absent = !call.db.exists(key);
    if absent {
        call.db.record(Effect::SetString { key, value, expiry: SetExpiry::Never });
    }
    call.reply.int(absent.into());
    Ok(())
}

pub(crate) fn setex(call: &mut Call<'_>) -> Outcome {
    set_for(call, Moment::InSeconds)
}

pub(crate) fn psetex(call: &mut Call<'_>) -> Outcome {
    set_for(call, Moment::InMs)
}

fn set_for(call: &mut Call<'_>, moment: Moment) -> Outcome {
    let expiry = SetExpiry::At(deadline(call, call.args[2], moment)?);
    call.db.record(Effect::SetString { key: call.args[1], value: call.args[3], expiry });
    call.reply.ok();
    Ok(())
}

pub(crate) fn getset(call: &mut Call<'_>) -> Outcome {
    get(call)?;
    call.db.was_read();
    let (key, value) = (call.args[1], call.args[2]);
    call.db.record(Effect::SetString { key, value, expiry: SetExpiry::Never });
    Ok(())
}

pub(crate) fn getdel(call: &mut Call<'_>) -> Outcome {
    get(call)?;
    call.db.was_read();
    let key = call.args[1];
    if call.db.exists(key) {
        call.db.record(Effect::Delete { key });
    }
    Ok(())
}

pub(crate) fn getex(call: &mut Call<'_>) -> Outcome {
    #[derive(Clone, Copy)]
    enum Change<'a> {
        Persist,
        Expire(Moment, &'a [u8]),
    }
    let key = call.args[1];
    let mut change = None;
    let mut options = call.args[2..].iter();
    while let Some(option) = options.next() {
        // An option may be repeated, and excludes the others; the last amount counts.
        change = match (Moment::option(option), change) {
            (None, None | Some(Change::Persist)) if arg::is(option, "persist") => Some(Change::Persist),
            (Some(moment), None) => Some(Change::Expire(moment, options.next().ok_or(CommandError::Syntax)?)),
            (Some(moment), Some(Change::Expire(before, _))) if moment == before => {
                Some(Change::Expire(moment, options.next().ok_or(CommandError::Syntax)?))
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    get(call)?;
    call.db.was_read();
    // Like Redis, an amount is looked at only if there is a key to expire.
    let Some(entry) = call.db.entry(key) else {
        return Ok(());
    };
    let expires = entry.expire_at_ms().is_some();
    match change {
        Some(Change::Expire(moment, amount)) => {
            let at_ms = deadline(call, amount, moment)?;
            if at_ms <= call.db.now_ms {
                call.db.record(Effect::Delete { key });
            } else {
                call.db.record(Effect::ExpireAt { key, at_ms });
            }
        }
        Some(Change::Persist) if expires => call.db.record(Effect::Persist { key }),
        Some(Change::Persist) | None => {}
    }
    Ok(())
}

pub(crate) fn mget(call: &mut Call<'_>) -> Outcome {
    call.reply.array(call.args.len() - 1);
    for key in &call.args[1..] {
        // A key of another type reads as absent here.
        match call.db.read::<[u8]>(key) {
            Ok(Some(value)) => call.reply.bulk(value),
            Ok(None) | Err(_) => call.reply.null(),
        }
    }
    Ok(())
}

/// The (key, value) pairs after the name.
fn pairs<'a>(call: &Call<'a>) -> Result<&'a [[&'a [u8]; 2]], CommandError> {
    match call.args[1..].as_chunks() {
        (pairs, []) => Ok(pairs),
        _ => Err(CommandError::WrongArity { command: call.command }),
    }
}

pub(crate) fn mset(call: &mut Call<'_>) -> Outcome {
    for [key, value] in pairs(call)? {
        call.db.record(Effect::SetString { key, value, expiry: SetExpiry::Never });
    }
    call.reply.ok();
    Ok(())
}

pub(crate) fn msetnx(call: &mut Call<'_>) -> Outcome {
    let pairs = pairs(call)?;
    let absent = !pairs.iter().any(|[key, _]| call.db.exists(key));
    if absent {
        for [key, value] in pairs {
            call.db.record(Effect::SetString { key, value, expiry: SetExpiry::Never });
        }
    }
    call.reply.int(absent.into());
    Ok(())
}

pub(crate) fn append(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args[1], call.args[2]);
    let len = call.db.read::<[u8]>(key)?.map_or(0, <[u8]>::len);
    overwrite(call, key, len, value, len + value.len())
}

pub(crate) fn setrange(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args[1], call.args[3]);
    let offset = arg::integer(call.args[2])?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let len = call.db.read::<[u8]>(key)?.map_or(0, <[u8]>::len);
    if value.is_empty() {
        call.reply.count(len);
        return Ok(());
    }
    overwrite(call, key, offset, value, len.max(offset.saturating_add(value.len())))
}

fn overwrite(call: &mut Call<'_>, key: &[u8], offset: usize, value: &[u8], len: usize) -> Outcome {
    if len as u64 > MAX_STRING_BYTES {
        return Err(CommandError::StringTooLong);
    }
    call.db.record(Effect::SetRange { key, offset: offset as u64, value });
    call.reply.count(len);
    Ok(())
}

pub(crate) fn strlen(call: &mut Call<'_>) -> Outcome {
    let len = call.db.read::<[u8]>(call.args[1])?.map_or(0, <[u8]>::len);
    call.reply.count(len);
    Ok(())
}

pub(crate) fn getrange(call: &mut Call<'_>) -> Outcome {
    let (start, stop) = (arg::integer(call.args[2])?, arg::integer(call.args[3])?);
    let value = call.db.read::<[u8]>(call.args[1])?.unwrap_or_default();
    // A stop before the first byte means the first byte, unless the range is reversed.
    let reversed = start < 0 && stop < 0 && start > stop;
    let clipped = if stop < 0 && !reversed { stop.max(-(value.len() as i64)) } else { stop };
    call.reply.bulk(&value[arg::range(start, clipped, value.len())]);
    Ok(())
}

pub(crate) fn incr(call: &mut Call<'_>) -> Outcome {
    add(call, 1)
}

pub(crate) fn decr(call: &mut Call<'_>) -> Outcome {
    add(call, -1)
}

pub(crate) fn incrby(call: &mut Call<'_>) -> Outcome {
    add(call, arg::integer(call.args[2])?)
}

pub(crate) fn decrby(call: &mut Call<'_>) -> Outcome {
    let amount = arg::integer(call.args[2])?;
    add(call, amount.checked_neg().ok_or(CommandError::DecrementOverflow)?)
}

fn add(call: &mut Call<'_>, amount: i64) -> Outcome {
    let key = call.args[1];
    let old = match call.db.read::<[u8]>(key)? {
        Some(text) => parse_integer(text).ok_or(CommandError::NotAnInteger)?,
        None => 0,
    };
    let new = old.checked_add(amount).ok_or(CommandError::IncrementOverflow)?;
    let mut buffer = itoa::Buffer::new();
    let value = buffer.format(new).as_bytes();
    call.db.record(Effect::SetString { key, value, expiry: SetExpiry::Keep });
    call.reply.int(new);
    Ok(())
}

pub(crate) fn incrbyfloat(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let old = call.db.read::<[u8]>(key)?.unwrap_or(b"0");
    let new = extended::sum(old, call.args[2]).map_err(|error| match error {
        SumError::OldNotANumber | SumError::AddedNotANumber => CommandError::NotAFloat,
        SumError::NotFinite => CommandError::IncrementNotFinite,
    })?;
    call.db.record(Effect::SetString { key, value: new.as_bytes(), expiry: SetExpiry::Keep });
    call.reply.bulk(new.as_bytes());
    Ok(())
}
