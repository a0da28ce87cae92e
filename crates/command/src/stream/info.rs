//! `XINFO`, and what it shares with `XGROUP`.

use super::error::{StreamError, shown};
use super::lag::{Counted, known};
use super::{Outcome, now_ms, show};
use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Consumer, Group, Stream, StreamEntry, StreamId};
use ironcache_resp::Writer;

const COMMAND: &str = "XINFO";
const HELP: &[&str] = &[
    "CONSUMERS <key> <groupname>",
    "    Show consumers of <groupname>.",
    "GROUPS <key>",
    "    Show the stream consumer groups.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Show information about the stream.",
];
const ARITY: &[(&str, &str, i32)] = &[
    ("stream", "xinfo|stream", -3),
    ("groups", "xinfo|groups", 3),
    ("consumers", "xinfo|consumers", 4),
    ("help", "xinfo|help", 2),
];

/// The subcommand that the arguments name, with as many of them as it takes.
pub(super) fn subcommand(
    args: &[&[u8]],
    command: &'static str,
    arities: &[(&'static str, &'static str, i32)],
) -> Result<&'static str, CommandError> {
    let unknown = || StreamError::UnknownSubcommand { command, subcommand: cut(args[1]) };
    let found = arities.iter().find(|(name, ..)| arg::is(args[1], name));
    let (name, whole, arity) = *found.ok_or_else(unknown)?;
    let wanted = arity.unsigned_abs() as usize;
    let fits = if arity < 0 { args.len() >= wanted } else { args.len() == wanted };
    if fits { Ok(name) } else { Err(CommandError::WrongArity { command: whole }) }
}

pub(super) fn check_subcommand(args: &[&[u8]]) -> Outcome {
    subcommand(args, COMMAND, ARITY).map(drop)
}

/// Options that a subcommand does not have.
pub(super) fn syntax_error(args: &[&[u8]], command: &'static str) -> StreamError {
    StreamError::SubcommandSyntax { command, subcommand: cut(args[1]) }
}

/// As much of a word as errors show.
fn cut(word: &[u8]) -> String {
    shown(&word[..word.len().min(128)])
}

pub(super) fn help(reply: &mut Writer<'_>, command: &str, lines: &[&str]) {
    reply.array(lines.len() + 3);
    reply.simple(&format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().chain(&["HELP", "    Prints this help."]).for_each(|line| reply.simple(line));
}

pub(crate) fn xinfo(call: &mut Call<'_>) -> Outcome {
    let name = subcommand(call.args, COMMAND, ARITY)?;
    if name == "help" {
        help(&mut call.reply, COMMAND, HELP);
        return Ok(());
    }
    let (key, now_ms) = (call.args[2], now_ms(call));
    let stream = call.db.read::<Stream>(key)?.ok_or(CommandError::NoSuchKey)?;
    let reply = &mut call.reply;
    match name {
        "groups" => groups(reply, stream),
        "consumers" => {
            let group = call.args[3];
            let no_group = || StreamError::NoGroup { key: shown(key), group: shown(group) };
            consumers(reply, stream.group(group).ok_or_else(no_group)?, now_ms);
        }
        _ => match full_count(call.args)? {
            None => brief(reply, stream),
            Some(count) => full(reply, stream, count),
        },
    }
    Ok(())
}

/// How much of everything `FULL` shows; `None` without it.
fn full_count(args: &[&[u8]]) -> Result<Option<usize>, CommandError> {
    const DEFAULT: usize = 10;
    let count = match args[3..] {
        [] => return Ok(None),
        [full] if arg::is(full, "full") => DEFAULT,
        [full, option, count] if arg::is(full, "full") && arg::is(option, "count") => {
            match usize::try_from(arg::integer(count)?) {
                Ok(0) => usize::MAX,
                Ok(count) => count,
                Err(_) => DEFAULT,
            }
        }
        _ => return Err(syntax_error(args, COMMAND).into()),
    };
    Ok(Some(count))
}

fn head(reply: &mut Writer<'_>, stream: &Stream) -> Counted {
    let counted = Counted::of(stream);
    let (blocks, nodes) = stream.tree();
    let head = stream.head();
    number(reply, "length", stream.len() as i64);
    number(reply, "radix-tree-keys", blocks as i64);
    number(reply, "radix-tree-nodes", nodes as i64);
    named_id(reply, "last-generated-id", head.last_id);
    named_id(reply, "max-deleted-entry-id", head.max_deleted);
    number(reply, "entries-added", head.added as i64);
    named_id(reply, "recorded-first-entry-id", counted.first_id());
    counted
}

fn brief(reply: &mut Writer<'_>, stream: &Stream) {
    reply.map(10);
    head(reply, stream);
    number(reply, "groups", stream.groups().len() as i64);
    for (name, entry) in [("first-entry", stream.first_entry()), ("last-entry", stream.last_entry())] {
        reply.bulk(name.as_bytes());
        match entry {
            Some(entry) => show::entry(reply, &entry),
            None => reply.null(),
        }
    }
}

fn full(reply: &mut Writer<'_>, stream: &Stream, count: usize) {
    reply.map(9);
    let counted = head(reply, stream);
    reply.bulk(b"entries");
    let all = ticking(stream.range(StreamId::MIN, StreamId::MAX));
    let entries: Vec<StreamEntry<'_>> = all.take(count).collect();
    show::entries(reply, &entries);
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for (name, group) in ticking(stream.groups()) {
        reply.map(7);
        text(reply, "name", name);
        progress(reply, &counted, group);
        number(reply, "pel-count", group.pending_len() as i64);
        reply.bulk(b"pending");
        reply.array(group.pending_len().min(count));
        for (id, nack) in ticking(group.pending(StreamId::MIN)).take(count) {
            reply.array(4);
            show::stream_id(reply, id);
            reply.bulk(group.owner(nack).name());
            reply.int(nack.delivered_ms);
            reply.int(nack.deliveries as i64);
        }
        reply.bulk(b"consumers");
        reply.array(group.consumers_len());
        ticking(group.consumers()).for_each(|consumer| full_consumer(reply, group, consumer, count));
    }
}

fn full_consumer(reply: &mut Writer<'_>, group: &Group, consumer: &Consumer, count: usize) {
    reply.map(4);
    text(reply, "name", consumer.name());
    number(reply, "seen-time", consumer.seen_ms());
    number(reply, "pel-count", consumer.pending_len() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending_len().min(count));
    for id in ticking(consumer.pending(StreamId::MIN)).take(count) {
        reply.array(3);
        show::stream_id(reply, id);
        let nack = group.nack(id);
        reply.int(nack.map_or(0, |nack| nack.delivered_ms));
        reply.int(nack.map_or(0, |nack| nack.deliveries as i64));
    }
}

fn groups(reply: &mut Writer<'_>, stream: &Stream) {
    let counted = Counted::of(stream);
    reply.array(stream.groups().len());
    for (name, group) in ticking(stream.groups()) {
        reply.map(6);
        text(reply, "name", name);
        number(reply, "consumers", group.consumers_len() as i64);
        number(reply, "pending", group.pending_len() as i64);
        progress(reply, &counted, group);
    }
}

/// Where a group is.
fn progress(reply: &mut Writer<'_>, counted: &Counted, group: &Group) {
    named_id(reply, "last-delivered-id", group.last_id());
    maybe(reply, "entries-read", known(group.entries_read()));
    maybe(reply, "lag", counted.lag(group));
}

fn consumers(reply: &mut Writer<'_>, group: &Group, now_ms: i64) {
    reply.array(group.consumers_len());
    for consumer in ticking(group.consumers()) {
        reply.map(3);
        text(reply, "name", consumer.name());
        number(reply, "pending", consumer.pending_len() as i64);
        number(reply, "idle", now_ms.wrapping_sub(consumer.seen_ms()).max(0));
    }
}

fn text(reply: &mut Writer<'_>, name: &str, text: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(text);
}

fn number(reply: &mut Writer<'_>, name: &str, number: i64) {
    reply.bulk(name.as_bytes());
    reply.int(number);
}

fn maybe(reply: &mut Writer<'_>, name: &str, number: Option<i64>) {
    reply.bulk(name.as_bytes());
    match number {
        Some(number) => reply.int(number),
        None => reply.null(),
    }
}

fn named_id(reply: &mut Writer<'_>, name: &str, id: StreamId) {
    reply.bulk(name.as_bytes());
    show::stream_id(reply, id);
}
