//! Members of sorted sets that nobody names: the outermost of the first that has any, or random ones.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::listmove::Taken;
use crate::random::{Dice, REPEATED_MAX};
use crate::zrange::{self, Show};
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Items, Ranked, Scored, Zset};

type Outcome = Result<(), CommandError>;

pub(crate) fn zmpop(call: &mut Call<'_>) -> Outcome {
    pop_first(call, 1).map(drop)
}

/// Pops of the first of the keys that has any; their count is at `count_at`.
pub(crate) fn pop_first(call: &mut Call<'_>, count_at: usize) -> Result<Taken, CommandError> {
    let keys = arg::above_zero(call.args[count_at], "numkeys")?;
    let first = count_at + 1;
    let rest = call.args.get(keys.saturating_add(first)..).unwrap_or(&[]);
    let ([end, options @ ..], keys) = (rest, &call.args[first..]) else {
        return Err(CommandError::Syntax);
    };
    let keys = &keys[..keys.len() - rest.len()];
    let lowest = match () {
        () if arg::is(end, "min") => true,
        () if arg::is(end, "max") => false,
        () => return Err(CommandError::Syntax),
    };
    let count = arg::pop_count(options)?;
    for key in keys {
        let popped: Vec<Scored> = match call.db.read::<Zset>(key)? {
            None => continue,
            Some(zset) if lowest => zset.ascending(0).take(count).map(Ranked::to_scored).collect(),
            Some(zset) => zset.descending(zset.len()).take(count).map(Ranked::to_scored).collect(),
        };
        let members: Vec<&[u8]> = popped.iter().map(|scored| &*scored.member).collect();
        call.db.record(Effect::ZsetRemove { key, members: Items::new(&members) });
        call.reply.array(2);
        call.reply.bulk(key);
        call.reply.array(popped.len());
        for scored in ticking(&popped) {
            call.reply.array(2);
            call.reply.bulk(&scored.member);
            call.reply.double(scored.score);
        }
        return Ok(Taken::Something);
    }
    call.reply.null_array();
    Ok(Taken::Nothing)
}

pub(crate) fn zrandmember(call: &mut Call<'_>) -> Outcome {
    let mut dice = Dice::new(call.random);
    let Some((count, options)) = call.args[2..].split_first() else {
        match call.db.read::<Zset>(call.args[1])?.and_then(|zset| zset.nth(dice.below(zset.len()))) {
            None => call.reply.null(),
            Some(ranked) => call.reply.bulk(ranked.member),
        }
        return Ok(());
    };
    let count = arg::between(count, -i64::MAX, i64::MAX)?;
    let shown = match options {
        [] => Show::Members,
        [option] if arg::is(option, "withscores") => Show::WithScores,
        _ => return Err(CommandError::Syntax),
    };
    if shown == Show::WithScores && count.unsigned_abs() > (i64::MAX / 2) as u64 {
        return Err(CommandError::OutOfRange);
    }
    let zset = call.db.read::<Zset>(call.args[1])?.unwrap_or_default();
    if count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(CommandError::OutOfRange);
    }
    let chosen = dice.choose(count, zset.len());
    zrange::show(&mut call.reply, shown, chosen.len(), chosen.iter().filter_map(|at| zset.nth(*at)));
    Ok(())
}
