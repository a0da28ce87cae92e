//! `SORT` and `SORT_RO`. In a cluster a sort looks at no other keys: `GET` and a pattern after `BY` are refused.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Items, Side, Value};
use std::cmp::Ordering;

type Outcome = Result<(), CommandError>;

/// Whether the result may be stored.
#[derive(Clone, Copy, PartialEq)]
enum Storing {
    Allowed,
    Refused,
}

struct Options<'a> {
    descending: bool,
    alpha: bool,
    /// `BY` something that is the same for all.
    unsorted: bool,
    limit: (i64, i64),
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(mut args: &'a [&'a [u8]], storing: Storing) -> Result<Self, CommandError> {
        let mut it =
            Options { descending: false, alpha: false, unsorted: false, limit: (0, -1), store: None };
        while let [option, rest @ ..] = args {
            args = match rest {
                rest if arg::is(option, "asc") => {
                    it.descending = false;
                    rest
                }
                rest if arg::is(option, "desc") => {
                    it.descending = true;
                    rest
                }
                rest if arg::is(option, "alpha") => {
                    it.alpha = true;
                    rest
                }
                [start, count, rest @ ..] if arg::is(option, "limit") => {
                    it.limit = (arg::integer(start)?, arg::integer(count)?);
                    rest
                }
                [key, rest @ ..] if storing == Storing::Allowed && arg::is(option, "store") => {
                    it.store = Some(key);
                    rest
                }
                [pattern, ..] if arg::is(option, "by") && pattern.contains(&b'*') => {
                    return Err(CommandError::SortDenied { option: "BY" });
                }
                [_, rest @ ..] if arg::is(option, "by") => {
                    it.unsorted = true;
                    rest
                }
                [_, ..] if arg::is(option, "get") => {
                    return Err(CommandError::SortDenied { option: "GET" });
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        Ok(it)
    }

    /// Which of `len` elements in order are wanted.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let (start, count) = self.limit;
        let start = usize::try_from(start).unwrap_or(0).min(len);
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(len - start);
        start..start + count
    }

    /// In the order of the elements, if it is one by number.
    fn by_number<'e>(&self, elements: Vec<&'e [u8]>) -> Result<Vec<&'e [u8]>, CommandError> {
        let number = |element: &'e [u8]| -> Result<(f64, &'e [u8]), CommandError> {
            let number = arg::sortable(element).ok_or(CommandError::SortNotNumbers)?;
            Ok((number, element))
        };
        let mut numbered: Vec<(f64, &[u8])> = ticking(elements).map(number).collect::<Result<_, _>>()?;
        let compare = |a: &(f64, &[u8]), b: &(f64, &[u8])| {
            a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(b.1))
        };
        sort(&mut numbered, compare, self.descending);
        Ok(numbered.into_iter().map(|(_, element)| element).collect())
    }
}

/// Sorts, and ticks: a long sort has to show that it goes on.
fn sort<T: Copy>(all: &mut [T], compare: impl Fn(&T, &T) -> Ordering, descending: bool) {
    let mut ticks = 0_u32;
    all.sort_by(|a, b| {
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(1024) {
            ironcache_keyspace::progress::tick();
        }
        if descending { compare(b, a) } else { compare(a, b) }
    });
}

pub(crate) fn sort_ro(call: &mut Call<'_>) -> Outcome {
    run(call, Storing::Refused)
}

pub(crate) fn sort_command(call: &mut Call<'_>) -> Outcome {
    run(call, Storing::Allowed)
}

fn run(call: &mut Call<'_>, storing: Storing) -> Outcome {
    let options = Options::parse(&call.args[2..], storing)?;
    let value = call.db.peek::<Value>(call.args[1])?;
    let is_set = matches!(value, Some(Value::Set(_)));
    let mut elements: Vec<&[u8]> = match value {
        None => Vec::new(),
        Some(Value::List(list)) => ticking(list.items()).map(|item| &**item).collect(),
        Some(Value::Set(set)) => ticking(set).collect(),
        Some(Value::Zset(zset)) => ticking(zset.ascending(0)).map(|scored| scored.member).collect(),
        Some(Value::String(_) | Value::Hash(_) | Value::Stream(_)) => return Err(CommandError::WrongType),
    };
    if options.unsorted && !(is_set && options.store.is_some()) {
        // Lists and sorted sets have an order already, and go through it from either end.
        if options.descending && !is_set {
            elements.reverse();
        }
    } else if options.alpha || options.unsorted {
        sort(&mut elements, Ord::cmp, options.descending);
    } else {
        elements = options.by_number(elements)?;
    }
    let found = &elements[options.range(elements.len())];
    let Some(key) = options.store else {
        call.reply.array(found.len());
        ticking(found).for_each(|element| call.reply.bulk(element));
        call.db.was_read();
        return Ok(());
    };
    // The key may be the one that was sorted.
    let found: Vec<Box<[u8]>> = ticking(found).map(|element| Box::from(*element)).collect();
    call.db.was_read();
    if call.db.exists(key) {
        call.db.record(Effect::Delete { key });
    }
    if !found.is_empty() {
        let values: Vec<&[u8]> = found.iter().map(|element| &**element).collect();
        call.db.record(Effect::ListPush { key, side: Side::Tail, values: Items::new(&values) });
    }
    call.reply.count(found.len());
    Ok(())
}
