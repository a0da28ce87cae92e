//! Commands that wait until a key holds what they want: of lists and of sorted sets; and what any command waits for.
//!
//! A handler does what it does when there is something; when there is nothing it answers that, and says what it waits for. Inside
//! a transaction the answer stands ([`execute`](crate::execute)); else the caller keeps the command, and has the key that became
//! ready serve it ([`serve`](crate::serve)).
//!
//! *Invariant:* nobody waits here, and no clock is read: the time is a number of ms that the caller counts.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::listmove::{self, Taken};
use crate::spec::{MoreKeys, Spec};
use crate::zpick;
use ironcache_keyspace::{Effect, Items, Kind, List, Ranked, Side, StreamId, Zset};
use std::ops::Range;

type Outcome = Result<(), CommandError>;

/// What a command waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// 0: for ever.
    pub timeout_ms: u64,
    /// Which of the arguments are the keys: any of them will do.
    pub keys: Range<usize>,
    pub for_what: Wanted,
}

/// What a key has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Something of this kind; a key that holds something else serves nobody.
    Kind(Kind),
    /// A stream with entries after this id: one for each of the keys.
    After(Vec<StreamId>),
    /// A stream with entries that its group has not been given. If there is no such stream or group any more, that is what the
    /// command is told.
    OfGroup,
}

impl Waits {
    /// Is a key that holds this, or nothing, of any use?
    pub fn fits(&self, held: Option<Kind>) -> bool {
        match &self.for_what {
            Wanted::Kind(kind) => held == Some(*kind),
            Wanted::After(_) => held == Some(Kind::Stream),
            Wanted::OfGroup => true,
        }
    }

    /// The command, of one of its keys alone: so it is served by the one that became ready, whatever the others hold by then.
    pub(crate) fn narrowed<'a>(&self, spec: &Spec, args: &[&'a [u8]], key: &'a [u8]) -> Vec<&'a [u8]> {
        let (before, after) = (&args[..self.keys.start], &args[self.keys.end..]);
        let mut narrowed = before.to_vec();
        if let MoreKeys::Counted(at) = spec.more_keys {
            narrowed[at] = b"1";
        }
        narrowed.push(key);
        narrowed.extend(after);
        narrowed
    }
}

/// Seconds, as ms.
fn timeout(arg: &[u8]) -> Result<u64, CommandError> {
    /// 2^63: where Redis' count of ms turns negative.
    const MS_END: f64 = 9_223_372_036_854_775_808.0;
    let ms = (arg::float(arg).ok_or(CommandError::TimeoutNotAFloat)? * 1_000.0).ceil();
    if (0.0..MS_END).contains(&ms) { Ok(ms as u64) } else { Err(CommandError::TimeoutNegative) }
}

/// It has answered that there is nothing; unless it may not, it waits.
fn or_wait(call: &mut Call<'_>, taken: Taken, timeout_ms: u64, keys: Range<usize>, kind: Kind) -> Outcome {
    if taken == Taken::Nothing {
        *call.waits = Some(Waits { timeout_ms, keys, for_what: Wanted::Kind(kind) });
    }
    Ok(())
}

/// The keys of a command that ends with its timeout.
fn keys_before_timeout(call: &Call<'_>) -> Result<(Range<usize>, u64), CommandError> {
    let last = call.args.len() - 1;
    Ok((1..last, timeout(call.args[last])?))
}

/// The keys of a command that begins with its timeout, and then says how many they are.
fn counted_keys(call: &Call<'_>) -> Range<usize> {
    3..3 + arg::above_zero(call.args[2], "numkeys").unwrap_or(0)
}

pub(crate) fn blpop(call: &mut Call<'_>) -> Outcome {
    pop(call, Side::Head)
}

pub(crate) fn brpop(call: &mut Call<'_>) -> Outcome {
    pop(call, Side::Tail)
}

fn pop(call: &mut Call<'_>, side: Side) -> Outcome {
    let (keys, timeout_ms) = keys_before_timeout(call)?;
    let mut taken = Taken::Nothing;
    for key in &call.args[keys.clone()] {
        let Some(list) = call.db.read::<List>(key)? else {
            continue;
        };
        let element = match side {
            Side::Head => list.items().front(),
            Side::Tail => list.items().back(),
        };
        call.reply.array(2);
        call.reply.bulk(key);
        call.reply.bulk(element.map_or(&[][..], |element| &**element));
        call.db.record(Effect::ListPop { key, side, count: 1 });
        taken = Taken::Something;
        break;
    }
    if taken == Taken::Nothing {
        call.reply.null_array();
    }
    or_wait(call, taken, timeout_ms, keys, Kind::List)
}

pub(crate) fn blmove(call: &mut Call<'_>) -> Outcome {
    let (from_side, to_side) = (listmove::side(call.args[3])?, listmove::side(call.args[4])?);
    let timeout_ms = timeout(call.args[5])?;
    let taken = listmove::move_one(call, from_side, to_side)?;
    or_wait(call, taken, timeout_ms, 1..2, Kind::List)
}

pub(crate) fn brpoplpush(call: &mut Call<'_>) -> Outcome {
    let timeout_ms = timeout(call.args[3])?;
    let taken = listmove::move_one(call, Side::Tail, Side::Head)?;
    or_wait(call, taken, timeout_ms, 1..2, Kind::List)
}

pub(crate) fn blmpop(call: &mut Call<'_>) -> Outcome {
    let timeout_ms = timeout(call.args[1])?;
    let taken = listmove::pop_first(call, 2)?;
    let keys = counted_keys(call);
    or_wait(call, taken, timeout_ms, keys, Kind::List)
}

/// Of which end a member of a sorted set is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lowest,
    Highest,
}

pub(crate) fn bzpopmin(call: &mut Call<'_>) -> Outcome {
    zpop(call, End::Lowest)
}

pub(crate) fn bzpopmax(call: &mut Call<'_>) -> Outcome {
    zpop(call, End::Highest)
}

fn zpop(call: &mut Call<'_>, end: End) -> Outcome {
    let (keys, timeout_ms) = keys_before_timeout(call)?;
    let mut taken = Taken::Nothing;
    for key in &call.args[keys.clone()] {
        let popped = match call.db.read::<Zset>(key)? {
            None => None,
            Some(zset) if end == End::Lowest => zset.ascending(0).next().map(Ranked::to_scored),
            Some(zset) => zset.descending(zset.len()).next().map(Ranked::to_scored),
        };
        let Some(popped) = popped else {
            continue;
        };
        call.db.record(Effect::ZsetRemove { key, members: Items::new(&[&*popped.member]) });
        call.reply.array(3);
        call.reply.bulk(key);
        call.reply.bulk(&popped.member);
        call.reply.double(popped.score);
        taken = Taken::Something;
        break;
    }
    if taken == Taken::Nothing {
        call.reply.null_array();
    }
    or_wait(call, taken, timeout_ms, keys, Kind::Zset)
}

pub(crate) fn bzmpop(call: &mut Call<'_>) -> Outcome {
    let timeout_ms = timeout(call.args[1])?;
    let taken = zpick::pop_first(call, 2)?;
    let keys = counted_keys(call);
    or_wait(call, taken, timeout_ms, keys, Kind::Zset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup;

    #[test]
    fn timeouts_are_seconds_rounded_up_to_ms() {
        for (text, ms) in
            [("0", 0), ("1", 1_000), ("0.0001", 1), ("1.5", 1_500), ("0x1p1", 2_000), ("-0.0001", 0)]
        {
            assert_eq!(timeout(text.as_bytes()), Ok(ms), "{text}");
        }
        assert_eq!(timeout(b"9000000000000000"), Ok(9_000_000_000_000_000_000));
        for text in ["-1", "inf", "-inf", "1e300"] {
            assert_eq!(timeout(text.as_bytes()), Err(CommandError::TimeoutNegative), "{text}");
        }
        for text in ["", "x", "1x", "nan"] {
            assert_eq!(timeout(text.as_bytes()), Err(CommandError::TimeoutNotAFloat), "{text}");
        }
    }

    #[test]
    fn a_narrowed_command_is_of_one_key() {
        let narrowed = |line: &str, keys: Range<usize>| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let spec = lookup(args[0]).expect("it exists");
            let waits = Waits { timeout_ms: 0, keys, for_what: Wanted::Kind(Kind::List) };
            let narrowed = waits.narrowed(spec, &args, b"b");
            String::from_utf8(narrowed.join(&b' ')).expect("it was text")
        };
        assert_eq!(narrowed("blpop a b c 0", 1..4), "blpop b 0");
        assert_eq!(narrowed("blmpop 0 3 a b c left count 2", 3..6), "blmpop 0 1 b left count 2");
        assert_eq!(narrowed("blmove b d left right 0", 1..2), "blmove b d left right 0");
    }
}
