//! SLOWLOG: the commands that took longest.

use super::super::client::Client;
use super::super::plane::Plane;
use super::super::statistics::Entry;
use super::{answer, help, ok, refuse};
use ironcache_resp::{Writer, parse_integer};
use ironcache_session::Subcommand;

/// As many as Redis shows to who asks for no number.
const SHOWN: usize = 10;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "GET",
        arguments: "[<count>]",
        about: &[
            "Return top <count> entries from the slowlog (default: 10, -1 mean all).",
            "Entries are made of:",
            "id, timestamp, time in microseconds, arguments array, client IP and port,",
            "client name",
        ],
    },
    Subcommand { name: "LEN", arguments: "", about: &["Return the length of the slowlog."] },
    Subcommand { name: "RESET", arguments: "", about: &["Reset the slowlog."] },
];

pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    let log = &mut plane.statistics.slowlog;
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"get", []) => answer(client, out, |reply| entries(log.latest().take(SHOWN), reply)),
        (b"get", [count]) => match parse_integer(count) {
            Some(-1) => answer(client, out, |reply| entries(log.latest(), reply)),
            Some(count @ 0..) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                answer(client, out, |reply| entries(log.latest().take(count), reply));
            }
            Some(_) | None => refuse(client, out, &"ERR count should be greater than or equal to -1"),
        },
        (b"len", []) => answer(client, out, |reply| reply.count(log.len())),
        (b"reset", []) => {
            log.reset();
            ok(client, out);
        }
        _ => help(client, args, SUBCOMMANDS, out),
    }
}

fn entries<'a>(entries: impl ExactSizeIterator<Item = &'a Entry>, reply: &mut Writer<'_>) {
    reply.array(entries.len());
    for Entry { id, at_s, us, args, addr, name } in entries {
        reply.array(6);
        reply.int(id.cast_signed());
        reply.int(at_s.cast_signed());
        reply.int(us.cast_signed());
        reply.array(args.len());
        args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(addr.to_string().as_bytes());
        reply.bulk(name.as_bytes());
    }
}
