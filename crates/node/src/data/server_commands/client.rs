//! CLIENT: what is known of connections, and what a connection tells of itself.

use super::super::client::{Client, ClientInfo};
use super::super::dispatch::{self, Turn};
use super::super::plane::Plane;
use super::subcommands::{Subcommand, help_or_refuse};
use super::{answer, ok};
use crate::clock::unix_ms;
use ironcache_resp::parse_integer;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand { name: "GETNAME", arguments: "", about: &["Return the name of the current connection."] },
    Subcommand { name: "ID", arguments: "", about: &["Return the ID of the current connection."] },
    Subcommand { name: "INFO", arguments: "", about: &["Return information about the current connection."] },
    Subcommand {
        name: "LIST",
        arguments: "[TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <id> [<id> ...]]",
        about: &[
            "Return information about client connections: all, those of a type, or the named ones.",
            "Links between nodes are none: every client connection is a normal one.",
        ],
    },
    Subcommand {
        name: "NO-EVICT",
        arguments: "(ON|OFF)",
        about: &["Accepted for what clients send at connect; no connection is ever evicted."],
    },
    Subcommand {
        name: "NO-TOUCH",
        arguments: "(ON|OFF)",
        about: &["Accepted for what clients send at connect; no command alters when a key was last used."],
    },
    Subcommand {
        name: "SETINFO",
        arguments: "(LIB-NAME|LIB-VER) <value>",
        about: &["Tell the name or version of the client library."],
    },
    Subcommand {
        name: "SETNAME",
        arguments: "<name>",
        about: &["Assign the name <name> to the current connection."],
    },
];

pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Turn {
    let protocol = client.protocol;
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"id", []) => answer(out, protocol, |reply| reply.int(client.id.cast_signed())),
        (b"getname", []) => {
            let name = client.info.borrow().name.clone();
            answer(
                out,
                protocol,
                |reply| if name.is_empty() { reply.null() } else { reply.bulk(name.as_bytes()) },
            )
        }
        (b"setname", [name]) => match set_name(client, name, out) {
            Ok(()) => ok(out, protocol),
            Err(turn) => turn,
        },
        (b"setinfo", [attribute, value]) => {
            let Some(value) = printable(value) else {
                return dispatch::refuse(
                    client,
                    out,
                    "ERR client attributes cannot contain spaces, newlines or special characters.",
                );
            };
            match attribute.to_ascii_lowercase().as_slice() {
                b"lib-name" => client.info.borrow_mut().lib_name = value,
                b"lib-ver" => client.info.borrow_mut().lib_version = value,
                _ => {
                    let option = String::from_utf8_lossy(attribute).into_owned();
                    return dispatch::refuse(client, out, &format!("ERR Unrecognized option '{option}'"));
                }
            }
            ok(out, protocol)
        }
        (b"info", []) => {
            client.show(plane.coarse_ms);
            let line = describe(&client.info.borrow());
            answer(out, protocol, |reply| reply.verbatim("txt", line.as_bytes()))
        }
        (b"list", filter) => match Filter::parse(filter) {
            Ok(filter) => {
                client.show(plane.coarse_ms);
                let infos = plane.clients.iter().map(|info| info.borrow());
                let lines: String =
                    infos.filter(|info| filter.takes(info.id)).map(|info| describe(&info)).collect();
                answer(out, protocol, |reply| reply.verbatim("txt", lines.as_bytes()))
            }
            Err(text) => dispatch::refuse(client, out, &text),
        },
        // What clients switch at connect; there is nothing to switch here.
        (b"no-evict" | b"no-touch", [switch]) => match switch.to_ascii_lowercase().as_slice() {
            b"on" | b"off" => ok(out, protocol),
            _ => dispatch::refuse(client, out, "ERR syntax error"),
        },
        _ => help_or_refuse(client, args, SUBCOMMANDS, out),
    }
}

/// Which connections `CLIENT LIST` is asked for.
enum Filter {
    All,
    /// A type that no connection has: links between nodes come in at another port, and nobody subscribes.
    Nobody,
    Ids(Vec<u64>),
}

impl Filter {
    /// # Errors
    /// The text of the reply.
    fn parse(args: &[&[u8]]) -> Result<Filter, String> {
        let option = args.first().map(|option| option.to_ascii_lowercase());
        match (option.as_deref(), args) {
            (None, _) => Ok(Filter::All),
            (Some(b"type"), [_, kind]) => match kind.to_ascii_lowercase().as_slice() {
                b"normal" => Ok(Filter::All),
                b"master" | b"replica" | b"slave" | b"pubsub" => Ok(Filter::Nobody),
                _ => Err(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(kind))),
            },
            (Some(b"id"), [_, ids @ ..]) if !ids.is_empty() => {
                let ids: Option<Vec<u64>> =
                    ids.iter().map(|id| parse_integer(id).map(i64::cast_unsigned)).collect();
                ids.map(Filter::Ids).ok_or_else(|| "ERR Invalid client ID".to_owned())
            }
            (Some(_), _) => Err("ERR syntax error".to_owned()),
        }
    }

    fn takes(&self, id: u64) -> bool {
        match self {
            Filter::All => true,
            Filter::Nobody => false,
            Filter::Ids(ids) => ids.contains(&id),
        }
    }
}

pub(super) fn set_name(client: &mut Client, name: &[u8], out: &mut Vec<u8>) -> Result<(), Turn> {
    match printable(name) {
        Some(name) => {
            client.info.borrow_mut().name = name;
            Ok(())
        }
        None => Err(dispatch::refuse(
            client,
            out,
            "ERR Client names cannot contain spaces, newlines or special characters.",
        )),
    }
}

/// Text without spaces and control characters.
fn printable(text: &[u8]) -> Option<String> {
    text.iter().all(|b| (b'!'..=b'~').contains(b)).then(|| String::from_utf8_lossy(text).into_owned())
}

fn describe(info: &ClientInfo) -> String {
    let ClientInfo {
        id,
        addr,
        local_addr,
        name,
        lib_name,
        lib_version,
        connected_at_ms,
        last_command,
        is_known: _,
        last_active_ms,
        resp,
        readonly,
        queued,
        kept,
        ending: _,
    } = info;
    let now_ms = unix_ms();
    let age = now_ms.saturating_sub(*connected_at_ms) / 1000;
    let idle = now_ms.saturating_sub(*last_active_ms) / 1000;
    let flags = match (queued, readonly) {
        (None, false) => "N",
        (None, true) => "r",
        (Some(_), false) => "x",
        (Some(_), true) => "xr",
    };
    let multi = queued.map_or("-1".to_owned(), |queued| queued.to_string());
    format!(
        "id={id} addr={addr} laddr={local_addr} name={name} age={age} idle={idle} flags={flags} db=0 \
         multi={multi} obl=0 oll={} omem={} tot-mem={} cmd={last_command} user=default lib-name={lib_name} lib-ver={lib_version} resp={resp}\n",
        kept.output_chunks,
        kept.output_bytes,
        kept.bytes(),
    )
}
