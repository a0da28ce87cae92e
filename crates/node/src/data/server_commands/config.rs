//! CONFIG GET, SET and REWRITE: Redis's names for what exists here, and what can change while running.

use super::super::client::Client;
use super::super::plane::Plane;
use super::super::tls::{self, NotTaken};
use super::{answer, help, ok, refuse};
use crate::config::Config;
use crate::config_file;
use crate::descriptors;
use crate::policy;
use ironcache_command::glob_matches;
use ironcache_session::{Refusal, Subcommand};
use ironcache_settings::{
    BadSetting, Change, ClusterKey, Key, Kind, NEVER, NodeKey, Setting, Unit, Value, Why, all,
};
use ironcache_types::chain;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

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
        name: "REWRITE",
        arguments: "",
        about: &["Write what CONFIG SET changed into the file that the node was started with."],
    },
    Subcommand {
        name: "SET",
        arguments: "<directive> <value> [<directive> <value> ...]",
        about: &["Set the configuration <directive>s to <value>s, all or none, until the node restarts."],
    },
];

pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"get", patterns @ [_, ..]) => {
            let wanted =
                |key: &str| patterns.iter().any(|p| glob_matches(&p.to_ascii_lowercase(), key.as_bytes()));
            let policy = plane.view.state.policy;
            let shown = values(&plane.config, |key| Some(policy::value(&policy, key)));
            let found: Vec<_> = shown.into_iter().filter(|(key, _)| wanted(key)).collect();
            answer(client, out, |reply| {
                reply.map(found.len());
                for (key, value) in found {
                    reply.bulk(key.as_bytes());
                    reply.bulk(value.as_bytes());
                }
            });
        }
        (b"set", pairs @ [_, _, ..]) => {
            if pairs.len() % 2 != 0 {
                return client.session.refuse(&Refusal::Syntax, out);
            }
            match set(plane, pairs.as_chunks().0) {
                Ok(()) => ok(client, out),
                Err(refused) => refuse(client, out, &refused),
            }
        }
        (b"rewrite", []) => match rewrite(plane) {
            Ok(()) => ok(client, out),
            Err(refused) => refuse(client, out, &refused),
        },
        (b"resetstat", []) => {
            plane.stats = Default::default();
            plane.statistics.tally.reset();
            ok(client, out);
        }
        _ => help(client, args, SUBCOMMANDS, out),
    }
}

fn set(plane: &mut Plane, pairs: &[[&[u8]; 2]]) -> Result<(), Refused> {
    let config = changed(&plane.config, pairs)?;
    if plane.accounts.is_default_set() && config.requirepass != plane.config.requirepass {
        let why = "the user default is set in the cluster: `ACL SETUSER default` gives it passwords";
        return Err(Refused::Bad { key: "requirepass".to_owned(), why: why.to_owned() });
    }
    if let Some(read) = certified(&config, pairs)? {
        tls::put_in_force(&mut plane.tls, read);
    }
    plane.reconfigure(config);
    Ok(())
}

/// How long a client waits for its file to be written. Longer, and a disk that hangs holds up everybody.
const REWRITE_WITHIN: Duration = Duration::from_secs(1);

/// Why a file was not written. `Display` is the reply.
#[derive(Debug, thiserror::Error)]
enum NotRewritten {
    #[error("ERR The server is running without a config file")]
    NoFile,
    #[error("ERR Rewriting config file: {0}")]
    Failed(String),
    #[error("ERR Rewriting config file: the disk has not answered for {} ms; it may yet be written", REWRITE_WITHIN.as_millis())]
    TooSlow,
}

/// By a thread of its own: this one waits for no disk for long.
fn rewrite(plane: &mut Plane) -> Result<(), NotRewritten> {
    let path = plane.config.file.clone().ok_or(NotRewritten::NoFile)?;
    let changes = config_file::changes(&plane.written_config, &plane.config);
    let (done, written) = channel();
    std::thread::spawn(move || {
        // Nobody waits any more when it took too long.
        let _ = done.send(config_file::write(&path, &changes));
    });
    match written.recv_timeout(REWRITE_WITHIN) {
        Ok(Ok(())) => {
            plane.written_config = Arc::clone(&plane.config);
            Ok(())
        }
        Ok(Err(error)) => Err(NotRewritten::Failed(chain(&error))),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(NotRewritten::TooSlow),
    }
}

/// What `CONFIG GET` shows: every setting by its name and by Redis', and what tools ask Redis for. `of_cluster` is
/// what is in force of the cluster's settings, as far as this node knows it.
fn values(
    config: &Config,
    of_cluster: impl Fn(ClusterKey) -> Option<Value>,
) -> BTreeMap<&'static str, String> {
    let value = |setting: &Setting| match setting.key {
        Key::Node(key) => Some(config.value(key)),
        Key::Cluster(key) => of_cluster(key),
    };
    let known = all().filter_map(|setting| Some((setting, value(setting)?)));
    let named = known.flat_map(|(setting, value)| {
        let by_redis_name = setting.redis.map(|name| (name, in_redis_words(&value)));
        [Some((setting.name, value.to_string())), by_redis_name].into_iter().flatten()
    });
    named.chain(redis_only()).collect()
}

/// By Redis' name of a setting `never` is -1, as it is there.
const NEVER_IN_REDIS: &str = "-1";

fn in_redis_words(value: &Value) -> String {
    match value {
        Value::Never => NEVER_IN_REDIS.to_owned(),
        Value::Number(_) | Value::Word(_) | Value::Text(_) => value.to_string(),
    }
}

/// What a text given by `name` is in this setting's own words.
fn from_redis_words<'a>(setting: &Setting, name: &str, text: &'a str) -> &'a str {
    let by_redis_name = setting.redis == Some(name);
    match setting.kind {
        Kind::NumberOrNever { .. } if by_redis_name && text == NEVER_IN_REDIS => NEVER,
        Kind::NumberOrNever { .. } | Kind::Number { .. } | Kind::Word(_) | Kind::Text(_) => text,
    }
}

/// What tools ask Redis for, and is no setting here.
fn redis_only() -> [(&'static str, String); 13] {
    [
        ("acl-pubsub-default", "resetchannels".to_owned()),
        ("activedefrag", "no".to_owned()),
        ("appendonly", "no".to_owned()),
        ("cluster-enabled", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("io-threads", "1".to_owned()),
        ("proto-max-bulk-len", ironcache_resp::Limits::default().bulk_bytes_max.to_string()),
        ("replica-read-only", "yes".to_owned()),
        ("replicaof", String::new()),
        ("save", String::new()),
        ("slave-read-only", "yes".to_owned()),
        ("slaveof", String::new()),
        ("unixsocket", String::new()),
    ]
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
    let mut named = Vec::new();
    for [key, value] in pairs {
        let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
        match directive(&key.to_lowercase()) {
            Some(directive) => named.push((key, directive, value)),
            None => return Err(Refused::Unknown { key: key.into_owned() }),
        }
    }
    let mut changes = BTreeMap::new();
    for (name, directive, text) in named {
        let spelled = name.to_lowercase();
        // What is so already can be asked for.
        if redis_only().iter().any(|(known, value)| *known == spelled && *value == text) {
            continue;
        }
        let bad = |why| Refused::Bad { key: name.into_owned(), why };
        // Of a kind of client that is not named what is in force stands.
        let text = match directive {
            Directive::Setting(setting) if setting.key == Key::Node(NodeKey::ClientOutputBufferLimit) => {
                format!("{} {text}", config.client_output_buffer_limit)
            }
            Directive::Setting(_) | Directive::RedisOnly => text.into_owned(),
        };
        let (key, value) = match changeable(directive, &spelled, &text) {
            Ok(change) => change,
            Err(why) => return Err(bad(why)),
        };
        if changes.insert(key, value).is_some() {
            return Err(bad("duplicate parameter".to_owned()));
        }
    }
    let resolved = config.with(&changes).resolve();
    let changed =
        resolved.map_err(|BadSetting { key, value: _, why }| Refused::Bad { key, why: why.to_string() })?;
    let clients_max = descriptors::clients_max();
    if changed.maxclients > clients_max && changed.maxclients != config.maxclients {
        let why = format!("this process has descriptors for {clients_max} clients (ulimit -n)");
        return Err(Refused::Bad { key: NodeKey::Maxclients.setting().name.to_owned(), why });
    }
    Ok(changed)
}

/// The files of TLS read anew, if a setting of theirs is among `pairs`: also if it is what it was.
fn certified(config: &Config, pairs: &[[&[u8]; 2]]) -> Result<Option<tls::Read>, Refused> {
    let of_tls = |[key, _]: &&[&[u8]; 2]| key.to_ascii_lowercase().starts_with(b"tls-");
    let Some([key, _]) = pairs.iter().find(of_tls).filter(|_| config.announced_tls_port().is_some()) else {
        return Ok(None);
    };
    tls::read_within(config).map(Some).map_err(|why| {
        let key = match &why {
            NotTaken::Tls(error) => error.key().setting().name.to_owned(),
            NotTaken::TooSlow => String::from_utf8_lossy(key).into_owned(),
        };
        Refused::Bad { key, why: chain(&why) }
    })
}

/// What a name of `CONFIG` stands for.
#[derive(Clone, Copy)]
enum Directive {
    Setting(&'static Setting),
    RedisOnly,
}

fn directive(name: &str) -> Option<Directive> {
    let of_redis = || redis_only().iter().any(|(known, _)| *known == name).then_some(Directive::RedisOnly);
    let setting = all().find(|setting| setting.name == name || setting.redis == Some(name));
    setting.map(Directive::Setting).or_else(of_redis)
}

/// The new value of one setting, if it can change here and now.
fn changeable(directive: Directive, name: &str, text: &str) -> Result<(Key, Value), String> {
    let setting = match directive {
        Directive::Setting(setting) => setting,
        Directive::RedisOnly => {
            return Err("can't set immutable config: it is shown for tools that ask Redis for it".to_owned());
        }
    };
    match (setting.key, setting.change) {
        (Key::Node(_), Change::Running) => {}
        (Key::Node(_), Change::AtStart | Change::AtCreate) => {
            let why = "can't set immutable config: it is read from the file when the node starts";
            return Err(why.to_owned());
        }
        (Key::Cluster(_), Change::Running) => {
            return Err(Why::OfTheCluster { name: setting.name }.to_string());
        }
        (Key::Cluster(_), Change::AtCreate | Change::AtStart) => {
            return Err(format!("can't set immutable config: {}", Why::FixedAtCreate));
        }
    }
    match setting.parse(from_redis_words(setting, name, text)) {
        Ok(value) => Ok((setting.key, value)),
        Err(BadSetting { why: Why::NotANumber { unit: Unit::Memory, .. }, .. }) => {
            Err("argument must be a memory value".to_owned())
        }
        Err(BadSetting { why: Why::NotANumber { .. }, .. }) => {
            Err("argument couldn't be parsed into an integer".to_owned())
        }
        Err(BadSetting { why: Why::NotAWord { words }, .. }) => Err(match words {
            ["yes", "no"] => "argument must be 'yes' or 'no'".to_owned(),
            words => format!("argument(s) must be one of the following: {}", words.join(", ")),
        }),
        Err(BadSetting { why, .. }) => Err(why.to_string()),
    }
}
