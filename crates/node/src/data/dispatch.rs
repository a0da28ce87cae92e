//! Has the session take a request, and does what that asks for: what is executed, and what that means for the reply.
//!
//! *Invariant:* nothing is refused here: a command that gets here is executed.

use super::blocked;
use super::client::{Client, Closing};
use super::memory::OF_A_COMMAND;
use super::output::Excess;
use super::plane::Plane;
use super::scripts::{self, Began, Touched};
use super::server_commands;
use super::site::Here;
use super::statistics;
use super::trouble::Trouble;
use crate::clock::wall_ms;
use ironcache_acl::Context;
use ironcache_command::{Attempt, Context as CallContext, Lookups, Run, Spec, attempt, execute, lookup};
use ironcache_replication::Scope;
use ironcache_resp::{Protocol, Writer};
use ironcache_session::{
    Job, Queued, Refusal, Stop, Touches, Turn, Wake, Within, Woken, is_script, monitor_line,
};
use ironcache_types::Slot;
use std::fmt::Display;

/// Runs one command, whose name is the first argument; `None` if it is answered.
#[inline]
pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Option<Stop> {
    let start = out.len();
    let stop = take(plane, client, args, out);
    if client.session.needs_care() {
        take_care(client, args[0], stop, start, out);
    }
    stop
}

#[cold]
fn take_care(client: &mut Client, name: &[u8], stop: Option<Stop>, start: usize, out: &mut Vec<u8>) {
    match stop {
        // It is taken again, or goes on.
        Some(Stop::Park | Stop::Hold | Stop::Pause | Stop::Slow) => {}
        Some(Stop::Blocked | Stop::Order | Stop::Close) | None => client.session.caching_is_over(name),
    }
    if client.session.is_mute() {
        drop_reply(client, stop, start, out);
    }
}

/// `CLIENT REPLY`: nobody is told what it came to.
#[cold]
fn drop_reply(client: &mut Client, stop: Option<Stop>, start: usize, out: &mut Vec<u8>) {
    match stop {
        // It is not answered yet.
        Some(Stop::Park | Stop::Hold | Stop::Pause | Stop::Blocked | Stop::Order | Stop::Slow) => {}
        // What confirms a subscription is a message, and no reply.
        Some(Stop::Close) | None => {
            let is_error = out.get(start) == Some(&b'-');
            if is_error || !client.session.is_told_by_messages() {
                out.truncate(start);
            }
            client.session.dropped();
        }
    }
}

#[inline]
fn take(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Option<Stop> {
    let (start, since_ns) = (out.len(), plane.statistics.stopwatch.ns());
    if plane.is_above_limit() {
        plane.make_room(OF_A_COMMAND);
    }
    let stop = match client.session.take(args, &Here { plane, door: client.door }, out) {
        Ok(Turn::Run(job)) => match perform(plane, client, job, args, out) {
            // What it comes to is noted when it has.
            stop @ Some(Stop::Slow) => return stop,
            stop => stop,
        },
        Ok(Turn::Answered) => None,
        Ok(Turn::Queued) => return None,
        Ok(Turn::Stop(stop @ (Stop::Park | Stop::Hold | Stop::Pause))) => return Some(stop),
        Ok(Turn::Stop(stop @ (Stop::Blocked | Stop::Order | Stop::Slow | Stop::Close))) => Some(stop),
        Ok(Turn::Http) => {
            plane.warn_of_http(client.info.borrow().addr);
            return Some(Stop::Close);
        }
        Err(refusal) => {
            refuse(plane, client, &refusal, out);
            note_refused(plane, client, &refusal, args, since_ns, &out[start..]);
            return None;
        }
    };
    if let Some(spec) = client.session.last() {
        statistics::executed(plane, client, spec, args, since_ns, out.get(start..));
    }
    if plane.clients.is_monitored() {
        tell_monitors(plane, client, args);
    }
    if stop == Some(Stop::Blocked) && client.seat.is_none() {
        plane.blocked.seat(client);
    }
    if plane.blocked.has_ready() {
        blocked::serve(plane);
    }
    stop
}

#[inline]
fn perform(
    plane: &mut Plane,
    client: &mut Client,
    job: Job,
    args: &[&[u8]],
    out: &mut Vec<u8>,
) -> Option<Stop> {
    match job {
        Job::Data { spec, slot } => {
            execute_one(plane, client, spec, args, out);
            finish(plane, client, slot);
        }
        Job::Blocking { spec, slot } => return attempt_one(plane, client, spec, slot, args, out),
        Job::Script { spec, slot, keys } => {
            let of = (spec, slot, keys);
            let Began { stop, touched } = scripts::begin(plane, client, of, args, Within::Nothing, out);
            if touched != Touched::Nothing {
                finish(plane, client, touched.slot());
            }
            return stop;
        }
        Job::Transaction { commands, slot } => return transact(plane, client, &commands, slot, out),
        Job::Query(query) => {
            server_commands::run(plane, client, query, args, out);
            return client.leaves.then_some(Stop::Close);
        }
        Job::Listen(to) => plane.clients.listen(client, to),
        Job::Order(order) => {
            client.order = Some(order);
            return Some(Stop::Order);
        }
    }
    None
}

#[cold]
fn tell_monitors(plane: &mut Plane, client: &Client, args: &[&[u8]]) {
    // Of a script they were told when it began: what it calls comes after it.
    if !lookup(args[0]).is_some_and(is_script) {
        let addr = client.info.borrow().addr;
        show_monitors(plane, &addr, args);
    }
}

/// Shows monitors a command, and whose it is.
#[cold]
pub(super) fn show_monitors(plane: &mut Plane, whose: &impl Display, args: &[&[u8]]) {
    let Some(line) = monitor_line(wall_ms(), whose, args) else { return };
    let mut message = Vec::new();
    // The same bytes in either protocol.
    Writer::new(&mut message, Protocol::Resp2).simple(&line);
    plane.clients.tell_monitors(
        &message,
        plane.config.client_output_buffer_limit,
        plane.config.maxmemory_clients,
    );
}

/// What was refused before it began was not executed; the rest failed.
#[cold]
fn note_refused(
    plane: &mut Plane,
    client: &Client,
    refusal: &Refusal,
    args: &[&[u8]],
    since_ns: u64,
    reply: &[u8],
) {
    let spec = lookup(args[0]).map(|spec| spec.named(args));
    match spec {
        Some(spec) if !refusal.is_rejection() => {
            statistics::executed(plane, client, spec, args, since_ns, Some(reply));
        }
        Some(_) | None => plane.statistics.tally.rejected(spec, reply),
    }
}

/// Its reply is written, and says that it was held back for too long.
fn note_given_up(plane: &mut Plane, name: &[u8], reply: &[u8]) {
    plane.statistics.tally.rejected(lookup(name), reply);
}

fn refuse(plane: &mut Plane, client: &mut Client, refusal: &Refusal, out: &mut Vec<u8>) {
    match refusal {
        Refusal::Moved(_) => plane.stats.moved += 1,
        Refusal::Denied(_) | Refusal::ExecDenied(_) | Refusal::WrongPassword { .. } => {
            plane.remember_refused(client, refusal)
        }
        _ => {}
    }
    client.session.refuse(refusal, out);
}

/// Answers a command that was held back for too long: it was not executed and never will be.
pub(super) fn try_again(plane: &mut Plane, client: &mut Client, name: &[u8], out: &mut Vec<u8>, why: &str) {
    plane.stats.tryagain += 1;
    let start = out.len();
    client.session.give_up(name, &format_args!("TRYAGAIN {why}; the command was not executed"), out);
    note_given_up(plane, name, &out[start..]);
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
    let start = out.len();
    client.session.give_up(name, &format_args!("CLUSTERDOWN {why}; the command was not executed"), out);
    note_given_up(plane, name, &out[start..]);
}

/// Lets the slow script of a client run for a turn; `None` once it is answered.
pub(super) fn go_on(plane: &mut Plane, client: &mut Client, out: &mut Vec<u8>) -> Option<Stop> {
    let start = out.len();
    let stop = scripts::go_on(plane, client, out);
    if client.session.needs_care() {
        take_care(client, b"eval", stop, start, out);
    }
    if plane.blocked.has_ready() {
        blocked::serve(plane);
    }
    stop
}

/// Something happened that may answer what a client waits for. Answers whether it waits on.
pub(super) fn wake(plane: &mut Plane, client: &mut Client, wake: Wake, out: &mut Vec<u8>) -> Waiting {
    let start = out.len();
    match client.session.wake(wake, &Here { plane, door: client.door }, out) {
        Woken::Still => return Waiting::Still,
        Woken::Answered => {}
        Woken::Refused(refusal) => refuse(plane, client, &refusal, out),
    }
    if client.session.is_mute() {
        drop_reply(client, None, start, out);
    }
    plane.blocked.leave(client.session.id());
    client.seat = None;
    Waiting::Over
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Still,
    /// Its reply is written.
    Over,
}

/// A command that waits if it finds nothing.
fn attempt_one(
    plane: &mut Plane,
    client: &mut Client,
    spec: &'static Spec,
    slot: Option<Slot>,
    args: &[&[u8]],
    out: &mut Vec<u8>,
) -> Option<Stop> {
    let context = context(plane, client);
    let Plane { keyspace, effects, .. } = plane;
    let Attempt { lookups, waits } = if client.session.touches() == Touches::No {
        keyspace.without_use(|keyspace| attempt(spec, args, keyspace, &context, out, effects))
    } else {
        attempt(spec, args, keyspace, &context, out, effects)
    };
    plane.stats.hits += lookups.hits;
    plane.stats.misses += lookups.misses;
    plane.executed(client, spec, args);
    // Keys that had expired may be gone, also if it waits.
    finish(plane, client, slot);
    // Without a key it has found a mistake, and nothing to wait for.
    let (waits, slot) = waits.zip(slot)?;
    blocked::wait(plane, client, spec, args, waits, slot);
    Some(Stop::Blocked)
}

fn context(plane: &mut Plane, client: &Client) -> CallContext {
    CallContext {
        now_ms: plane.statistics.stopwatch.wall_ms(),
        random: plane.random(),
        expiry: plane.expiry(),
        protocol: client.session.protocol(),
    }
}

fn execute_one(plane: &mut Plane, client: &Client, spec: &'static Spec, args: &[&[u8]], out: &mut Vec<u8>) {
    let context = context(plane, client);
    let Plane { keyspace, effects, .. } = plane;
    // `CLIENT NO-TOUCH`, but for the command that does nothing else.
    let Lookups { hits, misses } = if client.session.touches() == Touches::No && spec.name != "touch" {
        keyspace.without_use(|keyspace| execute(spec, args, keyspace, &context, out, effects))
    } else {
        execute(spec, args, keyspace, &context, out, effects)
    };
    plane.stats.hits += hits;
    plane.stats.misses += misses;
    plane.executed(client, spec, args);
}

/// Puts what was executed into the stream, and notes what the reply depends on.
pub(super) fn finish(plane: &mut Plane, client: &mut Client, slot: Option<Slot>) {
    if !plane.effects.is_empty() {
        let end = plane.commit(slot.map_or(Scope::All, Scope::Slot));
        client.owed.write = end.0;
        client.session.wrote(end);
    } else if plane.primary().is_some() {
        client.owed.read = client.owed.read.max(plane.written(slot));
    }
}

/// `EXEC`: everything queued, indivisibly.
fn transact(
    plane: &mut Plane,
    client: &mut Client,
    commands: &[Queued],
    mut slot: Option<Slot>,
    out: &mut Vec<u8>,
) -> Option<Stop> {
    Writer::new(out, client.session.protocol()).array(commands.len());
    let most_bytes = plane.config.output_bytes_max();
    let mut dropped_bytes = 0;
    for command in commands {
        let args = command.args();
        let (start, since_ns) = (out.len(), plane.statistics.stopwatch.ns());
        // Its rules may have changed since it was queued.
        match (client.session.check(command.spec, &args), command.spec.run) {
            (Ok(()), Run::Data(_)) => execute_one(plane, client, command.spec, &args, out),
            (Ok(()), Run::Server) => match serve_queued(plane, client, command.spec, &args, out) {
                // A script may have gone beyond the keys that the transaction named.
                Touched::One(touched) => slot = slot.filter(|slot| *slot == touched),
                Touched::Any => slot = None,
                Touched::Nothing => {}
            },
            (Err(denied), _) => {
                Writer::new(out, client.session.protocol()).error(&denied.at_exec());
                plane.remember_denied(client, &denied, Context::Transaction);
                plane.statistics.tally.rejected(Some(command.spec.named(&args)), &out[start..]);
                continue;
            }
        }
        let spec = command.spec.named(&args);
        statistics::executed(plane, client, spec, &args, since_ns, out.get(start..));
        if plane.clients.is_monitored() {
            tell_monitors(plane, client, &args);
        }
        if out.len() > most_bytes {
            dropped_bytes += out.len();
            out.clear();
        }
    }
    finish(plane, client, slot);
    if dropped_bytes == 0 {
        return client.leaves.then_some(Stop::Close);
    }
    // It is executed, all of it, and there is no room to say so: as any other client that asks for too much at a time, this
    // one is closed.
    let bytes = dropped_bytes + std::mem::take(out).len();
    plane.clients.end(&client.info.borrow(), Closing::Output(Excess::Hard { bytes }));
    Some(Stop::Close)
}

/// A command of a transaction that is none of the data.
fn serve_queued(
    plane: &mut Plane,
    client: &mut Client,
    spec: &'static Spec,
    args: &[&[u8]],
    out: &mut Vec<u8>,
) -> Touched {
    let here = Here { plane, door: client.door };
    match client.session.server(spec, args, Within::Transaction, &here, out) {
        Ok(Turn::Run(Job::Script { spec, slot, keys })) => {
            let of = (spec, slot, keys);
            return scripts::begin(plane, client, of, args, Within::Transaction, out).touched;
        }
        Ok(Turn::Run(Job::Query(query))) => server_commands::run(plane, client, query, args, out),
        Ok(Turn::Answered) => {}
        Ok(Turn::Run(Job::Listen(to))) => plane.clients.listen(client, to),
        // None of the commands that end in one of these is ever queued.
        Ok(
            Turn::Run(Job::Data { .. } | Job::Blocking { .. } | Job::Transaction { .. } | Job::Order(_))
            | Turn::Queued
            | Turn::Stop(_)
            | Turn::Http,
        ) => {}
        Err(refusal) => refuse(plane, client, &refusal, out),
    }
    Touched::Nothing
}
