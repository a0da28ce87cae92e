//! Lists: elements moved to another list, popped from the first of several, and found by their value.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, EventClass, Items, List, Side};

type Outcome = Result<(), CommandError>;

/// `LEFT` or `RIGHT`.
pub(crate) fn side(arg: &[u8]) -> Result<Side, CommandError> {
    if arg::is(arg, "left") {
        Ok(Side::Head)
    } else if arg::is(arg, "right") {
        Ok(Side::Tail)
    } else {
        Err(CommandError::Syntax)
    }
}

pub(crate) fn lmove(call: &mut Call<'_>) -> Outcome {
    let (from_side, to_side) = (side(call.args[3])?, side(call.args[4])?);
    move_one(call, from_side, to_side).map(drop)
}

pub(crate) fn rpoplpush(call: &mut Call<'_>) -> Outcome {
    move_one(call, Side::Tail, Side::Head).map(drop)
}

/// Was there anything to be taken?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Something,
    /// And that is answered.
    Nothing,
}

pub(crate) fn move_one(call: &mut Call<'_>, from_side: Side, to_side: Side) -> Result<Taken, CommandError> {
    let (from, to) = (call.args[1], call.args[2]);
    let element: Option<Box<[u8]>> = match call.db.read::<List>(from)? {
        None => None,
        Some(list) => match from_side {
            Side::Head => list.items().front().cloned(),
            Side::Tail => list.items().back().cloned(),
        },
    };
    let Some(element) = element else {
        call.reply.null();
        return Ok(Taken::Nothing);
    };
    call.db.read::<List>(to)?;
    if from == to && from_side == to_side {
        // Nothing moves.
        let (pushed, popped) = match from_side {
            Side::Head => ("lpush", "lpop"),
            Side::Tail => ("rpush", "rpop"),
        };
        call.did(EventClass::List, pushed, to);
        call.did(EventClass::List, popped, from);
    } else {
        // Pushed first: a list that rotates its only element would otherwise be gone in between, and its expiry with it.
        call.db.record(Effect::ListPush { key: to, side: to_side, values: Items::new(&[&*element]) });
        call.db.record(Effect::ListPop { key: from, side: from_side, count: 1 });
    }
    call.reply.bulk(&element);
    Ok(Taken::Something)
}

pub(crate) fn lmpop(call: &mut Call<'_>) -> Outcome {
    pop_first(call, 1).map(drop)
}

/// Pops of the first of the keys that has any; their count is at `count_at`.
pub(crate) fn pop_first(call: &mut Call<'_>, count_at: usize) -> Result<Taken, CommandError> {
    let keys = arg::above_zero(call.args[count_at], "numkeys")?;
    let first = count_at + 1;
    let rest = call.args.get(keys.saturating_add(first)..).unwrap_or(&[]);
    let [from, options @ ..] = rest else {
        return Err(CommandError::Syntax);
    };
    let (side, count) = (side(from)?, arg::pop_count(options)?);
    for key in &call.args[first..first + keys] {
        let Some(list) = call.db.read::<List>(key)? else {
            continue;
        };
        let items = list.items();
        let count = count.min(items.len());
        call.reply.array(2);
        call.reply.bulk(key);
        call.reply.array(count);
        for i in ticking(0..count) {
            let at = if side == Side::Head { i } else { items.len() - 1 - i };
            call.reply.bulk(&items[at]);
        }
        call.db.record(Effect::ListPop { key, side, count: count as u64 });
        return Ok(Taken::Something);
    }
    call.reply.null_array();
    Ok(Taken::Nothing)
}

/// The options of `LPOS`.
struct Wanted {
    /// The first match that counts, from 1; negative: from the tail.
    rank: i64,
    /// How many are answered; 0: all. `None`: one, and not as an array.
    count: Option<usize>,
    /// How many elements are looked at; 0: all.
    looked_at_max: usize,
}

impl Wanted {
    fn parse(mut options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut it = Wanted { rank: 1, count: None, looked_at_max: 0 };
        while let [option, rest @ ..] = options {
            options = match rest {
                [rank, rest @ ..] if arg::is(option, "rank") => {
                    it.rank = arg::integer(rank)?;
                    if it.rank == 0 {
                        return Err(CommandError::RankZero);
                    }
                    rest
                }
                [count, rest @ ..] if arg::is(option, "count") => {
                    it.count = Some(arg::not_negative(count, "COUNT")?);
                    rest
                }
                [max, rest @ ..] if arg::is(option, "maxlen") => {
                    it.looked_at_max = arg::not_negative(max, "MAXLEN")?;
                    rest
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        Ok(it)
    }

    /// The positions, from the head, of what is wanted.
    fn find(&self, list: &List, element: &[u8]) -> Vec<usize> {
        let items = list.items();
        let looked_at = if self.looked_at_max == 0 { items.len() } else { self.looked_at_max };
        let at = |i: usize| if self.rank < 0 { items.len() - 1 - i } else { i };
        let positions = ticking(0..items.len().min(looked_at)).map(at).filter(|at| *items[*at] == *element);
        let skipped = usize::try_from(self.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let count = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        positions.skip(skipped).take(count).collect()
    }
}

pub(crate) fn lpos(call: &mut Call<'_>) -> Outcome {
    let wanted = Wanted::parse(&call.args[3..])?;
    let list = call.db.read::<List>(call.args[1])?;
    let found = list.map_or(Vec::new(), |list| wanted.find(list, call.args[2]));
    match (wanted.count, found.first()) {
        (None, Some(at)) => call.reply.count(*at),
        (None, None) => call.reply.null(),
        (Some(_), _) => {
            call.reply.array(found.len());
            found.iter().for_each(|at| call.reply.count(*at));
        }
    }
    Ok(())
}
