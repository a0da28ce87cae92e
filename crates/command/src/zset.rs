//! Sorted sets; their ranges are in the module `zrange`.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Items, Ranked, Scored, Zset};
use ironcache_resp::Protocol;

type Outcome = Result<(), CommandError>;

/// The options of `ZADD`.
#[derive(Default)]
pub(crate) struct Options {
    pub nx: bool,
    pub xx: bool,
    gt: bool,
    lt: bool,
    /// Members whose score changed count as well.
    pub changed: bool,
    increment: bool,
}

impl Options {
    /// Reads options up to the first argument that is none; answers the rest.
    fn parse<'a>(mut args: &'a [&'a [u8]]) -> Result<(Self, &'a [&'a [u8]]), CommandError> {
        let mut it = Options::default();
        while let [option, rest @ ..] = args {
            match &*option.to_ascii_lowercase() {
                b"nx" => it.nx = true,
                b"xx" => it.xx = true,
                b"gt" => it.gt = true,
                b"lt" => it.lt = true,
                b"ch" => it.changed = true,
                b"incr" => it.increment = true,
                _ => break,
            }
            args = rest;
        }
        Ok((it, args))
    }

    fn check(&self, pairs: usize) -> Outcome {
        if self.nx && self.xx {
            return Err(CommandError::ZaddXxWithNx);
        }
        if (self.gt && self.lt) || (self.nx && (self.gt || self.lt)) {
            return Err(CommandError::ZaddGtLtNx);
        }
        if self.increment && pairs > 1 { Err(CommandError::ZaddIncrPairs) } else { Ok(()) }
    }

    /// The score that a member shall get, if any.
    fn decide(&self, old: Option<f64>, given: f64) -> Result<Option<f64>, CommandError> {
        let Some(old) = old else {
            return Ok((!self.xx).then_some(given));
        };
        if self.nx {
            return Ok(None);
        }
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            return Err(CommandError::ScoreNotANumber);
        }
        let refused = (self.gt && new <= old) || (self.lt && new >= old);
        Ok((!refused).then_some(new))
    }
}

pub(crate) fn zadd(call: &mut Call<'_>) -> Outcome {
    let (options, rest) = Options::parse(&call.args[2..])?;
    let (pairs, []) = rest.as_chunks::<2>() else {
        return Err(CommandError::Syntax);
    };
    if pairs.is_empty() {
        return Err(CommandError::Syntax);
    }
    options.check(pairs.len())?;
    let scored =
        pairs.iter().map(|[score, member]| Ok((arg::float(score).ok_or(CommandError::NotAFloat)?, *member)));
    let scored: Vec<(f64, &[u8])> = scored.collect::<Result<_, CommandError>>()?;
    add(call, &options, &scored)
}

/// Adds members to the set under the first key, as the options allow.
pub(crate) fn add(call: &mut Call<'_>, options: &Options, scored: &[(f64, &[u8])]) -> Outcome {
    let key = call.args[1];
    call.db.read::<Zset>(key)?;
    let (mut added, mut updated, mut last) = (0, 0, None);
    for (given, member) in scored.iter().copied() {
        let old = call.db.read::<Zset>(key)?.and_then(|zset| zset.score(member));
        last = options.decide(old, given)?;
        let Some(new) = last.filter(|new| old != Some(*new)) else {
            continue;
        };
        call.db.record(Effect::ZsetAdd { key, members: Items::new(&[(arg::one_zero(new), member)]) });
        match old {
            None => added += 1,
            Some(_) => updated += 1,
        }
    }
    match (options.increment, last) {
        (true, Some(score)) => call.reply.double(score),
        (true, None) => call.reply.null(),
        (false, _) => call.reply.count(if options.changed { added + updated } else { added }),
    }
    Ok(())
}

pub(crate) fn zincrby(call: &mut Call<'_>) -> Outcome {
    let [key, amount, member] = [call.args[1], call.args[2], call.args[3]];
    let amount = arg::float(amount).ok_or(CommandError::NotAFloat)?;
    let old = call.db.read::<Zset>(key)?.and_then(|zset| zset.score(member));
    let new = old.map_or(amount, |old| old + amount);
    if new.is_nan() {
        return Err(CommandError::ScoreNotANumber);
    }
    if old != Some(new) {
        call.db.record(Effect::ZsetAdd { key, members: Items::new(&[(arg::one_zero(new), member)]) });
    }
    call.reply.double(new);
    Ok(())
}

fn len(call: &mut Call<'_>) -> Result<usize, CommandError> {
    Ok(call.db.read::<Zset>(call.args[1])?.map_or(0, Zset::len))
}

pub(crate) fn zrem(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let Some(zset) = call.db.read::<Zset>(key)? else {
        call.reply.int(0);
        return Ok(());
    };
    let before = zset.len();
    let held: Vec<&[u8]> = call.args[2..].iter().copied().filter(|m| zset.contains(m)).collect();
    if !held.is_empty() {
        call.db.record(Effect::ZsetRemove { key, members: Items::new(&held) });
    }
    let removed = before - len(call)?;
    call.reply.count(removed);
    Ok(())
}

pub(crate) fn zcard(call: &mut Call<'_>) -> Outcome {
    let len = len(call)?;
    call.reply.count(len);
    Ok(())
}

pub(crate) fn zscore(call: &mut Call<'_>) -> Outcome {
    match call.db.read::<Zset>(call.args[1])?.and_then(|zset| zset.score(call.args[2])) {
        Some(score) => call.reply.double(score),
        None => call.reply.null(),
    }
    Ok(())
}

pub(crate) fn zmscore(call: &mut Call<'_>) -> Outcome {
    let zset = call.db.read::<Zset>(call.args[1])?;
    call.reply.array(call.args.len() - 2);
    for member in &call.args[2..] {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => call.reply.double(score),
            None => call.reply.null(),
        }
    }
    Ok(())
}

pub(crate) fn zrank(call: &mut Call<'_>) -> Outcome {
    rank(call, |rank, _| rank)
}

pub(crate) fn zrevrank(call: &mut Call<'_>) -> Outcome {
    rank(call, |rank, len| len - 1 - rank)
}

fn rank(call: &mut Call<'_>, count: fn(usize, usize) -> usize) -> Outcome {
    let with_score = match call.args[3..] {
        [] => false,
        [option] if arg::is(option, "withscore") => true,
        _ => return Err(CommandError::Syntax),
    };
    let member = call.args[2];
    let zset = call.db.read::<Zset>(call.args[1])?;
    let found = zset.and_then(|zset| Some((count(zset.rank(member)?, zset.len()), zset.score(member)?)));
    match (found, with_score) {
        (Some((rank, _)), false) => call.reply.count(rank),
        (Some((rank, score)), true) => {
            call.reply.array(2);
            call.reply.count(rank);
            call.reply.double(score);
        }
        (None, false) => call.reply.null(),
        (None, true) => call.reply.null_array(),
    }
    Ok(())
}

pub(crate) fn zpopmin(call: &mut Call<'_>) -> Outcome {
    pop(call, |zset, count| zset.ascending(0).take(count).map(Ranked::to_scored).collect())
}

pub(crate) fn zpopmax(call: &mut Call<'_>) -> Outcome {
    pop(call, |zset, count| zset.descending(zset.len()).take(count).map(Ranked::to_scored).collect())
}

fn pop(call: &mut Call<'_>, choose: fn(Zset<'_>, usize) -> Vec<Scored>) -> Outcome {
    let key = call.args[1];
    let wanted = match call.args[2..] {
        [] => None,
        [count] => Some(arg::count(count)?),
        _ => return Err(CommandError::Syntax),
    };
    let popped = match call.db.read::<Zset>(key)? {
        Some(zset) => choose(zset, wanted.unwrap_or(1)),
        None => Vec::new(),
    };
    if !popped.is_empty() {
        let members: Vec<&[u8]> = popped.iter().map(|scored| &*scored.member).collect();
        call.db.record(Effect::ZsetRemove { key, members: Items::new(&members) });
    }
    // In RESP3 a count makes pairs of the answer.
    let nested = wanted.is_some() && call.reply.protocol() == Protocol::Resp3;
    call.reply.array(if nested { popped.len() } else { popped.len() * 2 });
    for scored in ticking(&popped) {
        if nested {
            call.reply.array(2);
        }
        call.reply.bulk(&scored.member);
        call.reply.double(scored.score);
    }
    Ok(())
}
