//! `XGROUP` and `XACK`.

use super::error::{StreamError, shown};
use super::id::{self, Missing};
use super::{Outcome, info, now_ms};
use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Content, Effect, Group, Items, Stream, StreamChange, StreamHead, StreamId};

const COMMAND: &str = "XGROUP";
const HELP: &[&str] = &[
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a new consumer group. Options are:",
    "    * MKSTREAM",
    "      Create the empty stream if it does not exist.",
    "    * ENTRIESREAD entries_read",
    "      Set the group's entries_read counter (internal use).",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a new consumer in the specified group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the specified consumer.",
    "DESTROY <key> <groupname>",
    "    Remove the specified group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the current group ID and entries_read counter.",
];
/// Subcommands, and their arguments as `COMMAND INFO` tells them.
const ARITY: &[(&str, &str, i32)] = &[
    ("create", "xgroup|create", -5),
    ("setid", "xgroup|setid", -5),
    ("destroy", "xgroup|destroy", 4),
    ("createconsumer", "xgroup|createconsumer", 5),
    ("delconsumer", "xgroup|delconsumer", 5),
    ("help", "xgroup|help", 2),
];

pub(super) fn check_subcommand(args: &[&[u8]]) -> Outcome {
    info::subcommand(args, COMMAND, ARITY).map(drop)
}

/// What stands behind an id.
struct Options {
    creates: bool,
    entries_read: i64,
}

pub(crate) fn xgroup(call: &mut Call<'_>) -> Outcome {
    let name = info::subcommand(call.args, COMMAND, ARITY)?;
    if name == "help" {
        info::help(&mut call.reply, COMMAND, HELP);
        return Ok(());
    }
    let (key, group) = (call.args[2], call.args[3]);
    let options = Options::parse(call.args, name)?;
    let stream = call.db.read::<Stream>(key)?;
    if stream.is_none() && !options.creates {
        return Err(StreamError::KeyMissing.into());
    }
    let found = stream.and_then(|stream| stream.group(group));
    let no_group = || StreamError::NoGroup { key: shown(key), group: shown(group) };
    let last_id = stream.map_or(StreamId::MIN, |stream| stream.head().last_id);
    let syntax = || info::syntax_error(call.args, COMMAND).into();
    match name {
        "create" => {
            if call.args.len() > 8 {
                return Err(syntax());
            }
            let at = if call.args[4] == b"$" { last_id } else { id::strict(call.args[4])? };
            let (exists, is_free) = (stream.is_some(), found.is_none());
            if !is_free {
                return Err(StreamError::BusyGroup.into());
            }
            if !exists {
                let content = Content::Stream(StreamHead::default());
                call.db.record(Effect::Put { key, expire_at_ms: None, content });
            }
            let entries_read = options.entries_read;
            call.change(key, StreamChange::Group { name: group, last_id: at, entries_read });
            call.reply.ok();
        }
        "setid" => {
            found.ok_or_else(no_group)?;
            if !matches!(call.args.len(), 5 | 7) {
                return Err(syntax());
            }
            let arg = call.args[4];
            let last_id = if arg == b"$" { last_id } else { id::loose(arg, Missing::Zero)? };
            let entries_read = options.entries_read;
            call.change(key, StreamChange::Group { name: group, last_id, entries_read });
            call.reply.ok();
        }
        "destroy" => {
            let found = found.is_some();
            if found {
                call.change(key, StreamChange::RemoveGroup { name: group });
            }
            call.reply.int(found.into());
        }
        "createconsumer" => {
            let name = call.args[4];
            let is_new = found.ok_or_else(no_group)?.consumer(name).is_none();
            if is_new {
                let seen_ms = now_ms(call);
                call.change(key, StreamChange::Consumer { group, name, seen_ms });
            }
            call.reply.int(is_new.into());
        }
        _ => {
            let name = call.args[4];
            let consumer = found.ok_or_else(no_group)?.consumer(name);
            let pending = consumer.map(ironcache_keyspace::Consumer::pending_len);
            if pending.is_some() {
                call.change(key, StreamChange::RemoveConsumer { group, name });
            }
            call.reply.count(pending.unwrap_or(0));
        }
    }
    Ok(())
}

impl Options {
    fn parse(args: &[&[u8]], name: &str) -> Result<Self, CommandError> {
        let mut it = Options { creates: false, entries_read: -1 };
        let takes_options = matches!(name, "create" | "setid");
        let mut options = args.get(5..).unwrap_or(&[]);
        while let [option, rest @ ..] = options {
            options = match rest {
                rest if name == "create" && arg::is(option, "mkstream") => {
                    it.creates = true;
                    rest
                }
                [read, rest @ ..] if takes_options && arg::is(option, "entriesread") => {
                    it.entries_read = arg::integer(read)?;
                    if it.entries_read < -1 {
                        return Err(StreamError::EntriesRead.into());
                    }
                    rest
                }
                _ => return Err(info::syntax_error(args, COMMAND).into()),
            };
        }
        Ok(it)
    }
}

pub(crate) fn xack(call: &mut Call<'_>) -> Outcome {
    let (key, group) = (call.args[1], call.args[2]);
    let of: Option<&Group> = call.db.read::<Stream>(key)?.and_then(|stream| stream.group(group));
    let Some(of) = of else {
        call.db.was_read();
        call.reply.int(0);
        return Ok(());
    };
    let ids: Vec<StreamId> = call.args[3..].iter().map(|arg| id::strict(arg)).collect::<Result<_, _>>()?;
    let mut pending: Vec<StreamId> = ticking(ids).filter(|id| of.nack(*id).is_some()).collect();
    pending.sort_unstable();
    pending.dedup();
    call.db.was_read();
    if !pending.is_empty() {
        call.change(key, StreamChange::Acknowledge { group, ids: Items::new(&pending) });
    }
    call.reply.count(pending.len());
    Ok(())
}
