//! What the session cannot answer: the commands that are about the node, the cluster, or other clients.

mod acl;
mod client;
mod cluster;
mod config;
mod debug;
mod info;
mod latency;
mod memory;
mod object;
mod slowlog;

pub(super) use client::describe;
pub(super) use info::REDIS_VERSION;

use super::client::Client;
use super::plane::Plane;
use super::scripts;
use crate::clock::wall_ms;
use ironcache_command::lookup;
use ironcache_keyspace::Entry;
use ironcache_resp::Writer;
use ironcache_session::{Endpoint, Query, ShownAs, Subcommand, help_or_refuse, introspect};
use ironcache_shard::Role;
use ironcache_spine::boottime_ms;
use ironcache_types::{Offset, key_slot};
use std::fmt::Display;

/// Answers it. The session has taken the command.
pub(super) fn run(plane: &mut Plane, client: &mut Client, query: Query, args: &[&[u8]], out: &mut Vec<u8>) {
    match query {
        Query::Myself => client::myself(plane, client, args, out),
        Query::Clients(which) => client::list(plane, client, &which, args, out),
        Query::Kill(kill) => client::kill(plane, client, &kill, out),
        Query::Pause { what, for_ms } => {
            plane.pause.begin(what, boottime_ms().saturating_add(for_ms));
            ok(client, out);
        }
        Query::Unpause => {
            plane.pause.end();
            ok(client, out);
        }
        Query::Unblock { id, by } => {
            let unblocked = plane.blocked.unblock(id, by);
            answer(client, out, |reply| reply.int(unblocked.into()));
        }
        Query::AclLog(query) => acl::log(plane, client, query, out),
        Query::GeneratePassword { bits } => acl::password(client, bits, out),
        Query::Cluster => cluster::run(plane, client, args, out),
        Query::Config => config::run(plane, client, args, out),
        Query::Debug => debug::run(plane, client, args, out),
        Query::Info => info::run(plane, client, args, out),
        Query::Memory => {
            memory::run(plane, client, args, out);
            looked_at(plane, client, args);
        }
        Query::Object => {
            object::run(plane, client, args, out);
            looked_at(plane, client, args);
        }
        Query::Publish(audience) => {
            let count = plane.publish(audience, args[1], args[2]);
            answer(client, out, |reply| reply.count(count));
        }
        Query::PubSub => pubsub(plane, client, args, out),
        Query::Latency => latency::run(plane, client, args, out),
        Query::Slowlog => slowlog::run(plane, client, args, out),
        Query::Role => role(plane, client, out),
        Query::Scripts => scripts::command(plane, client, args, out),
        Query::Functions(query) => scripts::functions(plane, client, &query, out),
        Query::Time => time(client, out),
    }
}

/// It may have named a key.
fn looked_at(plane: &mut Plane, client: &Client, args: &[&[u8]]) {
    if let Some(spec) = lookup(args[0]) {
        plane.executed(client, spec.named(args), args);
    }
}

/// Writes one reply.
fn answer(client: &Client, out: &mut Vec<u8>, write: impl FnOnce(&mut Writer<'_>)) {
    write(&mut Writer::new(out, client.session.protocol()));
}

fn ok(client: &Client, out: &mut Vec<u8>) {
    Writer::new(out, client.session.protocol()).ok();
}

fn refuse(client: &mut Client, out: &mut Vec<u8>, why: &impl Display) {
    client.session.fail(why, out);
}

/// The entry of a key that has not expired; what is told of it waits as a read of it does.
fn read_key<'p>(plane: &'p Plane, client: &mut Client, key: &[u8]) -> Option<&'p Entry> {
    if plane.primary().is_some() {
        client.owed.read = client.owed.read.max(plane.written(Some(key_slot(key))));
    }
    plane.keyspace.live(key, wall_ms())
}

/// Answers what no other arm of a container's `match` took.
fn help(client: &mut Client, args: &[&[u8]], table: &[Subcommand], out: &mut Vec<u8>) {
    if let Err(refusal) = help_or_refuse(client.session.protocol(), args, table, out) {
        client.session.refuse(&refusal, out);
    }
}

/// As what this node shows itself. Besides a primary one of no shard is a `master`, a witness: to cluster clients a
/// master without slots is a node that they need not ask, and a replica without a master is none.
pub(super) fn shown_as(plane: &Plane) -> ShownAs {
    let node = plane.view.state.nodes.get(&plane.me.node);
    let is_master = plane.primary().is_some() || node.is_some_and(|node| node.shard.is_none());
    if is_master { ShownAs::Master } else { ShownAs::Replica }
}

fn role(plane: &Plane, client: &Client, out: &mut Vec<u8>) {
    let mut reply = Writer::new(out, client.session.protocol());
    match plane.engine.role() {
        Role::Loading | Role::Replica(_) if shown_as(plane) == ShownAs::Master => {
            reply.array(3);
            reply.bulk(b"master");
            reply.int(0);
            reply.array(0);
        }
        Role::Primary(_) => {
            let followers: Vec<_> = plane.replicas().collect();
            reply.array(3);
            reply.bulk(b"master");
            reply.int(plane.offset().0.cast_signed());
            reply.array(followers.len());
            for follower in followers {
                let Endpoint { host, port } = plane.client_addr(follower.member.node, client.door);
                reply.array(3);
                reply.bulk(host.as_bytes());
                reply.bulk(port.to_string().as_bytes());
                reply.bulk(follower.applied.unwrap_or(Offset(0)).to_string().as_bytes());
            }
        }
        Role::Loading | Role::Replica(_) => {
            let primary = plane.my_shard().and_then(ironcache_control::Shard::primary);
            let Endpoint { host, port } =
                primary.map(|p| plane.client_addr(p.node, client.door)).unwrap_or_default();
            let (state, offset) = match plane.engine.role() {
                Role::Replica(replica) => {
                    let state = match (replica.is_linked(), replica.cursor().ack()) {
                        (true, Some(_)) => "connected",
                        (true, None) => "sync",
                        (false, _) => "connect",
                    };
                    (state, replica.cursor().applied_offset().unwrap_or(Offset(0)))
                }
                Role::Loading | Role::Primary(_) => ("connect", Offset(0)),
            };
            reply.array(5);
            reply.bulk(b"slave");
            reply.bulk(host.as_bytes());
            reply.int(port.into());
            reply.bulk(state.as_bytes());
            reply.int(offset.0.cast_signed());
        }
    }
}

fn pubsub(plane: &Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    if let Err(refusal) = introspect(plane.clients.channels(), args, client.session.protocol(), out) {
        client.session.refuse(&refusal, out);
    }
}

fn time(client: &Client, out: &mut Vec<u8>) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut reply = Writer::new(out, client.session.protocol());
    reply.array(2);
    reply.bulk(now.as_secs().to_string().as_bytes());
    reply.bulk(now.subsec_micros().to_string().as_bytes());
}
