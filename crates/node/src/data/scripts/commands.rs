//! `SCRIPT`.

use super::kill;
use crate::data::client::Client;
use crate::data::plane::Plane;
use ironcache_resp::Writer;
use ironcache_session::{Busy, Subcommand, help_or_refuse};

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "EXISTS",
        arguments: "<sha1> [<sha1> ...]",
        about: &["Tell which of the scripts this node knows."],
    },
    Subcommand {
        name: "FLUSH",
        arguments: "[ASYNC|SYNC]",
        about: &["Forget all scripts of this node; either word means the same."],
    },
    Subcommand {
        name: "KILL",
        arguments: "",
        about: &["End the script that is executed, if it has written nothing."],
    },
    Subcommand {
        name: "LOAD",
        arguments: "<script>",
        about: &["Keep a script on this node, without executing it."],
    },
];

pub(in crate::data) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    let (protocol, seed) = (client.session.protocol(), plane.random());
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"load", [body]) => {
            match plane.scripts.engine(&plane.config, seed).and_then(|engine| engine.load(body)) {
                Ok(script) => Writer::new(out, protocol).bulk(script.sha.as_bytes()),
                Err(why) => client.session.fail(&why, out),
            }
        }
        (b"exists", shas @ [_, ..]) => {
            let engine = plane.scripts.engine.as_ref();
            let mut reply = Writer::new(out, protocol);
            reply.array(shas.len());
            for sha in shas {
                reply.int(i64::from(engine.is_some_and(|engine| engine.exists(sha))));
            }
        }
        (b"flush", mode) => match mode {
            [] => flush(plane, client, out),
            [word] if word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async") => {
                flush(plane, client, out);
            }
            _ => client.session.fail(&"ERR SCRIPT FLUSH only support SYNC|ASYNC option", out),
        },
        (b"kill", []) => kill(plane, client, Busy::Script, out),
        _ => {
            if let Err(refusal) = help_or_refuse(protocol, args, SUBCOMMANDS, out) {
                client.session.refuse(&refusal, out);
            }
        }
    }
}

fn flush(plane: &mut Plane, client: &Client, out: &mut Vec<u8>) {
    if let Some(engine) = &mut plane.scripts.engine {
        engine.flush();
    }
    Writer::new(out, client.session.protocol()).ok();
}
