//! Ranges of sorted sets, by rank, by score and by member: all become ranges of ranks.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Items, Scored, Zset};
use ironcache_resp::Protocol;
use std::ops::Range;

type Outcome = Result<(), CommandError>;

/// What the two ends of a range are.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Rank,
    Score,
    Lex,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Ascending,
    Descending,
}

#[derive(Clone, Copy, PartialEq)]
enum Show {
    Members,
    WithScores,
}

/// A range as it was asked for; `start` is the end that comes first in `direction`.
struct Query<'a> {
    by: By,
    direction: Direction,
    start: &'a [u8],
    stop: &'a [u8],
    show: Show,
    /// (offset, count); a negative count is no limit.
    limit: Option<(i64, i64)>,
}

pub(crate) fn zrange(call: &mut Call<'_>) -> Outcome {
    query(call, None, None)
}

pub(crate) fn zrevrange(call: &mut Call<'_>) -> Outcome {
    query(call, Some(By::Rank), Some(Direction::Descending))
}

pub(crate) fn zrangebyscore(call: &mut Call<'_>) -> Outcome {
    query(call, Some(By::Score), Some(Direction::Ascending))
}

pub(crate) fn zrevrangebyscore(call: &mut Call<'_>) -> Outcome {
    query(call, Some(By::Score), Some(Direction::Descending))
}

pub(crate) fn zrangebylex(call: &mut Call<'_>) -> Outcome {
    query(call, Some(By::Lex), Some(Direction::Ascending))
}

pub(crate) fn zrevrangebylex(call: &mut Call<'_>) -> Outcome {
    query(call, Some(By::Lex), Some(Direction::Descending))
}

/// What the command's name does not fix, its options may.
fn query(call: &mut Call<'_>, by: Option<By>, direction: Option<Direction>) -> Outcome {
    let mut query = Query {
        by: by.unwrap_or(By::Rank),
        direction: direction.unwrap_or(Direction::Ascending),
        start: call.args[2],
        stop: call.args[3],
        show: Show::Members,
        limit: None,
    };
    let mut options = &call.args[4..];
    loop {
        options = match options {
            [] => break,
            [option, rest @ ..] if arg::is(option, "withscores") => {
                query.show = Show::WithScores;
                rest
            }
            [option, offset, count, rest @ ..] if arg::is(option, "limit") => {
                query.limit = Some((arg::integer(offset)?, arg::integer(count)?));
                rest
            }
            [option, rest @ ..] if by.is_none() && arg::is(option, "byscore") => {
                query.by = By::Score;
                rest
            }
            [option, rest @ ..] if by.is_none() && arg::is(option, "bylex") => {
                query.by = By::Lex;
                rest
            }
            [option, rest @ ..] if direction.is_none() && arg::is(option, "rev") => {
                query.direction = Direction::Descending;
                rest
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    if query.by == By::Rank && query.limit.is_some() {
        return Err(CommandError::LimitByRank);
    }
    if query.by == By::Lex && query.show == Show::WithScores {
        return Err(CommandError::ScoresByLex);
    }
    answer(call, &query)
}

fn answer(call: &mut Call<'_>, query: &Query<'_>) -> Outcome {
    let bounds = Bounds::parse(query)?;
    let empty = Zset::default();
    let zset = call.db.read::<Zset>(call.args[1])?.unwrap_or(&empty);
    let ranks = bounds.ranks(zset, query.direction);
    let (offset, count) = query.limit.unwrap_or((0, -1));
    // A negative offset answers nothing.
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(ranks.len());
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(ranks.len() - offset);
    match query.direction {
        Direction::Ascending => {
            let found = zset.ascending(ranks.start + offset).take(count);
            show(&mut call.reply, query.show, count, found);
        }
        Direction::Descending => {
            let found = zset.descending(ranks.end - offset).take(count);
            show(&mut call.reply, query.show, count, found);
        }
    }
    Ok(())
}

fn show<'z>(
    reply: &mut ironcache_resp::Writer<'_>,
    show: Show,
    count: usize,
    found: impl Iterator<Item = &'z Scored>,
) {
    let nested = show == Show::WithScores && reply.protocol() == Protocol::Resp3;
    let flat_pairs = show == Show::WithScores && !nested;
    reply.array(if flat_pairs { count * 2 } else { count });
    for scored in ticking(found) {
        if nested {
            reply.array(2);
        }
        reply.bulk(&scored.member);
        if show == Show::WithScores {
            reply.double(scored.score);
        }
    }
}

/// The ends of a range, the lower one first, but for ranks.
enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(Score, Score),
    Members(Lex<'a>, Lex<'a>),
}

impl<'a> Bounds<'a> {
    fn parse(query: &Query<'a>) -> Result<Self, CommandError> {
        let (low, high) = match query.direction {
            Direction::Ascending => (query.start, query.stop),
            Direction::Descending => (query.stop, query.start),
        };
        Ok(match query.by {
            By::Rank => Bounds::Ranks(arg::integer(query.start)?, arg::integer(query.stop)?),
            By::Score => Bounds::Scores(Score::parse(low)?, Score::parse(high)?),
            By::Lex => Bounds::Members(Lex::parse(low)?, Lex::parse(high)?),
        })
    }

    /// The range of ascending ranks.
    fn ranks(&self, zset: &Zset, direction: Direction) -> Range<usize> {
        let ranks = match self {
            Bounds::Ranks(start, stop) => {
                let range = arg::range(*start, *stop, zset.len());
                match direction {
                    Direction::Ascending => range,
                    Direction::Descending => zset.len() - range.end..zset.len() - range.start,
                }
            }
            Bounds::Scores(low, high) => {
                zset.count_before(|s| low.is_above(s.score))..zset.count_before(|s| !high.is_below(s.score))
            }
            Bounds::Members(low, high) => {
                zset.count_before(|s| low.is_above(&s.member))
                    ..zset.count_before(|s| !high.is_below(&s.member))
            }
        };
        if ranks.start < ranks.end { ranks } else { 0..0 }
    }
}

/// A bound by score.
struct Score {
    value: f64,
    inclusive: bool,
}

impl Score {
    fn parse(arg: &[u8]) -> Result<Self, CommandError> {
        let (text, inclusive) = match arg {
            [b'(', text @ ..] => (text, false),
            _ => (arg, true),
        };
        let value = arg::bound(text).ok_or(CommandError::ScoreRange)?;
        Ok(Score { value, inclusive })
    }

    /// As a lower bound: whether it excludes the score.
    fn is_above(&self, score: f64) -> bool {
        score < self.value || (score == self.value && !self.inclusive)
    }

    /// As an upper bound: whether it excludes the score.
    fn is_below(&self, score: f64) -> bool {
        score > self.value || (score == self.value && !self.inclusive)
    }
}

/// A bound by member, for members of equal score.
enum Lex<'a> {
    First,
    Last,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

impl<'a> Lex<'a> {
    fn parse(arg: &'a [u8]) -> Result<Self, CommandError> {
        match arg {
            b"-" => Ok(Lex::First),
            b"+" => Ok(Lex::Last),
            [b'[', member @ ..] => Ok(Lex::Inclusive(member)),
            [b'(', member @ ..] => Ok(Lex::Exclusive(member)),
            _ => Err(CommandError::LexRange),
        }
    }

    /// As a lower bound: whether it excludes the member.
    fn is_above(&self, member: &[u8]) -> bool {
        match self {
            Lex::First => false,
            Lex::Last => true,
            Lex::Inclusive(bound) => member < *bound,
            Lex::Exclusive(bound) => member <= *bound,
        }
    }

    /// As an upper bound: whether it excludes the member.
    fn is_below(&self, member: &[u8]) -> bool {
        match self {
            Lex::First => true,
            Lex::Last => false,
            Lex::Inclusive(bound) => member > *bound,
            Lex::Exclusive(bound) => member >= *bound,
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
    let (start, stop) = (call.args[2], call.args[3]);
    let direction = Direction::Ascending;
    Bounds::parse(&Query { by, direction, start, stop, show: Show::Members, limit: None })
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
            zset.ascending(ranks.start).take(ranks.len()).cloned().collect()
        }
    };
    if !found.is_empty() {
        let members: Vec<&[u8]> = found.iter().map(|scored| &*scored.member).collect();
        call.db.record(Effect::ZsetRemove { key, members: Items::new(&members) });
    }
    call.reply.count(found.len());
    Ok(())
}
