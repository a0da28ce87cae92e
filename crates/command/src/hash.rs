//! Hashes.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::extended::{self, Extended, SumError};
use crate::random::{Dice, REPEATED_MAX};
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Hash, Items};
use ironcache_resp::{Protocol, parse_integer};

type Outcome = Result<(), CommandError>;

fn len(call: &mut Call<'_>) -> Result<usize, CommandError> {
    Ok(call.db.read::<Hash>(call.args[1])?.map_or(0, Hash::len))
}

/// Sets the fields given after the key; answers how many are new.
fn set_fields(call: &mut Call<'_>) -> Result<usize, CommandError> {
    let (fields, []) = call.args[2..].as_chunks() else {
        return Err(CommandError::WrongArity { command: call.command });
    };
    let before = len(call)?;
    call.db.record(Effect::HashSet { key: call.args[1], fields: Items::new(fields) });
    Ok(len(call)? - before)
}

pub(crate) fn hset(call: &mut Call<'_>) -> Outcome {
    let added = set_fields(call)?;
    call.reply.count(added);
    Ok(())
}

pub(crate) fn hmset(call: &mut Call<'_>) -> Outcome {
    set_fields(call)?;
    call.reply.ok();
    Ok(())
}

pub(crate) fn hsetnx(call: &mut Call<'_>) -> Outcome {
    let [key, field, value] = [call.args[1], call.args[2], call.args[3]];
    let absent = !call.db.read::<Hash>(key)?.is_some_and(|hash| hash.contains(field));
    if absent {
        call.db.record(Effect::HashSet { key, fields: Items::new(&[[field, value]]) });
    }
    call.reply.int(absent.into());
    Ok(())
}

pub(crate) fn hget(call: &mut Call<'_>) -> Outcome {
    match call.db.read::<Hash>(call.args[1])?.and_then(|hash| hash.get(call.args[2])) {
        Some(value) => call.reply.bulk(value),
        None => call.reply.null(),
    }
    Ok(())
}

pub(crate) fn hmget(call: &mut Call<'_>) -> Outcome {
    let hash = call.db.read::<Hash>(call.args[1])?;
    call.reply.array(call.args.len() - 2);
    for field in &call.args[2..] {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => call.reply.bulk(value),
            None => call.reply.null(),
        }
    }
    Ok(())
}

pub(crate) fn hgetall(call: &mut Call<'_>) -> Outcome {
    let hash = call.db.read::<Hash>(call.args[1])?;
    call.reply.map(hash.map_or(0, Hash::len));
    for (name, value) in ticking(hash.into_iter().flatten()) {
        call.reply.bulk(name);
        call.reply.bulk(value);
    }
    Ok(())
}

pub(crate) fn hkeys(call: &mut Call<'_>) -> Outcome {
    let hash = call.db.read::<Hash>(call.args[1])?;
    call.reply.array(hash.map_or(0, Hash::len));
    ticking(hash.into_iter().flatten()).for_each(|(name, _)| call.reply.bulk(name));
    Ok(())
}

pub(crate) fn hvals(call: &mut Call<'_>) -> Outcome {
    let hash = call.db.read::<Hash>(call.args[1])?;
    call.reply.array(hash.map_or(0, Hash::len));
    ticking(hash.into_iter().flatten()).for_each(|(_, value)| call.reply.bulk(value));
    Ok(())
}

pub(crate) fn hdel(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let Some(hash) = call.db.read::<Hash>(key)? else {
        call.reply.int(0);
        return Ok(());
    };
    let fields: Vec<&[u8]> = call.args[2..].iter().copied().filter(|field| hash.contains(field)).collect();
    let before = hash.len();
    if !fields.is_empty() {
        call.db.record(Effect::HashRemove { key, fields: Items::new(&fields) });
    }
    let removed = before - len(call)?;
    call.reply.count(removed);
    Ok(())
}

pub(crate) fn hlen(call: &mut Call<'_>) -> Outcome {
    let len = len(call)?;
    call.reply.count(len);
    Ok(())
}

pub(crate) fn hexists(call: &mut Call<'_>) -> Outcome {
    let found = call.db.read::<Hash>(call.args[1])?.is_some_and(|hash| hash.contains(call.args[2]));
    call.reply.int(found.into());
    Ok(())
}

pub(crate) fn hstrlen(call: &mut Call<'_>) -> Outcome {
    let value = call.db.read::<Hash>(call.args[1])?.and_then(|hash| hash.get(call.args[2]));
    call.reply.count(value.map_or(0, <[u8]>::len));
    Ok(())
}

pub(crate) fn hincrby(call: &mut Call<'_>) -> Outcome {
    let (key, field) = (call.args[1], call.args[2]);
    let amount = arg::integer(call.args[3])?;
    let old = match call.db.read::<Hash>(key)?.and_then(|hash| hash.get(field)) {
        Some(text) => parse_integer(text).ok_or(CommandError::HashValueNotAnInteger)?,
        None => 0,
    };
    let new = old.checked_add(amount).ok_or(CommandError::IncrementOverflow)?;
    let mut buffer = itoa::Buffer::new();
    let value = buffer.format(new).as_bytes();
    call.db.record(Effect::HashSet { key, fields: Items::new(&[[field, value]]) });
    call.reply.int(new);
    Ok(())
}

pub(crate) fn hincrbyfloat(call: &mut Call<'_>) -> Outcome {
    let [key, field, amount] = [call.args[1], call.args[2], call.args[3]];
    if !Extended::parse(amount).ok_or(CommandError::NotAFloat)?.is_finite() {
        return Err(CommandError::NotFinite);
    }
    let old = call.db.read::<Hash>(key)?.and_then(|hash| hash.get(field)).unwrap_or(b"0");
    let new = extended::sum(old, amount).map_err(|error| match error {
        SumError::AddedNotANumber => CommandError::NotAFloat,
        SumError::OldNotANumber => CommandError::HashValueNotAFloat,
        SumError::NotFinite => CommandError::IncrementNotFinite,
    })?;
    call.db.record(Effect::HashSet { key, fields: Items::new(&[[field, new.as_bytes()]]) });
    call.reply.bulk(new.as_bytes());
    Ok(())
}

pub(crate) fn hrandfield(call: &mut Call<'_>) -> Outcome {
    let mut dice = Dice::new(call.random);
    let Some((count, options)) = call.args[2..].split_first() else {
        match call.db.read::<Hash>(call.args[1])?.and_then(|hash| hash.nth(dice.below(hash.len()))) {
            None => call.reply.null(),
            Some((name, _)) => call.reply.bulk(name),
        }
        return Ok(());
    };
    let count = arg::between(count, -i64::MAX, i64::MAX)?;
    let with_values = match options {
        [] => false,
        [option] if arg::is(option, "withvalues") => true,
        _ => return Err(CommandError::Syntax),
    };
    if with_values && count.unsigned_abs() > (i64::MAX / 2) as u64 {
        return Err(CommandError::OutOfRange);
    }
    let hash = call.db.read::<Hash>(call.args[1])?;
    if count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(CommandError::OutOfRange);
    }
    let chosen = dice.choose(count, hash.map_or(0, Hash::len));
    let nested = with_values && call.reply.protocol() == Protocol::Resp3;
    call.reply.array(if with_values && !nested { chosen.len() * 2 } else { chosen.len() });
    for (name, value) in ticking(chosen).filter_map(|at| hash?.nth(at)) {
        if nested {
            call.reply.array(2);
        }
        call.reply.bulk(name);
        if with_values {
            call.reply.bulk(value);
        }
    }
    Ok(())
}
