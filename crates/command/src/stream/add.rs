//! Entries added and deleted, and ids set.

use super::error::StreamError;
use super::id::{self, NewId};
use super::trim::{TrimOptions, trim};
use super::{Outcome, show};
use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Items, Stream, StreamChange, StreamHead, StreamId};

pub(crate) fn xadd(call: &mut Call<'_>) -> Outcome {
    let mut options = TrimOptions::default();
    let (mut args, mut creates) = (&call.args[2..], true);
    let wanted = loop {
        let [first, rest @ ..] = args else { break None };
        if *first == b"*" {
            break Some(NewId::Any);
        }
        if let Some(rest) = options.take(args)? {
            args = rest;
        } else if arg::is(first, "nomkstream") {
            creates = false;
            args = rest;
        } else {
            break Some(id::new(first)?);
        }
    };
    let trimming = options.finish()?;
    let arity = CommandError::WrongArity { command: "xadd" };
    let (Some(wanted), [_, fields @ ..]) = (wanted, args) else { return Err(arity) };
    if fields.is_empty() || fields.len() % 2 == 1 {
        return Err(arity);
    }
    if wanted == NewId::This(StreamId::MIN) {
        return Err(StreamError::IdZero.into());
    }
    let key = call.args[1];
    let last_id = match call.db.read::<Stream>(key)? {
        Some(stream) => stream.head().last_id,
        None if creates => StreamId::MIN,
        None => {
            call.reply.null();
            return Ok(());
        }
    };
    if last_id == StreamId::MAX {
        return Err(StreamError::IdsExhausted.into());
    }
    let new = match wanted {
        NewId::Any if call.db.now_ms > last_id.ms => StreamId { ms: call.db.now_ms, seq: 0 },
        NewId::Any => last_id.after().ok_or(StreamError::IdsExhausted)?,
        NewId::Of { ms } if ms == last_id.ms => {
            let seq = last_id.seq.checked_add(1).ok_or(StreamError::IdTooSmall)?;
            StreamId { ms, seq }
        }
        NewId::Of { ms } => StreamId { ms, seq: 0 },
        NewId::This(id) => id,
    };
    if new <= last_id {
        return Err(StreamError::IdTooSmall.into());
    }
    let fields = show::pairs(fields)?;
    call.change(key, StreamChange::Add { id: new, fields: Items::new(&fields) });
    if let Some((to, by)) = trimming {
        trim(call, key, to, by)?;
    }
    show::stream_id(&mut call.reply, new);
    Ok(())
}

pub(crate) fn xdel(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let Some(stream) = call.db.read::<Stream>(key)? else {
        call.reply.int(0);
        return Ok(());
    };
    let ids: Vec<StreamId> = call.args[2..].iter().map(|arg| id::strict(arg)).collect::<Result<_, _>>()?;
    let mut found: Vec<StreamId> = ticking(ids).filter(|id| stream.get(*id).is_some()).collect();
    found.sort_unstable();
    found.dedup();
    if !found.is_empty() {
        call.change(key, StreamChange::Delete { ids: Items::new(&found) });
    }
    call.reply.count(found.len());
    Ok(())
}

pub(crate) fn xsetid(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let last_id = id::strict(call.args[2])?;
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    let mut options = &call.args[3..];
    while let [option, rest @ ..] = options {
        options = match rest {
            [value, rest @ ..] if arg::is(option, "entriesadded") => {
                let value = u64::try_from(arg::integer(value)?);
                added = Some(value.map_err(|_| StreamError::AddedNegative)?);
                rest
            }
            [value, rest @ ..] if arg::is(option, "maxdeletedid") => {
                max_deleted = id::strict(value)?;
                if last_id < max_deleted {
                    return Err(StreamError::SetBelowDeleted.into());
                }
                rest
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    let stream = call.db.read::<Stream>(key)?.ok_or(CommandError::NoSuchKey)?;
    if let Some(top) = stream.last_entry() {
        if last_id < top.id() {
            return Err(StreamError::SetBelowTop.into());
        }
        if added.is_some_and(|added| stream.len() > added) {
            return Err(StreamError::AddedBelowLength.into());
        }
    }
    let before = stream.head();
    let head = StreamHead {
        last_id,
        max_deleted: if max_deleted == StreamId::MIN { before.max_deleted } else { max_deleted },
        added: added.unwrap_or(before.added),
    };
    call.change(key, StreamChange::Head(head));
    call.reply.ok();
    Ok(())
}
