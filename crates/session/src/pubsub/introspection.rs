//! PUBSUB: what a node's clients listen to.

use super::{Kind, Registry, Topic};
use crate::refusal::Refusal;
use crate::subcommand::{Subcommand, help_or_refuse};
use ironcache_command::glob_matches;
use ironcache_resp::{Protocol, Writer};

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "CHANNELS",
        arguments: "[<pattern>]",
        about: &["Return the currently active channels matching a <pattern> (default: '*')."],
    },
    Subcommand {
        name: "NUMPAT",
        arguments: "",
        about: &["Return the number of different patterns that clients listen to."],
    },
    Subcommand {
        name: "NUMSUB",
        arguments: "[<channel> ...]",
        about: &[
            "Return the number of subscribers for the specified channels, excluding",
            "pattern subscriptions (default: no channels).",
        ],
    },
    Subcommand {
        name: "SHARDCHANNELS",
        arguments: "[<pattern>]",
        about: &["Return the currently active shard level channels matching a <pattern> (default: '*')."],
    },
    Subcommand {
        name: "SHARDNUMSUB",
        arguments: "[<shardchannel> ...]",
        about: &["Return the number of subscribers for the specified shard level channels."],
    },
];

/// Answers `PUBSUB`. As in Redis, of the clients of this node alone.
///
/// # Errors
/// There is no such subcommand, or it takes other arguments.
pub fn introspect<T: Clone>(
    registry: &Registry<T>,
    args: &[&[u8]],
    protocol: Protocol,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let mut reply = Writer::new(out, protocol);
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"channels", []) => names(registry, Kind::Channel, None, &mut reply),
        (b"channels", [pattern]) => names(registry, Kind::Channel, Some(pattern), &mut reply),
        (b"shardchannels", []) => names(registry, Kind::Shard, None, &mut reply),
        (b"shardchannels", [pattern]) => names(registry, Kind::Shard, Some(pattern), &mut reply),
        // As Redis words it for these two alone.
        (b"channels" | b"shardchannels", [_, _, ..]) => {
            let given = String::from_utf8_lossy(args[1]).into_owned();
            return Err(Refusal::SubcommandSyntax { given });
        }
        (b"numsub", channels) => numbers(registry, Kind::Channel, channels, &mut reply),
        (b"shardnumsub", channels) => numbers(registry, Kind::Shard, channels, &mut reply),
        (b"numpat", []) => reply.count(registry.counts().patterns),
        _ => return help_or_refuse(protocol, args, SUBCOMMANDS, out).map(drop),
    }
    Ok(())
}

fn names<T: Clone>(registry: &Registry<T>, kind: Kind, pattern: Option<&[u8]>, reply: &mut Writer<'_>) {
    let wanted = |name: &&Topic| pattern.is_none_or(|pattern| glob_matches(pattern, name));
    let names: Vec<&Topic> = registry.names(kind).filter(wanted).collect();
    reply.array(names.len());
    names.into_iter().for_each(|name| reply.bulk(name));
}

fn numbers<T: Clone>(registry: &Registry<T>, kind: Kind, channels: &[&[u8]], reply: &mut Writer<'_>) {
    reply.array(channels.len() * 2);
    for channel in channels {
        reply.bulk(channel);
        reply.count(registry.listening(kind, channel));
    }
}
