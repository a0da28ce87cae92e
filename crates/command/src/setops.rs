//! Sets out of sets: intersection, union and difference, answered, counted or stored; and a member moved.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Items, Set};
use std::collections::BTreeSet;

type Outcome = Result<(), CommandError>;

/// What is done with the sets, some of which may be absent.
type Operation = for<'s> fn(&[Option<Set<'s>>]) -> Vec<&'s [u8]>;

pub(crate) fn sinter(call: &mut Call<'_>) -> Outcome {
    answer(call, intersection)
}

pub(crate) fn sunion(call: &mut Call<'_>) -> Outcome {
    answer(call, union)
}

pub(crate) fn sdiff(call: &mut Call<'_>) -> Outcome {
    answer(call, difference)
}

pub(crate) fn sinterstore(call: &mut Call<'_>) -> Outcome {
    store(call, intersection)
}

pub(crate) fn sunionstore(call: &mut Call<'_>) -> Outcome {
    store(call, union)
}

pub(crate) fn sdiffstore(call: &mut Call<'_>) -> Outcome {
    store(call, difference)
}

pub(crate) fn sintercard(call: &mut Call<'_>) -> Outcome {
    let args = &call.args[2..];
    let count = arg::above_zero(call.args[1], "numkeys")?;
    let (keys, mut options) = args.split_at_checked(count).ok_or(CommandError::MoreKeysThanArgs)?;
    let mut limit = 0;
    while let [option, rest @ ..] = options {
        options = match rest {
            [wanted, rest @ ..] if arg::is(option, "limit") => {
                limit = arg::not_negative(wanted, "LIMIT")?;
                rest
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    let sets = sets(call, keys)?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    let count = common(&sets).take(limit).count();
    call.reply.count(count);
    Ok(())
}

pub(crate) fn smove(call: &mut Call<'_>) -> Outcome {
    let [from, to, member] = [call.args[1], call.args[2], call.args[3]];
    if !call.db.exists(from) {
        call.reply.int(0);
        return Ok(());
    }
    let has = |set: Option<Set<'_>>| set.is_some_and(|set| set.contains(member));
    let held = has(call.db.read::<Set>(from)?);
    let known = has(call.db.read::<Set>(to)?);
    if held && from != to {
        call.db.record(Effect::SetRemove { key: from, members: Items::new(&[member]) });
        if !known {
            call.db.record(Effect::SetAdd { key: to, members: Items::new(&[member]) });
        }
    }
    call.reply.int(held.into());
    Ok(())
}

fn all(set: Option<Set<'_>>) -> impl Iterator<Item = &[u8]> {
    ticking(set.into_iter().flatten())
}

/// The members that all sets have, of which there is at least one.
fn common<'i, 's>(sets: &'i [Option<Set<'s>>]) -> impl Iterator<Item = &'s [u8]> + use<'i, 's> {
    let smallest = sets.iter().copied().min_by_key(|set| set.map_or(0, Set::len)).flatten();
    all(smallest).filter(|member| sets.iter().all(|set| set.is_some_and(|set| set.contains(member))))
}

fn intersection<'s>(sets: &[Option<Set<'s>>]) -> Vec<&'s [u8]> {
    common(sets).collect()
}

fn union<'s>(sets: &[Option<Set<'s>>]) -> Vec<&'s [u8]> {
    let mut seen = BTreeSet::new();
    sets.iter().flat_map(|set| all(*set)).filter(|member| seen.insert(*member)).collect()
}

fn difference<'s>(sets: &[Option<Set<'s>>]) -> Vec<&'s [u8]> {
    let others = &sets[1..];
    let in_none = |member: &&[u8]| !others.iter().any(|set| set.is_some_and(|set| set.contains(member)));
    all(sets[0]).filter(in_none).collect()
}

fn sets<'c>(call: &'c Call<'_>, keys: &[&[u8]]) -> Result<Vec<Option<Set<'c>>>, CommandError> {
    keys.iter().map(|key| call.db.peek::<Set>(key)).collect()
}

fn answer(call: &mut Call<'_>, operation: Operation) -> Outcome {
    let db = &call.db;
    let sets: Vec<_> = call.args[1..].iter().map(|key| db.peek::<Set>(key)).collect::<Result<_, _>>()?;
    let members = operation(&sets);
    call.reply.set(members.len());
    ticking(members).for_each(|member| call.reply.bulk(member));
    Ok(())
}

/// Puts the result under the first key in place of whatever it holds, and answers how much it is.
fn store(call: &mut Call<'_>, operation: Operation) -> Outcome {
    let key = call.args[1];
    let sets = sets(call, &call.args[2..])?;
    // The key may be one of the sets.
    let members: Vec<Box<[u8]>> = ticking(operation(&sets)).map(Box::from).collect();
    call.db.was_read();
    if call.db.exists(key) {
        call.db.record(Effect::Delete { key });
    }
    if !members.is_empty() {
        let members: Vec<&[u8]> = members.iter().map(|member| &**member).collect();
        call.db.record(Effect::SetAdd { key, members: Items::new(&members) });
    }
    call.reply.count(members.len());
    Ok(())
}
