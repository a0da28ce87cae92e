//! Ranges of sorted sets: answered, counted, removed, stored.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::zbounds::{Bounds, By, Direction};
use crate::zstore;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Items, Ranked, Scored, Zset};
use ironcache_resp::Protocol;
use std::ops::Range;

type Outcome = Result<(), CommandError>;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Show {
    Members,
    WithScores,
}

/// What the name of a command fixes of its range; the rest its options may say.
#[derive(Clone, Copy, Default)]
struct Fixed {
    by: Option<By>,
    direction: Option<Direction>,
}

/// A range as it was asked for.
struct Query<'a> {
    bounds: Bounds<'a>,
    direction: Direction,
    show: Show,
    /// (offset, count); a negative count is no limit, a negative offset leaves nothing.
    limit: (i64, i64),
}

impl<'a> Query<'a> {
    /// Reads the two ends and the options after them. `shown`: whether scores may be asked for.
    fn parse(args: &'a [&'a [u8]], fixed: Fixed, shown: bool) -> Result<Self, CommandError> {
        let Fixed { mut by, mut direction } = fixed;
        let (mut show, mut limit) = (Show::Members, (0, -1));
        let (start, stop) = (args[0], args[1]);
        let mut options = &args[2..];
        loop {
            options = match options {
                [] => break,
                [option, rest @ ..] if shown && arg::is(option, "withscores") => {
                    show = Show::WithScores;
                    rest
                }
                [option, offset, count, rest @ ..] if arg::is(option, "limit") => {
                    limit = (arg::integer(offset)?, arg::integer(count)?);
                    rest
                }
                [option, rest @ ..] if direction.is_none() && arg::is(option, "rev") => {
                    direction = Some(Direction::Descending);
                    rest
                }
                [option, rest @ ..] if by.is_none() && arg::is(option, "bylex") => {
                    by = Some(By::Lex);
                    rest
                }
                [option, rest @ ..] if by.is_none() && arg::is(option, "byscore") => {
                    by = Some(By::Score);
                    rest
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        let (by, direction) = (by.unwrap_or(By::Rank), direction.unwrap_or(Direction::Ascending));
        if by == By::Rank && limit.1 != -1 {
            return Err(CommandError::LimitByRank);
        }
        if by == By::Lex && show == Show::WithScores {
            return Err(CommandError::ScoresByLex);
        }
        // By rank a limit of -1 may be said, with any offset, and says nothing.
        let limit = if by == By::Rank { (0, -1) } else { limit };
        Ok(Query { bounds: Bounds::parse(by, direction, start, stop)?, direction, show, limit })
    }

    /// The ascending ranks of what is found.
    fn ranks(&self, zset: Zset<'_>) -> Range<usize> {
        let ranks = self.bounds.ranks(zset, self.direction);
        let (offset, count) = self.limit;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(ranks.len());
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(ranks.len() - offset);
        match self.direction {
            Direction::Ascending => ranks.start + offset..ranks.start + offset + count,
            Direction::Descending => ranks.end - offset - count..ranks.end - offset,
        }
    }
}

pub(crate) fn zrange(call: &mut Call<'_>) -> Outcome {
    answer(call, Fixed::default())
}

pub(crate) fn zrevrange(call: &mut Call<'_>) -> Outcome {
    answer(call, Fixed { by: Some(By::Rank), direction: Some(Direction::Descending) })
}

pub(crate) fn zrangebyscore(call: &mut Call<'_>) -> Outcome {
    answer(call, Fixed { by: Some(By::Score), direction: Some(Direction::Ascending) })
}

pub(crate) fn zrevrangebyscore(call: &mut Call<'_>) -> Outcome {
    answer(call, Fixed { by: Some(By::Score), direction: Some(Direction::Descending) })
}

pub(crate) fn zrangebylex(call: &mut Call<'_>) -> Outcome {
    answer(call, Fixed { by: Some(By::Lex), direction: Some(Direction::Ascending) })
}

pub(crate) fn zrevrangebylex(call: &mut Call<'_>) -> Outcome {
    answer(call, Fixed { by: Some(By::Lex), direction: Some(Direction::Descending) })
}

fn answer(call: &mut Call<'_>, fixed: Fixed) -> Outcome {
    let query = Query::parse(&call.args[2..], fixed, true)?;
    let zset = call.db.read::<Zset>(call.args[1])?.unwrap_or_default();
    let ranks = query.ranks(zset);
    match query.direction {
        Direction::Ascending => {
            show(&mut call.reply, query.show, ranks.len(), zset.ascending(ranks.start).take(ranks.len()));
        }
        Direction::Descending => {
            show(&mut call.reply, query.show, ranks.len(), zset.descending(ranks.end).take(ranks.len()));
        }
    }
    Ok(())
}

pub(crate) fn zrangestore(call: &mut Call<'_>) -> Outcome {
    let query = Query::parse(&call.args[3..], Fixed::default(), false)?;
    let found: Vec<Scored> = match call.db.read::<Zset>(call.args[2])? {
        None => Vec::new(),
        Some(zset) => {
            let ranks = query.ranks(zset);
            ticking(zset.ascending(ranks.start).take(ranks.len())).map(Ranked::to_scored).collect()
        }
    };
    call.db.was_read();
    zstore::replace(call, call.args[1], &found);
    Ok(())
}

/// Answers members, as many as `count` says.
pub(crate) fn show<'z>(
    reply: &mut ironcache_resp::Writer<'_>,
    show: Show,
    count: usize,
    found: impl Iterator<Item = Ranked<'z>>,
) {
    let nested = show == Show::WithScores && reply.protocol() == Protocol::Resp3;
    let flat_pairs = show == Show::WithScores && !nested;
    reply.array(if flat_pairs { count * 2 } else { count });
    for scored in ticking(found) {
        if nested {
            reply.array(2);
        }
        reply.bulk(scored.member);
        if show == Show::WithScores {
            reply.double(scored.score);
        }
    }
}

pub(crate) fn zcount(call: &mut Call<'_>) -> Outcome {
    count(call, By::Score)
}

pub(crate) fn zlexcount(call: &mut Call<'_>) -> Outcome {
    count(call, By::Lex)
}

/// The ascending range between the second and third argument.
fn between<'a>(call: &Call<'a>, by: By) -> Result<Bounds<'a>, CommandError> {
    Bounds::parse(by, Direction::Ascending, call.args[2], call.args[3])
}

fn count(call: &mut Call<'_>, by: By) -> Outcome {
    let bounds = between(call, by)?;
    let zset = call.db.read::<Zset>(call.args[1])?;
    let count = zset.map_or(0, |zset| bounds.ranks(zset, Direction::Ascending).len());
    call.reply.count(count);
    Ok(())
}

pub(crate) fn zremrangebyrank(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Rank)
}

pub(crate) fn zremrangebyscore(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Score)
}

pub(crate) fn zremrangebylex(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Lex)
}

fn remove(call: &mut Call<'_>, by: By) -> Outcome {
    let key = call.args[1];
    let bounds = between(call, by)?;
    let found: Vec<Scored> = match call.db.read::<Zset>(key)? {
        None => Vec::new(),
        Some(zset) => {
            let ranks = bounds.ranks(zset, Direction::Ascending);
            zset.ascending(ranks.start).take(ranks.len()).map(Ranked::to_scored).collect()
        }
    };
    if !found.is_empty() {
        let members: Vec<&[u8]> = found.iter().map(|scored| &*scored.member).collect();
        call.db.record(Effect::ZsetRemove { key, members: Items::new(&members) });
    }
    call.reply.count(found.len());
    Ok(())
}
