//! DEBUG: what tests have a node do, for whom `enable-debug-command` names.
//!
//! *Invariant:* what it does to a dataset no client sees and no replica needs to hear of: a value is the same before and after.

use super::super::client::Client;
use super::super::plane::Plane;
use super::{answer, help, ok, read_key, refuse};
use crate::config::DebugCommand;
use ironcache_command::encoding;
use ironcache_keyspace::{EffectError, Entry, Tracking, apply_effects};
use ironcache_resp::{Protocol, Writer};
use ironcache_session::Subcommand;
use ironcache_types::{SLOT_COUNT, Slot};
use std::time::Duration;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "DIGEST",
        arguments: "",
        about: &["Output a hex signature representing the current DB content."],
    },
    Subcommand {
        name: "DIGEST-VALUE",
        arguments: "<key> [<key> ...]",
        about: &["Output a hex signature of the values of all the specified keys."],
    },
    Subcommand { name: "LOADAOF", arguments: "", about: &["As RELOAD: a node has no such file."] },
    Subcommand { name: "LOG", arguments: "<message>", about: &["Write <message> to the server log."] },
    Subcommand {
        name: "OBJECT",
        arguments: "<key>",
        about: &["Show low level info about `key` and associated value."],
    },
    Subcommand {
        name: "PROTOCOL",
        arguments: "<type>",
        about: &[
            "Reply with a test value of the specified type. <type> can be: string, integer,",
            "double, null, array, set, map, attrib, push, verbatim, bignum, true, false.",
        ],
    },
    Subcommand {
        name: "QUICKLIST-PACKED-THRESHOLD",
        arguments: "<size>",
        about: &["No list is in parts here, and nothing follows from it."],
    },
    Subcommand {
        name: "RELOAD",
        arguments: "[<option> ...]",
        about: &["Write the dataset as replicas and checkpoints get it, slot by slot, and read it back."],
    },
    Subcommand {
        name: "SET-ACTIVE-EXPIRE",
        arguments: "<0|1>",
        about: &["Setting it to 0 disables expiring keys in background when they are not accessed."],
    },
    Subcommand {
        name: "SLEEP",
        arguments: "<seconds>",
        about: &["Stop the server for <seconds>. Decimals allowed."],
    },
];

/// As Redis words it.
const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
                           run it from a local connection, otherwise you need to set this option in the configuration \
                           file, and then restart the server.";

pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    let is_local = client.info.borrow().addr.ip().is_loopback();
    let may = match plane.config.debug_command {
        DebugCommand::Nobody => false,
        DebugCommand::Everybody => true,
        DebugCommand::Local => is_local,
    };
    if !may {
        return refuse(client, out, &NOT_ALLOWED);
    }
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"digest", []) => digests(client, &[plane.keyspace.fingerprint()], out),
        (b"digest-value", keys @ [_, ..]) => {
            let of = |key: &&[u8]| plane.keyspace.get(key).map_or(0, Entry::value_fingerprint);
            let values: Vec<u64> = keys.iter().map(of).collect();
            answer(client, out, |reply| reply.array(values.len()));
            digests(client, &values, out);
        }
        (b"loadaof", []) | (b"reload", _) => match reload(plane) {
            Ok(()) => ok(client, out),
            Err(error) => refuse(client, out, &format!("ERR Error trying to load the dataset: {error}")),
        },
        (b"log", [message]) => {
            tracing::warn!(message = %String::from_utf8_lossy(message), "DEBUG LOG");
            ok(client, out);
        }
        (b"object", [key]) => object(plane, client, key, out),
        (b"protocol", [kind]) => {
            if !answer_in(client.session.protocol(), &kind.to_ascii_lowercase(), out) {
                refuse(
                    client,
                    out,
                    &"ERR Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|attrib|push|verbatim|true|false",
                );
            }
        }
        (b"quicklist-packed-threshold", [_]) => ok(client, out),
        (b"set-active-expire", [b"0" | b"1"]) => {
            plane.expires_by_itself = args[2] == b"1";
            ok(client, out);
        }
        (b"sleep", [seconds]) => match duration(seconds) {
            Some(duration) => {
                // Nothing ticks meanwhile: whoever looks at this node sees one that hangs.
                std::thread::sleep(duration);
                ok(client, out);
            }
            None => refuse(client, out, &"ERR value is not a valid float"),
        },
        _ => help(client, args, SUBCOMMANDS, out),
    }
}

/// As long as Redis'.
fn digests(client: &Client, values: &[u64], out: &mut Vec<u8>) {
    for value in values {
        answer(client, out, |reply| reply.simple(&format!("{value:040x}")));
    }
}

fn reload(plane: &mut Plane) -> Result<(), EffectError> {
    let level = plane.effects.level();
    for slot in (0..SLOT_COUNT).map(Slot) {
        let mut written = Vec::new();
        if plane.keyspace.dump_slot(slot, level, &mut written) > 0 {
            plane.keyspace.clear_slot(slot);
            apply_effects(&mut plane.keyspace, &written, level)?;
        }
    }
    Ok(())
}

fn object(plane: &Plane, client: &mut Client, key: &[u8], out: &mut Vec<u8>) {
    let (clock, compact) = (plane.keyspace.clock(), plane.config.compact);
    let Some(entry) = read_key(plane, client, key) else { return refuse(client, out, &"ERR no such key") };
    let used = match clock.tracking() {
        Tracking::Recency => format!("lru_seconds_idle:{}", clock.idle_s(entry.access())),
        Tracking::Frequency { .. } => format!("freq:{}", clock.frequency(entry.access())),
    };
    let text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} {used}",
        entry,
        encoding(entry.value(), compact),
        entry.used_bytes(),
        entry.access(),
    );
    answer(client, out, |reply| reply.simple(&text));
}

/// One reply of a kind; `false`: there is no such kind.
fn answer_in(protocol: Protocol, kind: &[u8], out: &mut Vec<u8>) -> bool {
    let mut reply = Writer::new(out, protocol);
    let few = |reply: &mut Writer<'_>| (0..3).for_each(|number| reply.int(number));
    match kind {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => {
            #[expect(clippy::approx_constant, reason = "Redis' value, which its tests expect")]
            reply.double(3.141);
        }
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            few(&mut reply);
        }
        b"set" => {
            reply.set(3);
            few(&mut reply);
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if protocol == Protocol::Resp3 {
                reply.raw(b"|1\r\n");
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if protocol == Protocol::Resp3 => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"push" => reply.error("ERR RESP2 is not supported by this command"),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        _ => return false,
    }
    true
}

fn duration(seconds: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
