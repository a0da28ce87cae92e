//! CLUSTER: what cluster clients learn the layout from.
//!
//! *Invariant:* a node that is starting, or out for an upgrade, is not listed as serving: a client would only be
//! sent on from it.

use super::super::Door;
use super::super::client::Client;
use super::super::plane::Plane;
use super::{answer, help, refuse};
use ironcache_control::{Node, Shard};
use ironcache_keyspace::Entry;
use ironcache_resp::{Writer, parse_integer};
use ironcache_session::{Endpoint, Refusal, Subcommand};
use ironcache_types::{NodeId, SLOT_COUNT, Slot, key_slot};
use std::fmt::Write;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "COUNTKEYSINSLOT",
        arguments: "<slot>",
        about: &["Return the number of keys in <slot> on this node."],
    },
    Subcommand {
        name: "GETKEYSINSLOT",
        arguments: "<slot> <count>",
        about: &["Return key names stored by current node in a slot."],
    },
    Subcommand { name: "INFO", arguments: "", about: &["Return information about the cluster."] },
    Subcommand { name: "KEYSLOT", arguments: "<key>", about: &["Return the hash slot for <key>."] },
    Subcommand { name: "MYID", arguments: "", about: &["Return the node id."] },
    Subcommand {
        name: "NODES",
        arguments: "",
        about: &[
            "Return the nodes and their slots, a line a node:",
            "<id> <ip:port@peer-port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
        ],
    },
    Subcommand { name: "REPLICAS", arguments: "<node-id>", about: &["Return <node-id> replicas."] },
    Subcommand {
        name: "SHARDS",
        arguments: "",
        about: &["Return the slot ranges of each shard and the nodes that serve it."],
    },
    Subcommand { name: "SLAVES", arguments: "<node-id>", about: &["As REPLICAS."] },
    Subcommand {
        name: "SLOTS",
        arguments: "",
        about: &[
            "Return the slot ranges. Each is made of:",
            "start, end, master and replicas IP addresses, ports and ids",
        ],
    },
];

pub(super) fn run(plane: &Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"slots", []) => answer(client, out, |reply| slots(plane, client.door, reply)),
        (b"shards", []) => answer(client, out, |reply| shards(plane, reply)),
        (b"nodes", []) => {
            answer(client, out, |reply| reply.verbatim("txt", nodes(plane, client.door).as_bytes()));
        }
        (b"info", []) => answer(client, out, |reply| reply.verbatim("txt", info(plane).as_bytes())),
        (b"myid", []) => answer(client, out, |reply| reply.bulk(plane.me.node.redis_id().as_bytes())),
        (b"keyslot", [key]) => answer(client, out, |reply| reply.int(i64::from(key_slot(key).0))),
        (b"countkeysinslot", [slot]) => {
            let Some(number) = parse_integer(slot) else {
                return client.session.refuse(&Refusal::NotAnInteger, out);
            };
            match u16::try_from(number) {
                Ok(slot) if slot < SLOT_COUNT => {
                    answer(client, out, |reply| reply.count(plane.keyspace.slot_len(Slot(slot))));
                }
                Ok(_) | Err(_) => refuse(client, out, &"ERR Invalid slot"),
            }
        }
        (b"getkeysinslot", [slot, count]) => {
            let (Some(slot), Some(count)) = (parse_integer(slot), parse_integer(count)) else {
                return client.session.refuse(&Refusal::NotAnInteger, out);
            };
            match (u16::try_from(slot), usize::try_from(count)) {
                (Ok(slot), Ok(count)) if slot < SLOT_COUNT => {
                    let keys: Vec<&[u8]> =
                        plane.keyspace.slot_entries(Slot(slot)).iter().take(count).map(Entry::key).collect();
                    answer(client, out, |reply| {
                        reply.array(keys.len());
                        keys.iter().for_each(|key| reply.bulk(key));
                    });
                }
                _ => refuse(client, out, &"ERR Invalid slot or number of keys"),
            }
        }
        (b"replicas" | b"slaves", [id]) => match replicas_of(plane, id) {
            Ok(replicas) => answer(client, out, |reply| {
                reply.array(replicas.len());
                for node in replicas {
                    reply.bulk(line(plane, client.door, node).as_bytes());
                }
            }),
            Err(why) => refuse(client, out, &why),
        },
        _ => help(client, args, SUBCOMMANDS, out),
    }
}

/// What a node id was asked for that has no replicas. `Display` is the reply.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NoReplicas {
    #[error("ERR Unknown node {id}")]
    Unknown { id: String },
    #[error("ERR The specified node is not a master")]
    NotAMaster,
}

/// The other nodes of the shard whose primary it is.
fn replicas_of<'a>(plane: &'a Plane, id: &[u8]) -> Result<Vec<&'a Node>, NoReplicas> {
    let state = &plane.view.state;
    let named = state.nodes.values().find(|node| node.id.redis_id().as_bytes().eq_ignore_ascii_case(id));
    let unknown = || NoReplicas::Unknown { id: String::from_utf8_lossy(id).into_owned() };
    let node = named.ok_or_else(unknown)?;
    let Some(shard) = node.shard.and_then(|id| state.shards.get(&id)) else {
        return Ok(Vec::new());
    };
    if shard.primary().is_none_or(|primary| primary.node != node.id) {
        return Err(NoReplicas::NotAMaster);
    }
    Ok(state.nodes.values().filter(|other| other.shard == node.shard && other.id != node.id).collect())
}

/// The shard's nodes that clients may use, the primary first. A restarting one is left out.
fn serving<'a>(plane: &'a Plane, shard: &'a Shard) -> Vec<&'a Node> {
    let state = &plane.view.state;
    let primary = shard.primary().map(|p| p.node);
    let replicas = shard.in_sync_replicas().map(|m| m.node);
    let out = |node: &Node| node.out.is_some();
    primary.into_iter().chain(replicas).filter_map(|n| state.nodes.get(&n)).filter(|n| !out(n)).collect()
}

fn slots(plane: &Plane, door: Door, reply: &mut Writer<'_>) {
    let state = &plane.view.state;
    let ranges = state.shards.values().filter(|s| s.primary().is_some()).map(|s| s.slots.0.len()).sum();
    reply.array(ranges);
    for shard in state.shards.values().filter(|s| s.primary().is_some()) {
        let nodes = serving(plane, shard);
        for range in &shard.slots.0 {
            reply.array(2 + nodes.len());
            reply.int(i64::from(range.start));
            reply.int(i64::from(range.end));
            for node in &nodes {
                let Endpoint { host, port } = plane.client_addr(node.id, door);
                reply.array(4);
                reply.bulk(host.as_bytes());
                reply.int(port.into());
                reply.bulk(node.id.redis_id().as_bytes());
                reply.array(0);
            }
        }
    }
}

fn shards(plane: &Plane, reply: &mut Writer<'_>) {
    let state = &plane.view.state;
    reply.array(state.shards.len());
    for shard in state.shards.values() {
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(2 * shard.slots.0.len());
        for range in &shard.slots.0 {
            reply.int(i64::from(range.start));
            reply.int(i64::from(range.end));
        }
        reply.bulk(b"nodes");
        let nodes = serving(plane, shard);
        reply.array(nodes.len());
        for node in nodes {
            let Endpoint { host, port } = plane.client_addr(node.id, Door::Plain);
            let ports: Vec<(&[u8], u16)> = [
                (&b"port"[..], Some(port).filter(|port| node.tls_port != Some(*port))),
                (b"tls-port", node.tls_port),
            ]
            .into_iter()
            .filter_map(|(key, port)| Some((key, port?)))
            .collect();
            let primary = shard.primary().is_some_and(|p| p.node == node.id);
            reply.map(6 + ports.len());
            for (key, value) in [("id", node.id.redis_id()), ("ip", host.clone()), ("endpoint", host)] {
                reply.bulk(key.as_bytes());
                reply.bulk(value.as_bytes());
            }
            // As in Redis: whichever there are, however the client came.
            for (key, port) in ports {
                reply.bulk(key);
                reply.int(port.into());
            }
            reply.bulk(b"role");
            reply.bulk(if primary { b"master" } else { b"replica" });
            reply.bulk(b"replication-offset");
            reply.int(if node.id == plane.me.node { plane.offset().0.cast_signed() } else { 0 });
            reply.bulk(b"health");
            reply.bulk(b"online");
        }
    }
}

/// The table of `CLUSTER NODES`, a line a node. Format: the Redis documentation of that command.
fn nodes(plane: &Plane, door: Door) -> String {
    plane.view.state.nodes.values().map(|node| line(plane, door, node) + "\n").collect()
}

fn line(plane: &Plane, door: Door, node: &Node) -> String {
    let state = &plane.view.state;
    let shard = node.shard.and_then(|id| state.shards.get(&id));
    let primary = shard.and_then(Shard::primary).map(|p| p.node);
    let Endpoint { host, port } = plane.client_addr(node.id, door);
    let bus = node.peer_addr.rsplit_once(':').map_or("0", |(_, port)| port);
    let mut flags = String::new();
    if node.id == plane.me.node {
        flags.push_str("myself,");
    }
    flags.push_str(if primary == Some(node.id) || shard.is_none() { "master" } else { "slave" });
    let follows = match primary {
        Some(primary) if primary != node.id => primary.redis_id(),
        _ => "-".to_owned(),
    };
    let epoch = shard.map_or(0, |s| s.epoch.0);
    let link = if is_away(plane, node.id) { "disconnected" } else { "connected" };
    let id = node.id.redis_id();
    let mut text = String::new();
    let _ = write!(text, "{id} {host}:{port}@{bus} {flags} {follows} 0 0 {epoch} {link}");
    if let Some(shard) = shard.filter(|_| primary == Some(node.id)) {
        for range in &shard.slots.0 {
            let _ = write!(text, " {range}");
        }
    }
    text
}

fn is_away(plane: &Plane, node: NodeId) -> bool {
    plane.view.state.nodes.get(&node).is_none_or(|n| n.out.is_some())
}

fn info(plane: &Plane) -> String {
    let state = &plane.view.state;
    let served: u32 = state.shards.values().filter(|s| s.primary().is_some()).map(|s| s.slots.count()).sum();
    let assigned: u32 = state.shards.values().map(|s| s.slots.count()).sum();
    // As in Redis, a node that does not reach the majority says so, whatever it knows of the slots.
    let serves = served == u32::from(SLOT_COUNT) && plane.is_down().is_none();
    let ok = if serves { "ok" } else { "fail" };
    let lines = [
        format!("cluster_state:{ok}"),
        format!("cluster_slots_assigned:{assigned}"),
        format!("cluster_slots_ok:{served}"),
        "cluster_slots_pfail:0".to_owned(),
        format!("cluster_slots_fail:{}", assigned - served),
        format!("cluster_known_nodes:{}", state.nodes.len()),
        format!("cluster_size:{}", state.shards.len()),
        format!("cluster_current_epoch:{}", state.epoch),
        format!("cluster_my_epoch:{}", plane.my_shard().map_or(0, |s| s.epoch.0)),
    ];
    lines.join("\r\n") + "\r\n"
}
