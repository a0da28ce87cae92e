//! DEBUG: what tests have a node do, for whom `enable-debug-command` names.

use super::super::client::Client;
use super::super::plane::Plane;
use super::{help, ok, refuse};
use crate::config::DebugCommand;
use ironcache_session::Subcommand;
use std::time::Duration;

const SUBCOMMANDS: &[Subcommand] = &[Subcommand {
    name: "SLEEP",
    arguments: "<seconds>",
    about: &["Stop the server for <seconds>. Decimals allowed."],
}];

/// As Redis words it.
const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
                           run it from a local connection, otherwise you need to set this option in the configuration \
                           file, and then restart the server.";

pub(super) fn run(plane: &Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
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

fn duration(seconds: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
