//! The ends of a range of a sorted set, by rank, score or member: all become ranges of ranks.

use crate::arg;
use crate::error::CommandError;
use ironcache_keyspace::Zset;
use std::ops::Range;

/// What the two ends of a range are.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum By {
    Rank,
    Score,
    Lex,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// The ends of a range, the lower one first, but for ranks.
pub(crate) enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(Score, Score),
    Members(Lex<'a>, Lex<'a>),
}

impl<'a> Bounds<'a> {
    /// `start` is the end that comes first in `direction`.
    pub(crate) fn parse(
        by: By,
        direction: Direction,
        start: &'a [u8],
        stop: &'a [u8],
    ) -> Result<Self, CommandError> {
        let (low, high) = match direction {
            Direction::Ascending => (start, stop),
            Direction::Descending => (stop, start),
        };
        Ok(match by {
            By::Rank => Bounds::Ranks(arg::integer(start)?, arg::integer(stop)?),
            By::Score => Bounds::Scores(Score::parse(low)?, Score::parse(high)?),
            By::Lex => Bounds::Members(Lex::parse(low)?, Lex::parse(high)?),
        })
    }

    /// The range of ascending ranks.
    pub(crate) fn ranks(&self, zset: Zset<'_>, direction: Direction) -> Range<usize> {
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
            Bounds::Members(low, high) if has_scores(zset) => walked(zset, direction, low, high),
            Bounds::Members(low, high) => {
                zset.count_before(|s| low.is_above(s.member))..zset.count_before(|s| !high.is_below(s.member))
            }
        };
        if ranks.start < ranks.end { ranks } else { 0..0 }
    }
}

/// Whether a range by members has no meaning: that needs members of one score. Whoever asks for it gets what Redis'
/// usual encoding of a small set answers; of a large one there is no such answer.
fn has_scores(zset: Zset<'_>) -> bool {
    const WALKED_MAX: usize = 128;
    let (first, last) = (zset.ascending(0).next(), zset.descending(zset.len()).next());
    zset.len() <= WALKED_MAX && first.map(|scored| scored.score) != last.map(|scored| scored.score)
}

/// The members met from the first that is within one end up to the first that is not within the other.
fn walked(zset: Zset<'_>, direction: Direction, low: &Lex<'_>, high: &Lex<'_>) -> Range<usize> {
    let members: Vec<&[u8]> = zset.ascending(0).map(|scored| scored.member).collect();
    let outside = members.last().is_none_or(|last| low.is_above(last))
        || members.first().is_none_or(|first| high.is_below(first));
    if outside || !low.may_meet(high) {
        return 0..0;
    }
    match direction {
        Direction::Ascending => {
            let start = members.iter().position(|member| !low.is_above(member)).unwrap_or(members.len());
            let taken = members[start..].iter().take_while(|member| !high.is_below(member)).count();
            start..start + taken
        }
        Direction::Descending => {
            let end = members.iter().rposition(|member| !high.is_below(member)).map_or(0, |at| at + 1);
            let taken = members[..end].iter().rev().take_while(|member| !low.is_above(member)).count();
            end - taken..end
        }
    }
}

/// A bound by score.
pub(crate) struct Score {
    value: f64,
    inclusive: bool,
}

impl Score {
    fn parse(arg: &[u8]) -> Result<Self, CommandError> {
        let (text, inclusive) = match arg {
            [b'(', text @ ..] => (text, false),
            _ => (arg, true),
        };
        let value = arg::c_double(text).ok_or(CommandError::ScoreRange)?;
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
pub(crate) enum Lex<'a> {
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

    /// Whether there may be members between this and `high`.
    fn may_meet(&self, high: &Lex<'_>) -> bool {
        match (self, high) {
            (Lex::Last, _) | (_, Lex::First) => false,
            (Lex::First, _) | (_, Lex::Last) => true,
            (Lex::Inclusive(low), Lex::Inclusive(high)) => low <= high,
            (Lex::Inclusive(low) | Lex::Exclusive(low), Lex::Exclusive(high) | Lex::Inclusive(high)) => {
                low < high
            }
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
