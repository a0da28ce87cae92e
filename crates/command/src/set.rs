//! Sets.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::random::{Dice, REPEATED_MAX};
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Items, Set};

type Outcome = Result<(), CommandError>;

fn len(call: &mut Call<'_>) -> Result<usize, CommandError> {
    Ok(call.db.read::<Set>(call.args[1])?.map_or(0, Set::len))
}

pub(crate) fn sadd(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let set = call.db.read::<Set>(key)?;
    let before = set.map_or(0, Set::len);
    let is_new = |member: &&[u8]| !set.is_some_and(|set| set.contains(member));
    let new: Vec<&[u8]> = call.args[2..].iter().copied().filter(is_new).collect();
    if !new.is_empty() {
        call.db.record(Effect::SetAdd { key, members: Items::new(&new) });
    }
    let added = len(call)? - before;
    call.reply.count(added);
    Ok(())
}

pub(crate) fn srem(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let Some(set) = call.db.read::<Set>(key)? else {
        call.reply.int(0);
        return Ok(());
    };
    let before = set.len();
    let held: Vec<&[u8]> = call.args[2..].iter().copied().filter(|m| set.contains(m)).collect();
    if !held.is_empty() {
        call.db.record(Effect::SetRemove { key, members: Items::new(&held) });
    }
    let removed = before - len(call)?;
    call.reply.count(removed);
    Ok(())
}

pub(crate) fn scard(call: &mut Call<'_>) -> Outcome {
    let len = len(call)?;
    call.reply.count(len);
    Ok(())
}

pub(crate) fn smembers(call: &mut Call<'_>) -> Outcome {
    let set = call.db.read::<Set>(call.args[1])?;
    call.reply.set(set.map_or(0, Set::len));
    ticking(set.into_iter().flatten()).for_each(|member| call.reply.bulk(member));
    Ok(())
}

pub(crate) fn sismember(call: &mut Call<'_>) -> Outcome {
    let found = call.db.read::<Set>(call.args[1])?.is_some_and(|set| set.contains(call.args[2]));
    call.reply.int(found.into());
    Ok(())
}

pub(crate) fn smismember(call: &mut Call<'_>) -> Outcome {
    let set = call.db.read::<Set>(call.args[1])?;
    call.reply.array(call.args.len() - 2);
    for member in &call.args[2..] {
        call.reply.int(set.is_some_and(|set| set.contains(member)).into());
    }
    Ok(())
}

pub(crate) fn spop(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let wanted = match call.args[2..] {
        [] => None,
        [count] => Some(arg::count(count)?),
        _ => return Err(CommandError::Syntax),
    };
    let mut dice = Dice::new(call.random);
    let set = call.db.read::<Set>(key)?;
    let len = set.map_or(0, Set::len);
    let chosen = dice.distinct(wanted.unwrap_or(1), len);
    let popped: Vec<Box<[u8]>> =
        ticking(chosen).filter_map(|at| set?.nth(at)).map(Box::<[u8]>::from).collect();
    let all = popped.len() == len;
    if all && !popped.is_empty() {
        call.db.record(Effect::Delete { key });
    } else if !popped.is_empty() {
        let members: Vec<&[u8]> = popped.iter().map(|member| &**member).collect();
        call.db.record(Effect::SetRemove { key, members: Items::new(&members) });
    }
    match (wanted, popped.first()) {
        (Some(_), _) => {
            call.reply.set(popped.len());
            ticking(&popped).for_each(|member| call.reply.bulk(member));
        }
        (None, Some(member)) => call.reply.bulk(member),
        (None, None) => call.reply.null(),
    }
    Ok(())
}

pub(crate) fn srandmember(call: &mut Call<'_>) -> Outcome {
    let wanted = match call.args[2..] {
        [] => None,
        [count] => Some(arg::between(count, -i64::MAX, i64::MAX)?),
        _ => return Err(CommandError::Syntax),
    };
    let mut dice = Dice::new(call.random);
    let set = call.db.read::<Set>(call.args[1])?;
    let Some(count) = wanted else {
        match set.and_then(|set| set.nth(dice.below(set.len()))) {
            None => call.reply.null(),
            Some(member) => call.reply.bulk(member),
        }
        return Ok(());
    };
    if count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(CommandError::OutOfRange);
    }
    let chosen = dice.choose(count, set.map_or(0, Set::len));
    call.reply.array(chosen.len());
    ticking(chosen).filter_map(|at| set?.nth(at)).for_each(|member| call.reply.bulk(member));
    Ok(())
}
