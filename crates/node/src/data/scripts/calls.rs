//! `redis.call`: what a script may execute, and on which keys.

use crate::data::client::Client;
use crate::data::dispatch;
use crate::data::plane::Plane;
use crate::data::server_commands;
use crate::data::site::Here;
use crate::data::statistics;
use ironcache_acl::Context as AclContext;
use ironcache_command::{
    CommandError, Context, Flags as CommandFlags, Lookups, Run, Spec, asks_to_block, check_subcommand,
    execute, lookup,
};
use ironcache_resp::{Protocol, Writer};
use ironcache_script::Flags;
use ironcache_session::{Job, Turn, Within};
use ironcache_shard::Route;
use ironcache_types::{ReadFrom, Slot, key_slot};

/// Commands about the server that a script may ask: those that change nothing of its client's connection, as far as Redis lets
/// scripts have them.
const OF_THE_SERVER: [&str; 15] = [
    "ping", "echo", "time", "info", "command", "cluster", "select", "publish", "spublish", "pubsub",
    "object", "memory", "latency", "slowlog", "lolwut",
];

pub(super) const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const UNKNOWN: &str = "ERR Unknown Redis command called from script";
const MISCOUNTED: &str = "ERR Wrong number of args calling Redis command from script";

/// The calls of one script.
pub(super) struct Calls {
    flags: Flags,
    /// It may not write.
    read_only: bool,
    /// Of its keys, or of the first that it called with: another one is refused, unless it has said otherwise.
    slot: Option<Slot>,
    touched: Touched,
    wrote: bool,
    /// Is a command refused that may take more memory? Only until one that writes was executed: a script that is half done
    /// is not stopped for want of memory.
    grows: Growth,
    /// When it began: for a script time stands still.
    now_ms: u64,
}

/// May a script's commands take more memory?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Allowed,
    /// There was none left when it began.
    Refused,
}

/// The slots that were read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum Touched {
    Nothing,
    One(Slot),
    Any,
}

impl Touched {
    /// The only one that there is; `None` if there may be others, or none.
    pub(in crate::data) fn slot(self) -> Option<Slot> {
        match self {
            Touched::One(slot) => Some(slot),
            Touched::Nothing | Touched::Any => None,
        }
    }

    fn and(self, other: Touched) -> Touched {
        match (self, other) {
            (Touched::Nothing, other) | (other, Touched::Nothing) => other,
            (Touched::One(a), Touched::One(b)) if a == b => self,
            (Touched::One(_) | Touched::Any, Touched::One(_) | Touched::Any) => Touched::Any,
        }
    }
}

/// Is this node one that takes writes now?
pub(super) fn may_write(plane: &Plane) -> Result<(), String> {
    if plane.primary().is_none() {
        return Err("READONLY You can't write against a read only replica.".to_owned());
    }
    if !plane.has_enough_in_sync() {
        return Err("NOREPLICAS Not enough good replicas to write.".to_owned());
    }
    Ok(())
}

impl Calls {
    pub(super) fn new(flags: Flags, read_only: bool, slot: Option<Slot>, grows: Growth, now_ms: u64) -> Self {
        let read_only = read_only || flags.no_writes;
        Self { flags, read_only, slot, touched: Touched::Nothing, wrote: false, grows, now_ms }
    }

    pub(super) fn touched(&self) -> Touched {
        self.touched
    }

    /// Has it recorded an effect of its own?
    pub(super) fn wrote(&self) -> bool {
        self.wrote
    }

    /// From whom a script of this client may read.
    pub(super) fn read_from(&self, client: &Client) -> ReadFrom {
        if client.session.is_readonly() { ReadFrom::Replica } else { ReadFrom::Primary }
    }

    /// Executes a command, or says why not, in one reply.
    pub(super) fn call(
        &mut self,
        plane: &mut Plane,
        client: &mut Client,
        args: &[Vec<u8>],
        protocol: Protocol,
    ) -> Vec<u8> {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        if let Err(why) = self.execute(plane, client, &args, protocol, &mut out) {
            out.clear();
            Writer::new(&mut out, protocol).error(&why);
        }
        out
    }

    /// Does the user who runs the script have the right to call that? Nothing is executed, and nothing remembered. As in Redis
    /// the number of arguments may be wrong.
    pub(super) fn may_call(client: &Client, args: &[Vec<u8>]) -> Vec<u8> {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        let mut reply = Writer::new(&mut out, Protocol::Resp2);
        match lookup(args[0]).filter(|spec| spec.found(&args).is_some()) {
            Some(spec) => reply.int(i64::from(client.session.check(spec, &args).is_ok())),
            None => reply.error("ERR there is no such command"),
        }
        out
    }

    fn execute(
        &mut self,
        plane: &mut Plane,
        client: &mut Client,
        args: &[&[u8]],
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let spec = lookup(args[0]).ok_or(UNKNOWN)?;
        let named = spec.named(args);
        if spec.is_container && args.len() > 1 && std::ptr::eq(named, spec) {
            return Err(UNKNOWN.to_owned());
        }
        let touched = match self.check(plane, client, (spec, named), args) {
            Ok(touched) => touched,
            Err(why) => {
                plane.statistics.tally.rejected_within(named);
                return Err(why);
            }
        };
        plane.statistics.stopwatch.begin();
        let since_ns = plane.statistics.stopwatch.ns();
        if matches!(spec.run, Run::Data(_)) {
            self.run(plane, client, spec, args, protocol, out);
            self.touched = self.touched.and(touched);
        } else {
            self.serve(plane, client, spec, args, protocol, out);
        }
        statistics::called(plane, client, named, args, since_ns, out);
        if plane.clients.is_monitored() {
            dispatch::show_monitors(plane, &"lua", args);
        }
        Ok(())
    }

    /// May it be executed? What it touches then.
    fn check(
        &mut self,
        plane: &mut Plane,
        client: &Client,
        (spec, named): (&'static Spec, &'static Spec),
        args: &[&[u8]],
    ) -> Result<Touched, String> {
        if spec.check_arity(args.len()).is_err() || named.check_arity(args.len()).is_err() {
            return Err(MISCOUNTED.to_owned());
        }
        match check_subcommand(spec, args) {
            Ok(()) => {}
            Err(CommandError::WrongArity { .. }) => return Err(MISCOUNTED.to_owned()),
            Err(_) => return Err(UNKNOWN.to_owned()),
        }
        named.check_level(plane.level()).map_err(|why| why.to_string())?;
        let is_others = matches!(spec.run, Run::Server) && !OF_THE_SERVER.contains(&spec.name);
        if is_others || named.flags.contains(CommandFlags::NOSCRIPT) {
            return Err("ERR This Redis command is not allowed from script".to_owned());
        }
        if let Err(denied) = client.session.check(spec, args) {
            plane.remember_denied(client, &denied, AclContext::Script);
            return Err(denied.in_script());
        }
        if spec.is_write() {
            self.may_write(plane)?;
        }
        if named.flags.contains(CommandFlags::DENYOOM) && self.grows == Growth::Refused {
            return Err(OUT_OF_MEMORY.to_owned());
        }
        let touched = self.admit(plane, client, spec, args)?;
        if spec.is_write() {
            self.grows = Growth::Allowed;
        }
        Ok(touched)
    }

    fn run(
        &mut self,
        plane: &mut Plane,
        client: &Client,
        spec: &'static Spec,
        args: &[&[u8]],
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) {
        if asks_to_block(spec, args) {
            let name = String::from_utf8_lossy(args[0]);
            let why = format!("ERR {name} command is not allowed with BLOCK option from scripts");
            Writer::new(out, protocol).error(&why);
            return;
        }
        let before = plane.effects.count;
        let context =
            Context { now_ms: self.now_ms, random: plane.random(), expiry: plane.expiry(), protocol };
        let Lookups { hits, misses } =
            execute(spec, args, &mut plane.keyspace, &context, out, &mut plane.effects);
        plane.stats.hits += hits;
        plane.stats.misses += misses;
        plane.executed(client, spec, args);
        self.wrote |= spec.is_write() && plane.effects.count != before;
    }

    fn may_write(&self, plane: &Plane) -> Result<(), String> {
        if self.read_only {
            return Err("ERR Write commands are not allowed from read-only scripts.".to_owned());
        }
        may_write(plane)
    }

    /// Are the keys of a call here, and may the script use them? What it touches then.
    fn admit(
        &mut self,
        plane: &Plane,
        client: &Client,
        spec: &Spec,
        args: &[&[u8]],
    ) -> Result<Touched, String> {
        const CROSS: &str = "ERR Script attempted to access keys that do not hash to the same slot";
        const ELSEWHERE: &str = "ERR Script attempted to access a non local key in a cluster node";
        let mut slot = None;
        for this in spec.keys(args).map(key_slot) {
            if *slot.get_or_insert(this) != this {
                // No node has keys of two slots, as Redis sees it.
                return Err(ELSEWHERE.to_owned());
            }
        }
        let Some(slot) = slot else {
            let names_none = matches!(spec.run, Run::Data(_));
            if spec.is_write() && plane.route_without_keys() != Route::Execute {
                return Err("READONLY You can't write against a read only replica.".to_owned());
            }
            return Ok(if names_none { Touched::Any } else { Touched::Nothing });
        };
        let read = if spec.is_write() { ReadFrom::Primary } else { self.read_from(client) };
        if plane.route(slot, read) != Route::Execute {
            return Err(ELSEWHERE.to_owned());
        }
        if !self.flags.allow_cross_slot_keys && *self.slot.get_or_insert(slot) != slot {
            return Err(CROSS.to_owned());
        }
        Ok(Touched::One(slot))
    }

    fn serve(
        &self,
        plane: &mut Plane,
        client: &mut Client,
        spec: &'static Spec,
        args: &[&[u8]],
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) {
        let own = client.session.speak(protocol);
        let here = Here { plane, door: client.door };
        match client.session.server(spec, args, Within::Transaction, &here, out) {
            Ok(Turn::Run(Job::Query(query))) => server_commands::run(plane, client, query, args, out),
            Ok(_) => {}
            Err(refusal) => Writer::new(out, protocol).error(&refusal.to_string()),
        }
        client.session.speak(own);
    }
}
