//! CONFIG GET and SET: Redis's names for what exists here, and what can change while running.

use super::super::client::Client;
use super::super::dispatch::{self, Turn};
use super::super::plane::Plane;
use super::ok;
use super::subcommands::{Subcommand, help_or_refuse};
use ironcache_command::glob_matches;
use ironcache_resp::Writer;
use std::collections::BTreeMap;
use std::sync::Arc;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "GET",
        arguments: "<pattern> [<pattern> ...]",
        about: &["Return parameters matching the glob-like <pattern>s and their values."],
    },
    Subcommand {
        name: "RESETSTAT",
        arguments: "",
        about: &["Reset statistics reported by the INFO command."],
    },
    Subcommand {
        name: "SET",
        arguments: "<directive> <value> [<directive> <value> ...]",
        about: &["Set the configuration <directive>s to <value>s, all or none, until the node restarts."],
    },
];

pub fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Turn {
    let protocol = client.protocol;
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"get", patterns @ [_, ..]) => {
            let wanted =
                |key: &str| patterns.iter().any(|p| glob_matches(&p.to_ascii_lowercase(), key.as_bytes()));
            let found: Vec<_> = values(plane).into_iter().filter(|(key, _)| wanted(key)).collect();
            let mut reply = Writer::new(out, protocol);
            reply.map(found.len());
            for (key, value) in found {
                reply.bulk(key.as_bytes());
                reply.bulk(value.as_bytes());
            }
            Turn::Done
        }
        (b"set", pairs @ [_, _, ..]) => {
            if pairs.len() % 2 != 0 {
                return dispatch::refuse(client, out, "ERR syntax error");
            }
            // All or nothing: everything is checked before anything changes.
            let mut config = (*plane.config).clone();
            for pair in pairs.chunks(2) {
                let key = String::from_utf8_lossy(pair[0]).to_lowercase();
                let value = String::from_utf8_lossy(pair[1]).into_owned();
                if let Err(why) = set(&mut config, &key, &value) {
                    let text =
                        format!("ERR CONFIG SET failed (possibly related to argument '{key}') - {why}");
                    return dispatch::refuse(client, out, &text);
                }
            }
            plane.requirepass.clone_from(&config.requirepass);
            plane.config = Arc::new(config);
            ok(out, protocol)
        }
        (b"resetstat", []) => {
            plane.stats = Default::default();
            ok(out, protocol)
        }
        _ => help_or_refuse(client, args, SUBCOMMANDS, out),
    }
}

/// What `CONFIG GET` shows. Ports and names that tools ask Redis for have Redis's names.
fn values(plane: &Plane) -> BTreeMap<&'static str, String> {
    let config = &plane.config;
    BTreeMap::from([
        ("appendonly", "no".to_owned()),
        ("backlog-bytes", config.backlog_bytes.to_string()),
        ("bind", config.bind.clone()),
        ("cluster-enabled", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("dir", config.data_dir.display().to_string()),
        ("handover-timeout-ms", config.handover_timeout_ms.to_string()),
        ("http-port", config.http_port.to_string()),
        ("isr-timeout-ms", config.isr_timeout_ms.to_string()),
        ("max-lag-bytes", config.max_lag_bytes.to_string()),
        ("max-lag-ops", config.max_lag_ops.to_string()),
        ("maxclients", config.maxclients.to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("min-in-sync", config.min_in_sync.to_string()),
        ("park-commands-max", config.park_commands_max.to_string()),
        ("park-ms-max", config.park_ms_max.to_string()),
        ("peer-port", config.peer_port.to_string()),
        ("port", config.port.to_string()),
        ("proto-max-bulk-len", ironcache_resp::Limits::default().bulk_bytes_max.to_string()),
        ("repl-backlog-size", config.backlog_bytes.to_string()),
        ("requirepass", plane.requirepass.clone()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ])
}

fn set(config: &mut crate::config::Config, key: &str, value: &str) -> Result<(), String> {
    fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
        value.parse().map_err(|_| "argument couldn't be parsed into an integer".to_owned())
    }
    match key {
        "maxclients" => config.maxclients = number(value)?,
        "max-lag-bytes" => config.max_lag_bytes = number(value)?,
        "max-lag-ops" => config.max_lag_ops = number(value)?,
        "min-in-sync" => config.min_in_sync = number::<u16>(value)?.max(1),
        "handover-timeout-ms" => config.handover_timeout_ms = number(value)?,
        "park-commands-max" => config.park_commands_max = number(value)?,
        "park-ms-max" => config.park_ms_max = number(value)?,
        "requirepass" => config.requirepass = value.to_owned(),
        _ => return Err("this setting cannot be changed while the node runs".to_owned()),
    }
    Ok(())
}
