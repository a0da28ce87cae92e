//! The commands that are about the connection, the server or the cluster, not about keys.

mod client;
mod cluster;
mod command;
mod config;
mod connection;
mod info;
mod subcommands;

use super::client::{Client, Transaction};
use super::dispatch::{self, Turn};
use super::plane::Plane;
use ironcache_command::Spec;
use ironcache_resp::{Protocol, Writer, parse_integer};
use ironcache_shard::Role;
use ironcache_types::Offset;

/// Runs one of them. The caller has checked arity and authentication.
pub(super) fn run(
    plane: &mut Plane,
    client: &mut Client,
    spec: &'static Spec,
    args: &[&[u8]],
    out: &mut Vec<u8>,
) -> Turn {
    let protocol = client.protocol;
    match spec.name {
        "ping" => connection::ping(client, args, out),
        "echo" => answer(out, protocol, |reply| reply.bulk(args[1])),
        "hello" => connection::hello(plane, client, args, out),
        "auth" => connection::auth(plane, client, args, out),
        "select" => connection::select(client, args, out),
        "quit" => {
            Writer::new(out, protocol).ok();
            Turn::Close
        }
        "reset" => connection::reset(plane, client, out),
        "client" => client::run(plane, client, args, out),
        "readonly" => {
            client.readonly = true;
            ok(out, protocol)
        }
        "readwrite" => {
            client.readonly = false;
            ok(out, protocol)
        }
        // Slots do not migrate: there is nothing that ASKING would change.
        "asking" => ok(out, protocol),
        "wait" => wait(plane, client, args, out),
        "cluster" => cluster::run(plane, client, args, out),
        "command" => command::run(client, args, out),
        "config" => config::run(plane, client, args, out),
        "info" => info::run(plane, client, args, out),
        "role" => role(plane, client, out),
        "time" => time(client, out),
        "multi" => multi(client, out),
        "exec" => dispatch::exec(plane, client, out),
        "discard" => discard(client, out),
        "watch" => dispatch::watch(plane, client, spec, args, out),
        "unwatch" => {
            client.watched.clear();
            ok(out, protocol)
        }
        "shutdown" => dispatch::refuse(
            client,
            out,
            "ERR a node is stopped by its service manager (SIGTERM to its launcher), not by a client",
        ),
        name => dispatch::refuse(client, out, &format!("ERR '{name}' is not supported by ironcache")),
    }
}

fn ok(out: &mut Vec<u8>, protocol: Protocol) -> Turn {
    Writer::new(out, protocol).ok();
    Turn::Done
}

/// Writes one reply.
fn answer(out: &mut Vec<u8>, protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) -> Turn {
    write(&mut Writer::new(out, protocol));
    Turn::Done
}

fn wait(plane: &Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Turn {
    if plane.primary().is_none() {
        return dispatch::refuse(client, out, "ERR WAIT cannot be used with replica instances.");
    }
    let Some(replicas) = parse_integer(args[1]) else {
        return dispatch::refuse(client, out, "ERR value is not an integer or out of range");
    };
    let Some(timeout) = parse_integer(args[2]) else {
        return dispatch::refuse(client, out, "ERR timeout is not an integer or out of range");
    };
    let Ok(timeout_ms) = u64::try_from(timeout) else {
        return dispatch::refuse(client, out, "ERR timeout is negative");
    };
    let replicas = usize::try_from(replicas).unwrap_or(0);
    Turn::Wait { replicas, timeout_ms, offset: Offset(client.last_write) }
}

/// Does this node show itself as `master`? Besides a primary one of no shard does, a witness: to cluster clients a
/// master without slots is a node that they need not ask, and a replica without a master is none.
fn is_shown_as_master(plane: &Plane) -> bool {
    let node = plane.view.state.nodes.get(&plane.me.node);
    plane.primary().is_some() || node.is_some_and(|node| node.shard.is_none())
}

fn role(plane: &Plane, client: &Client, out: &mut Vec<u8>) -> Turn {
    let mut reply = Writer::new(out, client.protocol);
    match plane.engine.role() {
        Role::Loading | Role::Replica(_) if is_shown_as_master(plane) => {
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
                let (host, port) = plane.client_addr(follower.member.node, client.door);
                reply.array(3);
                reply.bulk(host.as_bytes());
                reply.bulk(port.to_string().as_bytes());
                reply.bulk(follower.applied.unwrap_or(Offset(0)).to_string().as_bytes());
            }
        }
        Role::Loading | Role::Replica(_) => {
            let primary = plane.my_shard().and_then(ironcache_control::Shard::primary);
            let (host, port) = primary.map(|p| plane.client_addr(p.node, client.door)).unwrap_or_default();
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
    Turn::Done
}

fn time(client: &Client, out: &mut Vec<u8>) -> Turn {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut reply = Writer::new(out, client.protocol);
    reply.array(2);
    reply.bulk(now.as_secs().to_string().as_bytes());
    reply.bulk(now.subsec_micros().to_string().as_bytes());
    Turn::Done
}

fn multi(client: &mut Client, out: &mut Vec<u8>) -> Turn {
    if client.transaction.is_some() {
        return dispatch::refuse_alone(client, out, "ERR MULTI calls can not be nested");
    }
    client.transaction = Some(Transaction::default());
    ok(out, client.protocol)
}

fn discard(client: &mut Client, out: &mut Vec<u8>) -> Turn {
    if client.transaction.is_none() {
        return dispatch::refuse(client, out, "ERR DISCARD without MULTI");
    }
    client.forget_transaction();
    ok(out, client.protocol)
}
