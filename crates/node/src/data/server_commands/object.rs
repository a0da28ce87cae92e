//! OBJECT: how a key is held, and when or how often it is used.
//!
//! *Invariant:* to be asked about is no use of a key.

use super::super::client::Client;
use super::super::plane::Plane;
use super::{answer, help, read_key};
use ironcache_command::encoding;
use ironcache_keyspace::Tracking;
use ironcache_session::Subcommand;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "ENCODING",
        arguments: "<key>",
        about: &["Return how Redis would hold the value of a <key>, by the limits that it begins with."],
    },
    Subcommand {
        name: "FREQ",
        arguments: "<key>",
        about: &["Return how often a <key> is used, on a logarithmic scale from 0 to 255."],
    },
    Subcommand {
        name: "IDLETIME",
        arguments: "<key>",
        about: &["Return for how many seconds a <key> was not used."],
    },
    Subcommand {
        name: "REFCOUNT",
        arguments: "<key>",
        about: &["Return how many keys share the value of a <key>: always 1."],
    },
];

/// A fact that only the other kind of policy keeps. As Redis words it.
#[derive(Debug, thiserror::Error)]
enum NotTracked {
    #[error(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at \
         runtime LRU and LFU data will take some time to adjust."
    )]
    IdleTime,
    #[error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between \
         policies at runtime LRU and LFU data will take some time to adjust."
    )]
    Frequency,
}

enum Told {
    Word(&'static str),
    Number(i64),
}

pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    let (asked, key) = match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"encoding", [key]) => (Asked::Encoding, key),
        (b"freq", [key]) => (Asked::Frequency, key),
        (b"idletime", [key]) => (Asked::IdleTime, key),
        (b"refcount", [key]) => (Asked::References, key),
        _ => return help(client, args, SUBCOMMANDS, out),
    };
    let (clock, compact) = (plane.keyspace.clock(), plane.config.compact);
    let found = read_key(plane, client, key).map(|entry| match (asked, clock.tracking()) {
        (Asked::Encoding, _) => Ok(Told::Word(encoding(entry.value(), compact))),
        (Asked::References, _) => Ok(Told::Number(1)),
        (Asked::IdleTime, Tracking::Recency) => Ok(Told::Number(clock.idle_s(entry.access()).into())),
        (Asked::IdleTime, Tracking::Frequency { .. }) => Err(NotTracked::IdleTime),
        (Asked::Frequency, Tracking::Frequency { .. }) => {
            Ok(Told::Number(clock.frequency(entry.access()).into()))
        }
        (Asked::Frequency, Tracking::Recency) => Err(NotTracked::Frequency),
    });
    match found {
        Some(Ok(Told::Word(word))) => answer(client, out, |reply| reply.bulk(word.as_bytes())),
        Some(Ok(Told::Number(number))) => answer(client, out, |reply| reply.int(number)),
        // An error of execution: it spoils no transaction.
        Some(Err(why)) => answer(client, out, |reply| reply.error(&why.to_string())),
        None => answer(client, out, |reply| {
            reply.null();
        }),
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Encoding,
    Frequency,
    IdleTime,
    References,
}
