//! From a command to who executes it.
//!
//! *Invariant:* the order of the checks is Redis's: known, arity, authentication, queueing, slots, role.

use super::Door;
use super::client::{Client, Closing, Transaction};
use super::output::Excess;
use super::plane::Plane;
use super::server_commands;
use super::trouble::Trouble;
use crate::clock::wall_ms;
use ironcache_command::{Context, Flags, Lookups, Run, Spec, execute, lookup, unknown_command};
use ironcache_replication::Scope;
use ironcache_resp::Writer;
use ironcache_shard::{ReadFrom, Route};
use ironcache_types::{Level, Offset, Slot, key_slot};

/// Longest command, and longest transaction, in bytes: it is held whole until it is executed. Smaller, and the largest
/// value (512 MiB) could not be set; larger, and a few clients fill the memory with what they have not finished sending.
pub(crate) const COMMAND_BYTES_MAX: usize = 768 << 20;
/// What an argument costs besides its bytes while it is queued.
const QUEUED_ARG_BYTES: usize = 32;

/// What became of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Answered.
    Done,
    /// Not executed, not answered: try again when roles changed.
    Park,
    /// Not executed, not answered: try again when replicas have taken more of what was written before.
    Hold,
    /// `WAIT`: answered when enough replicas hold `offset`.
    Wait { replicas: usize, timeout_ms: u64, offset: Offset },
    /// Answered; then the connection closes.
    Close,
}

/// Runs one command, or says what it waits for. `args` has at least the name.
pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Turn {
    plane.stats.commands += 1;
    let Some(spec) = lookup(args[0]) else {
        if is_http(args[0]) {
            plane.warn_of_http(client.info.borrow().addr);
            return Turn::Close;
        }
        return refuse(client, out, &unknown_command(args));
    };
    if let Err(error) = spec.check_arity(args.len()) {
        return refuse_arity(client, spec, out, &error.to_string());
    }
    if !client.authenticated && !spec.flags.contains(Flags::NO_AUTH) {
        return refuse(client, out, "NOAUTH Authentication required.");
    }
    // Most commands are of the first level, and need no look at the log.
    if spec.level > Level::FIRST
        && let Err(error) = spec.check_level(plane.level())
    {
        return refuse(client, out, &error.to_string());
    }
    client.info.borrow_mut().last_command = spec.name;
    if let Some(transaction) = &mut client.transaction
        && !matches!(spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
    {
        return match queueable(plane, client.door, spec, args, reads(client.readonly, spec)) {
            Ok(()) => {
                let bytes: usize = args.iter().map(|arg| arg.len() + QUEUED_ARG_BYTES).sum();
                if transaction.bytes.saturating_add(bytes) > COMMAND_BYTES_MAX {
                    let text = format!("ERR a transaction above {COMMAND_BYTES_MAX} bytes");
                    return refuse(client, out, &text);
                }
                transaction.bytes += bytes;
                transaction.commands.push(args.iter().map(|arg| arg.to_vec()).collect());
                Writer::new(out, client.protocol).simple("QUEUED");
                Turn::Done
            }
            Err(Refusal::Park) => Turn::Park,
            Err(Refusal::Hold) => Turn::Hold,
            Err(Refusal::Text(text)) => refuse(client, out, &text),
        };
    }
    match spec.run {
        Run::Data(_) => run_data(plane, client, spec, args, out),
        Run::Server => server_commands::run(plane, client, spec, args, out),
    }
}

/// Is this the start of an HTTP request that carries commands? A web page can have a browser send a `POST` here
/// whose body are commands; a request of any other method has a `Host:` line before its body.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// A wrong number of arguments. As in Redis, an `EXEC` that is refused ends the transaction.
fn refuse_arity(client: &mut Client, spec: &Spec, out: &mut Vec<u8>, text: &str) -> Turn {
    if spec.name != "exec" {
        return refuse(client, out, text);
    }
    client.forget_transaction();
    let why = text.strip_prefix("ERR ").unwrap_or(text);
    refuse(client, out, &format!("EXECABORT Transaction discarded because of: {why}"))
}

/// Answers with an error. Inside `MULTI` that spoils the transaction.
pub(super) fn refuse(client: &mut Client, out: &mut Vec<u8>, text: &str) -> Turn {
    if let Some(transaction) = &mut client.transaction {
        transaction.spoilt = true;
    }
    refuse_alone(client, out, text)
}

/// Answers with an error that is about no command of the transaction: as in Redis, `EXEC` runs what was queued.
pub(super) fn refuse_alone(client: &Client, out: &mut Vec<u8>, text: &str) -> Turn {
    Writer::new(out, client.protocol).error(text);
    Turn::Done
}

/// Answers a command that was held back for too long. It was not executed and never will be; nor will the
/// transaction that it belongs to.
pub(super) fn try_again(plane: &mut Plane, client: &mut Client, name: &[u8], out: &mut Vec<u8>, why: &str) {
    plane.stats.tryagain += 1;
    if name.eq_ignore_ascii_case(b"exec") {
        client.forget_transaction();
    }
    refuse(client, out, &format!("TRYAGAIN {why}; the command was not executed"));
}

/// The same, when it is not this shard that is between two primaries: no leader tells who serves.
pub(super) fn cluster_down(
    plane: &mut Plane,
    client: &mut Client,
    name: &[u8],
    out: &mut Vec<u8>,
    why: Trouble,
) {
    plane.stats.clusterdown += 1;
    if name.eq_ignore_ascii_case(b"exec") {
        client.forget_transaction();
    }
    refuse(client, out, &format!("CLUSTERDOWN {why}; the command was not executed"));
}

enum Refusal {
    Park,
    Hold,
    Text(String),
}

fn queueable(plane: &Plane, door: Door, spec: &Spec, args: &[&[u8]], read: ReadFrom) -> Result<(), Refusal> {
    match slot_of(spec, args)? {
        None => Ok(()),
        Some(slot) => admit(plane, door, slot, read),
    }
}

/// Where a command of this connection may be answered.
fn reads(readonly: bool, spec: &Spec) -> ReadFrom {
    if readonly && !spec.flags.contains(Flags::WRITE) { ReadFrom::Replica } else { ReadFrom::Primary }
}

/// The one slot of a command's keys; `None` without keys.
fn slot_of(spec: &Spec, args: &[&[u8]]) -> Result<Option<Slot>, Refusal> {
    let mut slot = None;
    for key in spec.keys(args) {
        let this = key_slot(key);
        if *slot.get_or_insert(this) != this {
            return Err(Refusal::Text("CROSSSLOT Keys in request don't hash to the same slot".to_owned()));
        }
    }
    Ok(slot)
}

fn admit(plane: &Plane, door: Door, slot: Slot, read: ReadFrom) -> Result<(), Refusal> {
    match plane.route(slot, read) {
        Route::Execute => Ok(()),
        Route::Park => Err(Refusal::Park),
        // As Redis writes an IPv6 address, and its clients read it: without brackets.
        Route::Moved(node) => {
            let (host, port) = plane.client_addr(node, door);
            Err(Refusal::Text(format!("MOVED {slot} {host}:{port}")))
        }
        Route::Unowned => Err(Refusal::Text("CLUSTERDOWN Hash slot not served".to_owned())),
    }
}

fn run_data(
    plane: &mut Plane,
    client: &mut Client,
    spec: &'static Spec,
    args: &[&[u8]],
    out: &mut Vec<u8>,
) -> Turn {
    let writes = spec.flags.contains(Flags::WRITE);
    let admitted = slot_of(spec, args).and_then(|slot| match slot {
        Some(slot) => admit(plane, client.door, slot, reads(client.readonly, spec)).map(|()| Some(slot)),
        None if writes => match plane.route_without_keys() {
            Route::Execute => Ok(None),
            Route::Park => Err(Refusal::Park),
            Route::Moved(_) | Route::Unowned => {
                Err(Refusal::Text("READONLY You can't write against a read only replica.".to_owned()))
            }
        },
        None => Ok(None),
    });
    let slot = match admitted {
        Ok(slot) => slot,
        Err(Refusal::Park) => return Turn::Park,
        Err(Refusal::Hold) => return Turn::Hold,
        Err(Refusal::Text(text)) => {
            if text.starts_with("MOVED") {
                plane.stats.moved += 1;
            }
            return refuse(client, out, &text);
        }
    };
    if writes && !plane.has_enough_in_sync() {
        return refuse(client, out, "NOREPLICAS Not enough good replicas to write.");
    }
    if writes && plane.is_backed_up() {
        return Turn::Hold;
    }
    execute_one(plane, client, spec, args, out);
    finish(plane, client, slot);
    Turn::Done
}

fn execute_one(plane: &mut Plane, client: &Client, spec: &'static Spec, args: &[&[u8]], out: &mut Vec<u8>) {
    let context = Context {
        now_ms: wall_ms(),
        random: plane.random(),
        expiry: plane.expiry(),
        protocol: client.protocol,
    };
    let Lookups { hits, misses } =
        execute(spec, args, &mut plane.keyspace, &context, out, &mut plane.effects);
    plane.stats.hits += hits;
    plane.stats.misses += misses;
}

/// Puts what was executed into the stream, and notes what the reply depends on.
fn finish(plane: &mut Plane, client: &mut Client, slot: Option<Slot>) {
    if !plane.effects.is_empty() {
        let end = plane.commit(slot.map_or(Scope::All, Scope::Slot));
        client.owed.write = end.0;
        client.last_write = end.0;
    } else if plane.primary().is_some() {
        client.owed.read = client.owed.read.max(plane.written(slot));
    }
}

/// `EXEC`: everything queued, indivisibly.
pub(super) fn exec(plane: &mut Plane, client: &mut Client, out: &mut Vec<u8>) -> Turn {
    let Some(transaction) = &client.transaction else {
        return refuse(client, out, "ERR EXEC without MULTI");
    };
    if transaction.spoilt {
        client.forget_transaction();
        return refuse(client, out, "EXECABORT Transaction discarded because of previous errors.");
    }
    let slot = match transaction_slot(plane, transaction, client.door, client.readonly) {
        Ok(slot) => slot,
        Err(Refusal::Park) => return Turn::Park,
        Err(Refusal::Hold) => return Turn::Hold,
        Err(Refusal::Text(text)) => {
            client.forget_transaction();
            return refuse(client, out, &text);
        }
    };
    let transaction = client.transaction.take().unwrap_or_default();
    let watched = std::mem::take(&mut client.watched);
    let elsewhere = !watched.is_empty() && client.watched_in != plane.primary_epoch();
    if elsewhere || watched.iter().any(|&(slot, seen)| plane.written(Some(Slot(slot))) != seen) {
        Writer::new(out, client.protocol).null_array();
        return Turn::Done;
    }
    Writer::new(out, client.protocol).array(transaction.commands.len());
    let most_bytes = plane.config.output_bytes_max();
    let mut dropped_bytes = 0;
    for command in &transaction.commands {
        let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        let spec = lookup(args[0]).expect("only known commands are queued");
        match spec.run {
            Run::Data(_) => execute_one(plane, client, spec, &args, out),
            Run::Server => match server_commands::run(plane, client, spec, &args, out) {
                // Inside a transaction nothing waits: it says who holds the last write now.
                Turn::Wait { offset, .. } => {
                    let holders = plane.replicas_that_hold(offset);
                    Writer::new(out, client.protocol).count(holders);
                }
                Turn::Done | Turn::Park | Turn::Hold | Turn::Close => {}
            },
        }
        if out.len() > most_bytes {
            dropped_bytes += out.len();
            out.clear();
        }
    }
    finish(plane, client, slot);
    if dropped_bytes == 0 {
        return Turn::Done;
    }
    // It is executed, all of it, and there is no room to say so: as any other client that asks for too much at a time, this
    // one is closed.
    let bytes = dropped_bytes + std::mem::take(out).len();
    plane.clients.end(&client.info.borrow(), Closing::Output(Excess::Hard { bytes }));
    Turn::Close
}

/// `WATCH`: any write to the slots of the keys, and any change of primary, makes `EXEC` answer null. A slot holds few
/// keys, so a transaction is retried a little more often than a watch by key would have it, and never wrongly
/// executed.
pub(super) fn watch(
    plane: &Plane,
    client: &mut Client,
    spec: &Spec,
    args: &[&[u8]],
    out: &mut Vec<u8>,
) -> Turn {
    if client.transaction.is_some() {
        return refuse_alone(client, out, "ERR WATCH inside MULTI is not allowed");
    }
    let admitted = slot_of(spec, args).and_then(|slot| match slot {
        Some(slot) => admit(plane, client.door, slot, ReadFrom::Primary).map(|()| slot),
        None => Err(Refusal::Text("ERR WATCH without keys".to_owned())),
    });
    match admitted {
        Ok(slot) => {
            if client.watched.is_empty() {
                client.watched_in = plane.primary_epoch();
            }
            // The first look counts: what was written since is what it is watched for.
            if let Err(at) = client.watched.binary_search_by_key(&slot.0, |(slot, _)| *slot) {
                client.watched.insert(at, (slot.0, plane.written(Some(slot))));
            }
            Writer::new(out, client.protocol).ok();
            Turn::Done
        }
        Err(Refusal::Park) => Turn::Park,
        Err(Refusal::Hold) => Turn::Hold,
        Err(Refusal::Text(text)) => refuse(client, out, &text),
    }
}

fn transaction_slot(
    plane: &Plane,
    transaction: &Transaction,
    door: Door,
    readonly: bool,
) -> Result<Option<Slot>, Refusal> {
    let mut slot = None;
    let mut writes = false;
    for command in &transaction.commands {
        let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        let spec = lookup(args[0]).expect("only known commands are queued");
        writes |= spec.flags.contains(Flags::WRITE);
        if let Some(this) = slot_of(spec, &args)?
            && *slot.get_or_insert(this) != this
        {
            return Err(Refusal::Text("CROSSSLOT Keys in request don't hash to the same slot".to_owned()));
        }
    }
    match slot {
        Some(slot) => {
            let read = if readonly && !writes { ReadFrom::Replica } else { ReadFrom::Primary };
            admit(plane, door, slot, read)?;
        }
        None if writes && !plane.is_serving() => return Err(Refusal::Park),
        None => {}
    }
    if writes && !plane.has_enough_in_sync() {
        return Err(Refusal::Text("NOREPLICAS Not enough good replicas to write.".to_owned()));
    }
    if writes && plane.is_backed_up() {
        return Err(Refusal::Hold);
    }
    // A FLUSHALL or a KEYS inside touches more than the keys' slot.
    let whole = transaction
        .commands
        .iter()
        .any(|c| lookup(&c[0]).is_some_and(|spec| matches!(spec.run, Run::Data(_)) && spec.first_key == 0));
    Ok(if whole { None } else { slot })
}
