//! Sorted sets out of sorted sets and sets: union, intersection and difference, answered, counted or stored.
//!
//! *Invariant:* a score is what Redis' order of additions makes of it: inputs from the smallest to the largest.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::zrange::{self, Show};
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Items, Scored, Set, Value, Zset};
use std::collections::HashMap;
use std::sync::Arc;

type Outcome = Result<(), CommandError>;

/// How the scores of equal members become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn parse(arg: &[u8]) -> Result<Self, CommandError> {
        [("sum", Aggregate::Sum), ("min", Aggregate::Min), ("max", Aggregate::Max)]
            .into_iter()
            .find_map(|(name, aggregate)| arg::is(arg, name).then_some(aggregate))
            .ok_or(CommandError::Syntax)
    }

    /// Infinities of both signs make 0, and not NaN.
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum if (a + b).is_nan() => 0.0,
            Aggregate::Sum => a + b,
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// What is done with the inputs.
#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the result, which decides the options.
#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    Answer,
    Count,
    Store,
}

/// An input: a sorted set, a set whose members score 1, or nothing.
#[derive(Clone, Copy)]
enum Source<'a> {
    Zset(Zset<'a>),
    Set(Set<'a>),
    Absent,
}

impl<'a> Source<'a> {
    fn of(value: Option<Value<'a>>) -> Result<Self, CommandError> {
        match value {
            None => Ok(Source::Absent),
            Some(Value::Zset(zset)) => Ok(Source::Zset(zset)),
            Some(Value::Set(set)) => Ok(Source::Set(set)),
            Some(Value::String(_) | Value::Hash(_) | Value::List(_) | Value::Stream(_)) => {
                Err(CommandError::WrongType)
            }
        }
    }

    fn len(self) -> usize {
        match self {
            Source::Zset(zset) => zset.len(),
            Source::Set(set) => set.len(),
            Source::Absent => 0,
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Zset(zset) => zset.score(member),
            Source::Set(set) => set.contains(member).then_some(1.0),
            Source::Absent => None,
        }
    }

    fn members(self) -> Box<dyn Iterator<Item = (&'a [u8], f64)> + 'a> {
        match self {
            Source::Zset(zset) => Box::new(ticking(zset.ascending(0)).map(|s| (s.member, s.score))),
            Source::Set(set) => Box::new(ticking(set).map(|member| (member, 1.0))),
            Source::Absent => Box::new(std::iter::empty()),
        }
    }
}

/// One input with its weight.
#[derive(Clone, Copy)]
struct Input<'a> {
    source: Source<'a>,
    weight: f64,
}

/// What stands after the inputs.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    show: Show,
    /// 0 is no limit.
    limit: usize,
}

impl Options {
    fn parse(
        mut args: &[&[u8]],
        inputs: usize,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Self, CommandError> {
        let mut it =
            Options { weights: vec![1.0; inputs], aggregate: Aggregate::Sum, show: Show::Members, limit: 0 };
        let weighed = operation != Operation::Difference && purpose != Purpose::Count;
        loop {
            args = match args {
                [] => return Ok(it),
                [option, rest @ ..] if weighed && rest.len() >= inputs && arg::is(option, "weights") => {
                    for (weight, arg) in it.weights.iter_mut().zip(rest) {
                        *weight = arg::float(arg).ok_or(CommandError::WeightNotAFloat)?;
                    }
                    &rest[inputs..]
                }
                [option, aggregate, rest @ ..] if weighed && arg::is(option, "aggregate") => {
                    it.aggregate = Aggregate::parse(aggregate)?;
                    rest
                }
                [option, rest @ ..] if purpose == Purpose::Answer && arg::is(option, "withscores") => {
                    it.show = Show::WithScores;
                    rest
                }
                [option, limit, rest @ ..] if purpose == Purpose::Count && arg::is(option, "limit") => {
                    it.limit = arg::not_negative(limit, "LIMIT")?;
                    rest
                }
                _ => return Err(CommandError::Syntax),
            };
        }
    }
}

pub(crate) fn zunion(call: &mut Call<'_>) -> Outcome {
    combine(call, 1, Operation::Union, Purpose::Answer)
}

pub(crate) fn zinter(call: &mut Call<'_>) -> Outcome {
    combine(call, 1, Operation::Intersection, Purpose::Answer)
}

pub(crate) fn zdiff(call: &mut Call<'_>) -> Outcome {
    combine(call, 1, Operation::Difference, Purpose::Answer)
}

pub(crate) fn zintercard(call: &mut Call<'_>) -> Outcome {
    combine(call, 1, Operation::Intersection, Purpose::Count)
}

pub(crate) fn zunionstore(call: &mut Call<'_>) -> Outcome {
    combine(call, 2, Operation::Union, Purpose::Store)
}

pub(crate) fn zinterstore(call: &mut Call<'_>) -> Outcome {
    combine(call, 2, Operation::Intersection, Purpose::Store)
}

pub(crate) fn zdiffstore(call: &mut Call<'_>) -> Outcome {
    combine(call, 2, Operation::Difference, Purpose::Store)
}

/// The number of inputs is at `count_at`, and they follow it.
fn combine(call: &mut Call<'_>, count_at: usize, operation: Operation, purpose: Purpose) -> Outcome {
    let args = &call.args[count_at + 1..];
    let count = arg::integer(call.args[count_at])?;
    if count < 1 {
        return Err(CommandError::NoInputKey { command: call.command });
    }
    let count =
        usize::try_from(count).ok().filter(|count| *count <= args.len()).ok_or(CommandError::Syntax)?;
    let (keys, options) = args.split_at(count);
    let sources = keys.iter().map(|key| Source::of(call.db.peek::<Value>(key)?));
    let sources: Vec<Source<'_>> = sources.collect::<Result<_, _>>()?;
    let options = Options::parse(options, count, operation, purpose)?;
    let weighed = sources.into_iter().zip(&options.weights);
    let mut inputs: Vec<Input<'_>> =
        weighed.map(|(source, weight)| Input { source, weight: *weight }).collect();
    if operation != Operation::Difference {
        inputs.sort_by_key(|input| input.source.len());
    }
    match purpose {
        Purpose::Count => {
            let limit = if options.limit == 0 { usize::MAX } else { options.limit };
            let count = intersection(&inputs, options.aggregate).take(limit).count();
            call.reply.count(count);
        }
        Purpose::Answer => {
            let found = sorted(of(operation, &inputs, options.aggregate));
            zrange::show(&mut call.reply, options.show, found.len(), found.iter().map(Scored::ranked));
        }
        Purpose::Store => {
            let found = sorted(of(operation, &inputs, options.aggregate));
            call.db.was_read();
            replace(call, call.args[1], &found);
        }
    }
    Ok(())
}

fn of<'a>(operation: Operation, inputs: &[Input<'a>], aggregate: Aggregate) -> Vec<(&'a [u8], f64)> {
    match operation {
        Operation::Union => union(inputs, aggregate),
        Operation::Intersection => intersection(inputs, aggregate).collect(),
        Operation::Difference => difference(inputs),
    }
}

/// 0 times infinity weighs nothing.
fn weighed(weight: f64, score: f64) -> f64 {
    let product = weight * score;
    if product.is_nan() { 0.0 } else { product }
}

fn union<'a>(inputs: &[Input<'a>], aggregate: Aggregate) -> Vec<(&'a [u8], f64)> {
    let mut scores: HashMap<&[u8], f64> = HashMap::new();
    for Input { source, weight } in inputs {
        for (member, score) in source.members() {
            let score = weighed(*weight, score);
            scores.entry(member).and_modify(|before| *before = aggregate.of(*before, score)).or_insert(score);
        }
    }
    scores.into_iter().collect()
}

fn intersection<'i, 'a>(
    inputs: &'i [Input<'a>],
    aggregate: Aggregate,
) -> impl Iterator<Item = (&'a [u8], f64)> + use<'i, 'a> {
    let (first, others) = inputs.split_first().expect("there is at least one input");
    first.source.members().filter_map(move |(member, score)| {
        let others = others.iter().map(|other| Some(other.weight * other.source.score(member)?));
        let first = Some(weighed(first.weight, score));
        others.fold(first, |sum, score| Some(aggregate.of(sum?, score?))).map(|score| (member, score))
    })
}

fn difference<'a>(inputs: &[Input<'a>]) -> Vec<(&'a [u8], f64)> {
    let (first, others) = inputs.split_first().expect("there is at least one input");
    let in_none =
        |(member, _): &(&[u8], f64)| others.iter().all(|other| other.source.score(member).is_none());
    first.source.members().filter(in_none).collect()
}

/// As a sorted set has them.
fn sorted(found: Vec<(&[u8], f64)>) -> Vec<Scored> {
    let mut scored: Vec<Scored> =
        ticking(found).map(|(member, score)| Scored { member: Arc::from(member), score }).collect();
    let compare = |a: &Scored, b: &Scored| a.score.partial_cmp(&b.score).expect("no score is NaN");
    scored.sort_unstable_by(|a, b| compare(a, b).then_with(|| a.member.cmp(&b.member)));
    scored
}

/// Puts these members under a key in place of whatever it holds, and answers how many they are.
pub(crate) fn replace(call: &mut Call<'_>, key: &[u8], found: &[Scored]) {
    if call.db.exists(key) {
        call.db.record(Effect::Delete { key });
    }
    if !found.is_empty() {
        // There is one zero, as everywhere.
        let members: Vec<(f64, &[u8])> =
            ticking(found).map(|s| (arg::one_zero(s.score), &*s.member)).collect();
        call.db.record(Effect::ZsetAdd { key, members: Items::new(&members) });
    }
    call.reply.count(found.len());
}
