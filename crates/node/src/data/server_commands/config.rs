//! CONFIG GET and SET: Redis's names for what exists here, and what can change while running.

use super::super::client::Client;
use super::super::dispatch::{self, Turn};
use super::super::plane::Plane;
use super::ok;
use super::subcommands::{Subcommand, help_or_refuse};
use crate::config::{Config, ConfigError};
use ironcache_command::glob_matches;
use ironcache_resp::{Writer, parse_integer};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
            let found: Vec<_> = values(&plane.config).into_iter().filter(|(key, _)| wanted(key)).collect();
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
            match changed(&plane.config, pairs.as_chunks().0) {
                Ok(config) => {
                    plane.reconfigure(config);
                    ok(out, protocol)
                }
                Err(refused) => dispatch::refuse(client, out, &refused.to_string()),
            }
        }
        (b"resetstat", []) => {
            plane.stats = Default::default();
            ok(out, protocol)
        }
        _ => help_or_refuse(client, args, SUBCOMMANDS, out),
    }
}

/// What `CONFIG GET` shows.
fn values(config: &Config) -> BTreeMap<String, String> {
    let redis = redis_names(config).map(|(key, value)| (key.to_owned(), value));
    settings(config).into_iter().chain(redis).collect()
}

/// What tools ask Redis for, and does not change here.
fn redis_names(config: &Config) -> [(&'static str, String); 10] {
    [
        ("appendonly", "no".to_owned()),
        ("cluster-enabled", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("dir", config.data_dir.display().to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("proto-max-bulk-len", ironcache_resp::Limits::default().bulk_bytes_max.to_string()),
        ("repl-backlog-size", config.backlog_bytes.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ]
}

/// The settings of the configuration file by their names there, so that a new one is shown without further ado.
fn settings(config: &Config) -> BTreeMap<String, String> {
    // A path need not be text, as a field would have to be.
    let data_dir = config.data_dir.display().to_string();
    let rest = Config { data_dir: PathBuf::new(), ..config.clone() };
    let Ok(serde_json::Value::Object(map)) = serde_json::to_value(rest) else {
        unreachable!("a struct of numbers and text is an object");
    };
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        value => value.to_string(),
    };
    let mut settings: BTreeMap<String, String> =
        map.into_iter().map(|(key, value)| (key, text(value))).collect();
    settings.insert("data-dir".to_owned(), data_dir);
    settings
}

/// Why `CONFIG SET` changed nothing. `Display` is the reply.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{key}'")]
    Unknown { key: String },
    #[error("ERR CONFIG SET failed (possibly related to argument '{key}') - {why}")]
    Bad { key: String, why: String },
}

/// The configuration with all of `pairs` in it. As in Redis, unknown names are told before anything else.
fn changed(config: &Config, pairs: &[[&[u8]; 2]]) -> Result<Config, Refused> {
    let known = values(config);
    let named = |[key, value]: &[&[u8]; 2]| {
        (String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(value).into_owned())
    };
    let pairs: Vec<(String, String)> = pairs.iter().map(named).collect();
    if let Some((key, _)) = pairs.iter().find(|(key, _)| !known.contains_key(&key.to_lowercase())) {
        return Err(Refused::Unknown { key: key.clone() });
    }
    let mut next = config.clone();
    for (index, (key, value)) in pairs.iter().enumerate() {
        let bad = |why| Refused::Bad { key: key.clone(), why };
        if pairs[..index].iter().any(|(before, _)| before.eq_ignore_ascii_case(key)) {
            return Err(bad("duplicate parameter".to_owned()));
        }
        set(&mut next, &key.to_lowercase(), value).map_err(bad)?;
    }
    next.resolve().map_err(|ConfigError::Bad { key, value: _, why }| Refused::Bad {
        key: key.to_owned(),
        why: why.to_owned(),
    })
}

fn set(config: &mut Config, key: &str, value: &str) -> Result<(), String> {
    match key {
        "maxclients" => config.maxclients = number(value)?,
        "max-lag-bytes" => config.max_lag_bytes = number(value)?,
        "max-lag-ops" => config.max_lag_ops = number(value)?,
        "min-in-sync" => config.min_in_sync = number(value)?,
        "handover-timeout-ms" => config.handover_timeout_ms = number(value)?,
        "park-commands-max" => config.park_commands_max = number(value)?,
        "park-ms-max" => config.park_ms_max = number(value)?,
        "requirepass" => value.clone_into(&mut config.requirepass),
        _ if settings(config).contains_key(key) => {
            return Err(
                "can't set immutable config: it is read from the file when the node starts".to_owned()
            );
        }
        _ => return Err("can't set immutable config: it is shown for tools that ask Redis for it".to_owned()),
    }
    Ok(())
}

fn number<T: TryFrom<i64>>(value: &str) -> Result<T, String> {
    let value = parse_integer(value.as_bytes())
        .ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?;
    T::try_from(value).map_err(|_| format!("argument {value} is out of range"))
}
