//! A node's configuration from its three sources: flag over `IRONCACHE_*` variable over file over default.
//!
//! ```text
//!   defaults ◄─ file (TOML) ◄─ variables ◄─ flags  ─►  Config  ─►  Config::resolve
//! ```
//! Keys have the same names everywhere: `backlog-bytes` in the file, `IRONCACHE_BACKLOG_BYTES`, and
//! `--backlog-bytes`.
//!
//! *Invariant:* a key of the file that is not known is refused; so is a value of the wrong type, from
//! any source.
//! *Invariant:* nothing here reads the environment or a file: both are passed in.

use ironcache_node::{Config, ConfigError};
use serde::Serialize;
use std::path::PathBuf;

pub const VARIABLE_PREFIX: &str = "IRONCACHE_";

/// Variables with our prefix that are no configuration keys.
const OTHER_VARIABLES: &[&str] = &[
    "IRONCACHE_CONFIG",
    "IRONCACHE_SEED",
    ironcache_spine::FDS_VARIABLE,
    ironcache_spine::HANDOVER_VARIABLE,
    ironcache_spine::HANDOVER_REFUSED_VARIABLE,
];

/// One flag for every key of [`Config`]; what is not given stays open for the other sources.
#[derive(Clone, Debug, Default, clap::Args, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConfigFlags {
    /// Where the node keeps its identity, raft log, binaries and checkpoint
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// Address that the three listeners bind to
    #[arg(long, value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bind: Option<String>,
    /// Client port (RESP)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// Port of raft and replication [port + 10000]
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_port: Option<u16>,
    /// Port of health, metrics, status and administration [port + 20000]
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http_port: Option<u16>,
    /// Host name or address that others are told [bind]
    #[arg(long, value_name = "HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    announce_host: Option<String>,
    /// Password that clients have to give with AUTH
    #[arg(long, value_name = "PASSWORD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    requirepass: Option<String>,
    /// Most clients at a time
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    maxclients: Option<u32>,
    /// Replication frames kept for partial resynchronisation
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    backlog_bytes: Option<u64>,
    /// Acknowledged bytes that an in-sync member may lack in mode `primary`
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lag_bytes: Option<u64>,
    /// Acknowledged operations that an in-sync member may lack in mode `primary`
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lag_ops: Option<u64>,
    /// A silent member leaves the in-sync set after this
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    isr_timeout_ms: Option<u64>,
    /// In-sync members, the primary included, that a write needs
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_in_sync: Option<u16>,
    /// A handover without an outcome is aborted after this
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    handover_timeout_ms: Option<u64>,
    /// Commands held back during a handover, at most
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    park_commands_max: Option<u32>,
    /// How long a command is held back before it is answered TRYAGAIN
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    park_ms_max: Option<u64>,
    /// Raft's heartbeat
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat_ms: Option<u64>,
    /// Raft's election timeout, lower bound
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    election_min_ms: Option<u64>,
    /// Raft's election timeout, upper bound
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    election_max_ms: Option<u64>,
    /// How long a stopping node waits for its clients to take their answers
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_timeout_ms: Option<u64>,
    /// A new binary has to be ready within this
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_timeout_ms: Option<u64>,
    /// A new binary has to be confirmed by the cluster within this
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm_timeout_ms: Option<u64>,
    /// A daemon that gives no sign of life for this long counts as hung
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    hang_timeout_ms: Option<u64>,
    /// What is logged: a filter such as `info` or `ironcache_raft=debug,info`
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{}, line {}: {}{}", .path.display(), .line, .key.as_ref().map_or_else(String::new, |key| format!("{key}: ")), .source.message())]
    File {
        path: PathBuf,
        line: usize,
        /// The key at whose value the error is, if it is at one.
        key: Option<String>,
        source: Box<toml::de::Error>,
    },
    #[error("{variable}={value:?}: a whole number is expected")]
    Variable { variable: String, value: String },
    #[error("{0}")]
    Value(Box<toml::de::Error>),
    #[error(transparent)]
    Check(#[from] ConfigError),
}

/// Puts the sources together. `file` is the path and the text of the configuration file.
///
/// # Errors
/// Names the key, where it stands, and what is wrong with it.
pub fn layered(
    file: Option<(PathBuf, String)>,
    variables: &[(String, String)],
    flags: &ConfigFlags,
) -> Result<Config, SettingsError> {
    let mut settings = match file {
        Some((path, text)) => {
            let wrong = |source| wrong_in_file(path.clone(), &text, source);
            // Read as what it has to be, so that an error names the file and not a later layer.
            toml::from_str::<Config>(&text).map_err(wrong)?;
            toml::from_str::<toml::Table>(&text).map_err(wrong)?
        }
        None => toml::Table::new(),
    };
    settings.extend(from_variables(variables)?);
    settings.extend(as_table(flags));
    let config: Config = settings.try_into().map_err(|error| SettingsError::Value(Box::new(error)))?;
    Ok(config.resolve()?)
}

/// Where in the file an error is, for a person.
fn wrong_in_file(path: PathBuf, text: &str, source: toml::de::Error) -> SettingsError {
    let at = source.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    // The file is flat: the key stands at the beginning of its line.
    let key = text.lines().nth(line - 1).and_then(|line| line.split_once('='));
    let key = key.map(|(key, _)| key.trim().to_owned()).filter(|key| !key.is_empty());
    SettingsError::File { path, line, key, source: Box::new(source) }
}

/// Variables with our prefix that nothing reads: likely misspelt.
pub fn unknown_variables(variables: &[(String, String)]) -> Vec<String> {
    let known: Vec<String> = keys().iter().map(|(key, _)| variable_of(key)).collect();
    let unread = |name: &String| !known.contains(name) && !OTHER_VARIABLES.contains(&name.as_str());
    variables
        .iter()
        .map(|(name, _)| name)
        .filter(|n| n.starts_with(VARIABLE_PREFIX) && unread(n))
        .cloned()
        .collect()
}

fn from_variables(variables: &[(String, String)]) -> Result<toml::Table, SettingsError> {
    let mut table = toml::Table::new();
    for (key, default) in keys() {
        let variable = variable_of(&key);
        let Some((_, value)) = variables.iter().find(|(name, _)| *name == variable) else { continue };
        let value = match default {
            toml::Value::Integer(_) => match value.parse() {
                Ok(number) => toml::Value::Integer(number),
                Err(_) => return Err(SettingsError::Variable { variable, value: value.clone() }),
            },
            _ => toml::Value::String(value.clone()),
        };
        table.insert(key, value);
    }
    Ok(table)
}

fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_uppercase().replace('-', "_"))
}

/// Every key with its default.
fn keys() -> toml::Table {
    as_table(&Config::default())
}

fn as_table(settings: &impl Serialize) -> toml::Table {
    toml::Table::try_from(settings).expect("settings are text and numbers within TOML's range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn flags(args: &[&str]) -> ConfigFlags {
        let command = ConfigFlags::augment_args(clap::Command::new("server").no_binary_name(true));
        ConfigFlags::from_arg_matches(&command.try_get_matches_from(args).unwrap()).unwrap()
    }

    fn variables(named: &[(&str, &str)]) -> Vec<(String, String)> {
        named.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn file(text: &str) -> Option<(PathBuf, String)> {
        Some((PathBuf::from("node.toml"), text.to_owned()))
    }

    #[test]
    fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
        let text = "port = 1001\nmaxclients = 1\nlog = \"file\"";
        let named = variables(&[("IRONCACHE_PORT", "1002"), ("IRONCACHE_LOG", "variable")]);
        let config = layered(file(text), &named, &flags(&["--port", "1003"])).unwrap();
        assert_eq!((config.port, config.log.as_str(), config.maxclients), (1003, "variable", 1));
        assert_eq!(config.min_in_sync, Config::default().min_in_sync);
        assert_eq!(config.peer_port, 11003);
    }

    #[test]
    fn every_key_is_a_flag() {
        let command = ConfigFlags::augment_args(clap::Command::new("server"));
        let flags: Vec<_> =
            command.get_arguments().filter_map(clap::Arg::get_long).map(str::to_owned).collect();
        let mut flags: Vec<_> = flags.into_iter().filter(|flag| flag != "help").collect();
        flags.sort();
        let keys: Vec<_> = keys().into_iter().map(|(key, _)| key).collect();
        assert_eq!(flags, keys);
    }

    #[test]
    fn every_key_is_a_variable() {
        for (key, default) in keys() {
            let value = match default {
                toml::Value::Integer(number) => number.to_string(),
                other => other.as_str().unwrap().to_owned(),
            };
            let named = vec![(variable_of(&key), value)];
            assert_eq!(
                layered(None, &named, &flags(&[])).unwrap(),
                Config::default().resolve().unwrap(),
                "{key}"
            );
            assert!(unknown_variables(&named).is_empty(), "{key}");
        }
    }

    #[test]
    fn the_annotated_example_has_every_key_at_its_default() {
        let text = include_str!("../../../docs/ironcache.toml");
        assert_eq!(toml::from_str::<toml::Table>(text).unwrap(), keys());
        let config = layered(file(text), &[], &flags(&[])).unwrap();
        assert_eq!(config, Config::default().resolve().unwrap());
        // Annotated: above each key, or above the group it is in, stands a comment.
        let groups = text.split("\n\n").filter(|group| !group.trim().is_empty());
        assert!(groups.clone().count() > 5);
        for group in groups {
            assert!(group.trim_start().starts_with('#'), "{group}");
        }
    }

    #[test]
    fn an_unknown_key_of_the_file_is_refused_by_name() {
        let error = layered(file("port = 1\nprot = 2"), &[], &flags(&[])).unwrap_err().to_string();
        assert!(error.contains("node.toml") && error.contains("`prot`"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_wherever_it_stands() {
        let wrong = |text: &str| layered(file(text), &[], &flags(&[])).unwrap_err().to_string();
        let error = wrong("# A node.\nbind = \"127.0.0.1\"\n\nport = \"high\"\n");
        assert_eq!(error, "node.toml, line 4: port: invalid type: string \"high\", expected u16");
        let error = wrong("maxclients = -1");
        assert!(error.starts_with("node.toml, line 1: maxclients: "), "{error}");
        let error = wrong("port = 1\nlog = \"open");
        assert!(error.starts_with("node.toml, line 2: log: "), "{error}");
        let named = variables(&[("IRONCACHE_MAXCLIENTS", "many")]);
        let error = layered(None, &named, &flags(&[])).unwrap_err().to_string();
        assert!(error.contains("IRONCACHE_MAXCLIENTS=\"many\""), "{error}");
        let named = variables(&[("IRONCACHE_PORT", "70000")]);
        assert!(layered(None, &named, &flags(&[])).is_err());
    }

    #[test]
    fn a_misspelt_variable_is_noticed() {
        let named = variables(&[("IRONCACHE_PROT", "1"), ("IRONCACHE_SEED", "x"), ("PATH", "y")]);
        assert_eq!(unknown_variables(&named), ["IRONCACHE_PROT"]);
    }
}
