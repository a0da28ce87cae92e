//! Running sequences on both sides, and making short what differs.

use crate::compare::{first_difference, parted_at};
use crate::generate::{Generator, Sequence};
use crate::{Args, Side, pool, scripted, show};
use ironcache_resp::{Protocol, Value, parse_value};
use std::collections::BTreeSet;
use std::fmt;

/// How much is to be tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// That of the generator: it repeats what was tried.
    pub seed: u64,
    /// Commands, at least.
    pub commands: usize,
    /// Different differences after which it is enough.
    pub differences_max: usize,
    /// Whether each side also restores what the other dumps.
    pub dumps: bool,
}

/// What was tried, and what differed.
#[derive(Debug)]
pub struct Summary {
    pub seed: u64,
    pub sequences: usize,
    pub commands: usize,
    pub differences: Vec<Difference>,
}

/// A sequence that is answered differently, as short as it was made.
#[derive(Clone, Debug)]
pub struct Difference {
    pub protocol: Protocol,
    pub commands: Vec<Args>,
    /// What differs: the command, or the reading afterwards.
    pub what: Args,
    pub ours: Vec<u8>,
    pub theirs: Vec<u8>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, commands, what, ours, theirs } = self;
        writeln!(f, "in RESP{}:", protocol.number())?;
        for args in commands {
            writeln!(f, "  {}", show(args))?;
        }
        writeln!(f, "{}", show(what))?;
        writeln!(f, "  redis-server: {}", theirs.escape_ascii())?;
        write!(f, "  ironcache:    {}", ours.escape_ascii())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, sequences, commands, differences } = self;
        differences.iter().try_for_each(|difference| writeln!(f, "{difference}\n"))?;
        let count = differences.len();
        write!(f, "seed {seed}: {commands} commands in {sequences} sequences, {count} differ")
    }
}

/// Runs sequences on both sides until the plan is fulfilled.
///
/// # Errors
/// A side that does not answer, with the sequence it did not answer.
pub(crate) fn check(
    generator: &mut Generator<'_>,
    ours: &mut dyn Side,
    theirs: &mut dyn Side,
    plan: Plan,
) -> Result<Summary, String> {
    let mut summary = Summary { seed: plan.seed, sequences: 0, commands: 0, differences: Vec::new() };
    let mut seen = BTreeSet::new();
    while summary.commands < plan.commands && summary.differences.len() < plan.differences_max {
        let sequence = generator.sequence();
        summary.sequences += 1;
        summary.commands += sequence.commands.len();
        if let Some(difference) = differs(&sequence, ours, theirs, plan.dumps)? {
            if !seen.insert(sort_of(&difference)) {
                continue;
            }
            summary.differences.push(minimise(&sequence, difference, ours, theirs, plan.dumps)?);
        }
    }
    Ok(summary)
}

/// Differences of one sort are shown once.
fn sort_of(difference: &Difference) -> String {
    let first_line = |reply: &[u8]| {
        let line = reply.split(|b| *b == b'\r').next().unwrap_or_default();
        // Of other replies than errors only the kind: their values are as many as there are sequences.
        let told = if line.first() == Some(&b'-') { line } else { &line[..line.len().min(1)] };
        String::from_utf8_lossy(told).into_owned()
    };
    let called = scripted::inner(&difference.what);
    let what = called.as_ref().map_or(&difference.what, |(_, command)| command);
    let name = String::from_utf8_lossy(&what[0]).to_lowercase();
    let last = difference.commands.last().map(|args| String::from_utf8_lossy(&args[0]).to_lowercase());
    let cause = if name == "exec" { None } else { last.filter(|_| difference.what.len() == 2) };
    let how = called.as_ref().map(|(form, _)| form);
    format!("{name} {how:?} {cause:?} {} {}", first_line(&difference.ours), first_line(&difference.theirs))
}

fn differs(
    sequence: &Sequence,
    ours: &mut dyn Side,
    theirs: &mut dyn Side,
    dumps: bool,
) -> Result<Option<Difference>, String> {
    let Sequence { protocol, commands } = sequence;
    let told = |side: &str, error: String| {
        let shown: Vec<String> = commands.iter().map(|args| show(args)).collect();
        format!("{side}: {error}, after\n{}", shown.join("\n"))
    };
    let mut all = commands.clone();
    let readings = |name: &str| pool::KEYS.map(|key| vec![name.as_bytes().to_vec(), key.as_bytes().to_vec()]);
    all.extend(readings("TYPE"));
    all.extend(readings("PEXPIRETIME"));
    all.push(vec![b"DBSIZE".to_vec()]);
    let a = ours.run(*protocol, &all).map_err(|e| told("ironcache", e))?;
    let b = theirs.run(*protocol, &all).map_err(|e| told("redis-server", e))?;
    let difference = |all: &[Args], a: &[Vec<u8>], b: &[Vec<u8>]| {
        first_difference(all, a, b).map(|at| Difference {
            protocol: *protocol,
            commands: commands[..at.min(commands.len())].to_vec(),
            what: all[at].clone(),
            ours: a[at].clone(),
            theirs: b[at].clone(),
        })
    };
    let (told_a, told_b) = (ours.told(), theirs.told());
    if let Some(at) = parted_at(&all, &b) {
        // What was before it is compared all the same.
        return Ok(difference(&all[..at], &a[..at], &b[..at]));
    }
    if let Some(found) = difference(&all, &a, &b) {
        return Ok(Some(found));
    }
    let is_error = |reply: &Vec<u8>| reply.first() == Some(&b'-');
    // Where a departure is meant, what is told departs as well.
    let departs = |at: &usize| told_a[*at] != told_b[*at] && is_error(&a[*at]) == is_error(&b[*at]);
    if let Some(at) = (0..told_a.len().min(told_b.len())).find(departs) {
        return Ok(Some(Difference {
            protocol: *protocol,
            commands: commands[..at.min(commands.len())].to_vec(),
            what: all[at].clone(),
            ours: told_a[at].clone().into_bytes(),
            theirs: told_b[at].clone().into_bytes(),
        }));
    }
    let types = &b[commands.len()..][..pool::KEYS.len()];
    let contents: Vec<Args> =
        pool::KEYS.iter().zip(types).filter_map(|(key, kind)| content(key, kind)).collect();
    let a = ours.run(*protocol, &contents).map_err(|e| told("ironcache", e))?;
    let b = theirs.run(*protocol, &contents).map_err(|e| told("redis-server", e))?;
    if let Some(found) = difference(&contents, &a, &b) {
        return Ok(Some(Difference { commands: commands.clone(), ..found }));
    }
    if !dumps {
        return Ok(None);
    }
    // What one has dumped the other restores, under a name of its own.
    let reads: Vec<Args> =
        contents.iter().map(|read| vec![b"DUMP".to_vec(), read[key_at(read)].clone()]).collect();
    let dumped = |side: &mut dyn Side| side.run(Protocol::Resp2, &reads);
    let (a, b) = (
        dumped(ours).map_err(|e| told("ironcache", e))?,
        dumped(theirs).map_err(|e| told("redis-server", e))?,
    );
    let restored = |side: &mut dyn Side, dumps: &[Vec<u8>]| {
        let commands: Vec<Args> =
            contents.iter().zip(dumps).flat_map(|(read, dump)| restoring(read, dump)).collect();
        side.run(*protocol, &commands).map(|replies| (commands, replies))
    };
    let (shown, replies_a) = restored(ours, &b).map_err(|e| told("ironcache", e))?;
    let (_, b) = restored(theirs, &a).map_err(|e| told("redis-server", e))?;
    let a = replies_a;
    Ok(difference(&shown, &a, &b).map(|found| Difference { commands: commands.clone(), ..found }))
}

/// Commands that restore what a reply to `DUMP` brought, and read it.
fn restoring(read: &Args, dump: &[u8]) -> [Args; 2] {
    const RESTORED: &[u8] = b"{k}restored";
    let payload = match parse_value(dump) {
        Ok(Some((Value::Bulk(payload), _))) => payload,
        _ => Vec::new(),
    };
    let mut read = read.clone();
    let at = key_at(&read);
    read[at] = RESTORED.to_vec();
    [vec![b"RESTORE".to_vec(), RESTORED.to_vec(), b"0".to_vec(), payload, b"REPLACE".to_vec()], read]
}

/// Where the key is of what reads a whole value.
fn key_at(read: &Args) -> usize {
    if read[0] == b"XINFO" { 2 } else { 1 }
}

/// What reads the whole value of a key of this type.
fn content(key: &str, kind: &[u8]) -> Option<Args> {
    let Ok(Some((Value::Simple(kind), _))) = parse_value(kind) else { return None };
    let line = match &*kind {
        "string" => vec!["GET", key],
        "list" => vec!["LRANGE", key, "0", "-1"],
        "set" => vec!["SMEMBERS", key],
        "zset" => vec!["ZRANGE", key, "0", "-1", "WITHSCORES"],
        "hash" => vec!["HGETALL", key],
        "stream" => vec!["XINFO", "STREAM", key, "FULL", "COUNT", "0"],
        _ => return None,
    };
    Some(line.into_iter().map(|word| word.as_bytes().to_vec()).collect())
}

/// Leaves out what need not be there for the last command to differ.
fn minimise(
    sequence: &Sequence,
    mut shortest: Difference,
    ours: &mut dyn Side,
    theirs: &mut dyn Side,
    dumps: bool,
) -> Result<Difference, String> {
    let sort = sort_of(&shortest);
    let mut commands = sequence.commands.clone();
    let mut at = commands.len();
    while let Some(next) = at.checked_sub(1) {
        at = next;
        // The first one empties the dataset; transactions stay whole.
        if at == 0
            || ["multi", "exec"].iter().any(|name| commands[at][0].eq_ignore_ascii_case(name.as_bytes()))
        {
            continue;
        }
        let mut fewer = commands.clone();
        fewer.remove(at);
        let tried = Sequence { protocol: sequence.protocol, commands: fewer };
        if let Some(found) = differs(&tried, ours, theirs, dumps)?.filter(|found| sort_of(found) == sort) {
            shortest = found;
            commands = tried.commands;
        }
    }
    Ok(shortest)
}
