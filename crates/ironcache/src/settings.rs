//! A node's configuration from its three sources: flag over `IRONCACHE_*` variable over file over default.
//!
//! ```text
//!   defaults ◄─ file (TOML) ◄─ variables ◄─ flags  ─►  Config  ─►  Config::resolve
//! ```
//! Keys have the same names everywhere: `backlog-bytes` in the file, `IRONCACHE_BACKLOG_BYTES`, and
//! `--backlog-bytes`. The table in `ironcache_settings` says which there are and what they take.
//!
//! *Invariant:* a key of the file that is not known is refused; so is a value that its row of the table does not
//! take, and a setting of the cluster, from any source, overridden or not.
//! *Invariant:* nothing here reads the environment or a file: both are passed in.

use ironcache_node::Config;
use ironcache_settings::{BadSetting, Key, NEVER, Setting, VARIABLE_PREFIX, Value, Why, all, named};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toml::Spanned;

/// Variables with our prefix that are no configuration keys.
const OTHER_VARIABLES: &[&str] = &[
    "IRONCACHE_CONFIG",
    "IRONCACHE_SEED",
    "IRONCACHE_CREDENTIALS",
    ironcache_spine::FDS_VARIABLE,
    ironcache_spine::CLOCK_VARIABLE,
    ironcache_spine::HANDOVER_VARIABLE,
    ironcache_spine::HANDOVER_CONFIG_VARIABLE,
    ironcache_spine::HANDOVER_REFUSED_VARIABLE,
];

/// A flag for every setting, as text; what is not given stays open for the other sources.
#[derive(Clone, Debug, Default)]
pub struct ConfigFlags(BTreeMap<Key, String>);

impl clap::Args for ConfigFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(all().map(flag))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| {
            let text = matches.get_one::<String>(setting.name)?;
            Some((setting.key, text.clone()))
        };
        Ok(ConfigFlags(all().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(setting: &'static Setting) -> clap::Arg {
    let default = match setting.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    // A setting of the cluster is no flag to be found, and refused with what to do by whoever gives it.
    let hidden = match setting.key {
        Key::Node(_) => false,
        Key::Cluster(_) => true,
    };
    clap::Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.kind.placeholder())
        .help(format!("{}{default}", setting.doc))
        .hide(hidden)
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is no TOML.
    #[error("{}, line {}: {}{}", .path.display(), .line, .key.as_ref().map_or_else(String::new, |key| format!("{key}: ")), .source.message())]
    File {
        path: PathBuf,
        line: usize,
        /// The key at whose value the error is, if it is at one.
        key: Option<String>,
        source: Box<toml::de::Error>,
    },
    #[error("{}, line {}: {}", .path.display(), .line, .bad)]
    InFile { path: PathBuf, line: usize, bad: Box<BadSetting> },
    #[error("{}={:?}: {}", .variable, .bad.value, .bad.why)]
    Variable { variable: String, bad: BadSetting },
    #[error("--{} {}: {}", .bad.key, .bad.value, .bad.why)]
    Flag { bad: BadSetting },
    /// Each is good, and together they are not; or the machine has no such address.
    #[error(transparent)]
    Check(#[from] BadSetting),
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
    let mut values = BTreeMap::new();
    if let Some((path, text)) = file {
        values.extend(from_file(&path, &text)?);
    }
    for setting in all() {
        let variable = setting.variable();
        if let Some((_, text)) = variables.iter().find(|(name, _)| *name == variable) {
            let value = of_node(setting, text).map_err(|bad| SettingsError::Variable { variable, bad })?;
            values.insert(setting.key, value);
        }
    }
    for (key, text) in &flags.0 {
        let value = of_node(key.setting(), text).map_err(|bad| SettingsError::Flag { bad })?;
        values.insert(*key, value);
    }
    Ok(Config::default().with(&values).resolve()?)
}

/// The value of a setting that a node is told, which one of the cluster is not.
fn of_node(setting: &'static Setting, text: &str) -> Result<Value, BadSetting> {
    match setting.key {
        Key::Cluster(key) if !Config::HOLDS.contains(&key) => {
            Err(setting.bad(text, Why::OfTheCluster { name: setting.name }))
        }
        Key::Node(_) | Key::Cluster(_) => setting.parse(text),
    }
}

fn from_file(path: &std::path::Path, text: &str) -> Result<BTreeMap<Key, Value>, SettingsError> {
    let parsed = toml::from_str::<BTreeMap<Spanned<String>, Spanned<toml::Value>>>(text);
    let table = parsed.map_err(|source| wrong_in_file(path, text, source))?;
    let mut entries: Vec<_> = table.into_iter().collect();
    // The first mistake of the file is told, not that of the first key in the alphabet.
    entries.sort_by_key(|(key, _)| key.span().start);
    let read = |(key, value): (Spanned<String>, Spanned<toml::Value>)| {
        of_toml(key.get_ref(), value.get_ref()).map_err(|bad| SettingsError::InFile {
            path: path.to_owned(),
            line: line_at(text, key.span().start),
            bad: Box::new(bad),
        })
    };
    entries.into_iter().map(read).collect()
}

/// TOML tells numbers from text, and a file that has one in the place of the other is mistaken about its key.
fn of_toml(name: &str, value: &toml::Value) -> Result<(Key, Value), BadSetting> {
    let setting = named(name, &value.to_string())?;
    let text = match (setting.kind.is_number(), value) {
        (true, toml::Value::Integer(number)) => number.to_string(),
        (true, toml::Value::String(text)) if text == NEVER => text.clone(),
        (true, toml::Value::String(text)) if setting.kind.takes_units() => text.clone(),
        // Its quotes, or point, show what is wrong.
        (true, other) => other.to_string(),
        (false, toml::Value::String(text)) => text.clone(),
        (false, other) => return Err(setting.bad(&other.to_string(), Why::NotText)),
    };
    Ok((setting.key, of_node(setting, &text)?))
}

/// Where in the file an error is, for a person.
fn wrong_in_file(path: &std::path::Path, text: &str, source: toml::de::Error) -> SettingsError {
    let line = line_at(text, source.span().map_or(0, |span| span.start));
    // The file is flat: the key stands at the beginning of its line.
    let key = text.lines().nth(line - 1).and_then(|line| line.split_once('='));
    let key = key.map(|(key, _)| key.trim().to_owned()).filter(|key| !key.is_empty());
    SettingsError::File { path: path.to_owned(), line, key, source: Box::new(source) }
}

fn line_at(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// Variables with our prefix that nothing reads: likely misspelt.
pub fn unknown_variables(variables: &[(String, String)]) -> Vec<String> {
    let known: Vec<String> = all().map(Setting::variable).collect();
    let unread = |name: &String| !known.contains(name) && !OTHER_VARIABLES.contains(&name.as_str());
    variables
        .iter()
        .map(|(name, _)| name)
        .filter(|n| n.starts_with(VARIABLE_PREFIX) && unread(n))
        .cloned()
        .collect()
}

/// Where a value comes from, as a person finds it there. What is not named is a default, or follows from another.
pub type Origins = BTreeMap<Key, String>;

/// Of sources that are [`layered`] without an error.
pub fn origins(
    file: Option<&(PathBuf, String)>,
    variables: &[(String, String)],
    flags: &ConfigFlags,
) -> Origins {
    let mut origins = Origins::new();
    if let Some((path, text)) = file {
        let parsed = toml::from_str::<BTreeMap<Spanned<String>, Spanned<toml::Value>>>(text);
        for (key, _) in parsed.unwrap_or_default() {
            let line = line_at(text, key.span().start);
            if let Ok(setting) = named(key.get_ref(), "") {
                origins.insert(setting.key, format!("{}, line {line}", path.display()));
            }
        }
    }
    for setting in all() {
        let variable = setting.variable();
        if variables.iter().any(|(name, _)| *name == variable) {
            origins.insert(setting.key, variable);
        }
    }
    origins.extend(flags.0.keys().map(|key| (*key, format!("--{}", key.setting().name))));
    origins
}

/// One setting in effect.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    pub name: &'static str,
    /// As TOML.
    pub value: String,
    pub from: String,
}

/// The configuration as a file that says the same, with where each value comes from beside it.
pub fn as_file(config: &Config, origins: &Origins) -> String {
    let line = |Shown { name, value, from }| format!("{name} = {value}  # {from}");
    shown(config, origins).into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Every setting in effect, in the order of the table. Passwords are not shown, and what the cluster decides only if this node
/// was given its own.
pub fn shown(config: &Config, origins: &Origins) -> Vec<Shown> {
    let line = |setting: &'static Setting| {
        let value = match setting.key {
            Key::Node(key) => config.value(key),
            Key::Cluster(_) if !config.own_timers => return None,
            Key::Cluster(key) => config.cluster_value(key)?,
        };
        let derived = value != setting.default_value();
        let value = match value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) if setting.kind.is_secret() && !text.is_empty() => "\"(set)\"".to_owned(),
            Value::Never | Value::Word(_) | Value::Text(_) => {
                toml::Value::String(value.to_string()).to_string()
            }
        };
        let from = origins.get(&setting.key).cloned();
        let unnamed = if derived { "follows from others" } else { "default" };
        Some(Shown { name: setting.name, value, from: from.unwrap_or_else(|| unnamed.to_owned()) })
    };
    all().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};
    use ironcache_settings::node;

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
        assert_eq!(config.hang_timeout_ms, Config::default().hang_timeout_ms);
        assert_eq!(config.peer_port, 11003);
    }

    #[test]
    fn every_key_is_a_flag_and_those_of_the_cluster_are_not_advertised() {
        let command = ConfigFlags::augment_args(clap::Command::new("server"));
        let shown: Vec<_> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
        let shown: Vec<_> =
            shown.into_iter().filter_map(clap::Arg::get_long).filter(|f| *f != "help").collect();
        assert_eq!(shown, node::TABLE.iter().map(|setting| setting.name).collect::<Vec<_>>());
        for setting in all() {
            assert!(
                command.get_arguments().any(|arg| arg.get_long() == Some(setting.name)),
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn every_key_is_a_variable_and_a_flag_and_reads_its_default() {
        let default = Config::default().resolve().unwrap();
        for setting in &node::TABLE {
            let named = vec![(setting.variable(), setting.default.to_owned())];
            assert_eq!(layered(None, &named, &flags(&[])).unwrap(), default, "{}", setting.name);
            assert!(unknown_variables(&named).is_empty(), "{}", setting.name);
            let flag = format!("--{}={}", setting.name, setting.default);
            assert_eq!(layered(None, &[], &flags(&[&flag])).unwrap(), default, "{}", setting.name);
        }
    }

    #[test]
    fn the_annotated_example_has_every_key_at_its_default() {
        let text = include_str!("../../../docs/ironcache.toml");
        assert_eq!(toml::from_str::<toml::Table>(text).unwrap().len(), node::TABLE.len());
        let config = layered(file(text), &[], &flags(&[])).unwrap();
        assert_eq!(config, Config::default().resolve().unwrap());
    }

    #[test]
    fn what_check_shows_is_a_file_that_says_the_same() {
        let given = flags(&["--port", "7001", "--data-dir", "a \"b\"", "--requirepass", "secret"]);
        let config = layered(None, &[], &given).unwrap();
        let shown = as_file(&config, &Origins::new());
        let again = layered(file(&shown), &[], &ConfigFlags::default()).unwrap();
        assert_eq!(again, Config { requirepass: "(set)".to_owned(), ..config });
        assert!(
            !shown.contains("heartbeat-ms"),
            "a file of it would take the node out of the cluster's timers"
        );
        let own = layered(None, &[], &flags(&["--election-max-ms", "2000"])).unwrap();
        assert_eq!(
            layered(file(&as_file(&own, &Origins::new())), &[], &ConfigFlags::default()).unwrap(),
            own
        );
    }

    #[test]
    fn every_value_is_shown_with_where_it_comes_from() {
        let text = "# A node.\nport = 1001\nmaxclients = 5\nlog = \"file\"";
        let named = variables(&[("IRONCACHE_LOG", "variable"), ("IRONCACHE_MAXCLIENTS", "6")]);
        let given = flags(&["--maxclients", "7"]);
        let config = layered(file(text), &named, &given).unwrap();
        let shown = shown(&config, &origins(file(text).as_ref(), &named, &given));
        let of = |name: &str| {
            let shown = shown.iter().find(|shown| shown.name == name).unwrap();
            (shown.value.as_str(), shown.from.as_str())
        };
        assert_eq!(of("port"), ("1001", "node.toml, line 2"));
        assert_eq!(of("log"), ("\"variable\"", "IRONCACHE_LOG"));
        assert_eq!(of("maxclients"), ("7", "--maxclients"));
        assert_eq!(of("peer-port"), ("11001", "follows from others"));
        assert_eq!(of("tcp-keepalive"), ("300", "default"));
    }

    #[test]
    fn a_setting_of_the_cluster_is_refused_by_name_from_every_source() {
        let advice =
            "`auto-rollout` is a setting of the whole cluster: `ironcache cluster policy set auto-rollout V`";
        let said = |result: Result<Config, SettingsError>| result.unwrap_err().to_string();
        let error = said(layered(file("port = 1\nauto-rollout = \"patch\""), &[], &flags(&[])));
        assert_eq!(error, format!("node.toml, line 2: auto-rollout = patch: {advice}"));
        let named = variables(&[("IRONCACHE_AUTO_ROLLOUT", "patch")]);
        let error = said(layered(None, &named, &flags(&[])));
        assert_eq!(error, format!("IRONCACHE_AUTO_ROLLOUT=\"patch\": {advice}"));
        let error = said(layered(None, &[], &flags(&["--auto-rollout", "patch"])));
        assert_eq!(error, format!("--auto-rollout patch: {advice}"));
    }

    #[test]
    fn a_zero_that_would_stop_a_node_is_refused_with_the_bar_and_what_to_do() {
        for key in
            ["maxclients", "ready-timeout-ms", "confirm-timeout-ms", "hang-timeout-ms", "drain-timeout-ms"]
        {
            let error = layered(file(&format!("{key} = 0")), &[], &flags(&[])).unwrap_err().to_string();
            assert!(error.starts_with(&format!("node.toml, line 1: {key} = 0: ")), "{error}");
            assert!(error.contains("at least 1 is needed"), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_of_the_file_is_refused_by_name() {
        let error = layered(file("port = 1\nprot = 2"), &[], &flags(&[])).unwrap_err().to_string();
        assert_eq!(error, "node.toml, line 2: prot = 2: there is no such setting; did you mean `port`?");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_wherever_it_stands() {
        let wrong = |text: &str| layered(file(text), &[], &flags(&[])).unwrap_err().to_string();
        let error = wrong("# A node.\nbind = \"127.0.0.1\"\n\nport = \"7001\"\nlog = 5\n");
        assert_eq!(error, "node.toml, line 4: port = \"7001\": a whole number, in digits, is expected");
        let error = wrong("maxclients = -1");
        assert!(error.starts_with("node.toml, line 1: maxclients = -1: a whole number"), "{error}");
        assert_eq!(wrong("log = 5"), "node.toml, line 1: log = 5: text in quotes is expected");
        assert!(!wrong("requirepass = 5150").contains("5150"));
        let error = wrong("port = 1\nlog = \"open");
        assert!(error.starts_with("node.toml, line 2: log: "), "{error}");
        let named = variables(&[("IRONCACHE_MAXCLIENTS", "many")]);
        let error = layered(None, &named, &flags(&[])).unwrap_err().to_string();
        assert!(error.contains("IRONCACHE_MAXCLIENTS=\"many\": a whole number"), "{error}");
        let named = variables(&[("IRONCACHE_PORT", "70000")]);
        let error = layered(None, &named, &flags(&[])).unwrap_err().to_string();
        assert!(error.starts_with("IRONCACHE_PORT=\"70000\": no port is above 65535"), "{error}");
        let error = layered(None, &[], &flags(&["--port", "high"])).unwrap_err().to_string();
        assert_eq!(error, "--port high: a whole number, in digits, is expected");
    }

    #[test]
    fn never_is_a_word_where_it_is_a_value_and_nowhere_else() {
        let read = |text: &str| layered(file(text), &[], &flags(&[]));
        let config = read("slowlog-slower-than-us = \"never\"").unwrap();
        assert_eq!(config.slowlog_slower_than_us, None);
        let again = read(&as_file(&config, &Origins::new())).unwrap();
        assert_eq!(again, config);
        let error = read("port = \"never\"").unwrap_err().to_string();
        assert!(error.ends_with("a whole number, in digits, is expected"), "{error}");
    }

    #[test]
    fn a_misspelt_variable_is_noticed() {
        let named = variables(&[("IRONCACHE_PROT", "1"), ("IRONCACHE_CREDENTIALS", "x"), ("PATH", "y")]);
        assert_eq!(unknown_variables(&named), ["IRONCACHE_PROT"]);
    }

    #[test]
    fn fuzz_files_are_shown_as_files_that_say_the_same() {
        let given = "port = 7001\nlog = \"info\"\nbacklog-bytes = 1048576\nheartbeat-ms = 200\nelection-max-ms = 2000\n";
        let files = [include_str!("../../../docs/ironcache.toml"), given];
        let words = [
            "=", "\"", "\"\"\"", "[", "]", "[[x]]\n", "{", "\n", "#", "'", "\\u0000", "true", "1e9", "0x7f",
            "port",
        ];
        ironcache_fuzz::Campaign::of("configuration files").from(files).words(words).keeps(4 << 20).run(
            |bytes| {
                let text = String::from_utf8_lossy(bytes);
                let named = file(&text);
                drop(origins(named.as_ref(), &[], &ConfigFlags::default()));
                let config = match layered(named, &[], &ConfigFlags::default()) {
                    Ok(config) => config,
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        return Err(std::mem::discriminant(&error));
                    }
                };
                let shown = as_file(&config, &Origins::new());
                let again =
                    layered(file(&shown), &[], &ConfigFlags::default()).expect("what is shown can be read");
                // What is secret is not shown.
                let Config { requirepass, .. } = &config;
                let requirepass = if requirepass.is_empty() { String::new() } else { "(set)".to_owned() };
                assert_eq!(again, Config { requirepass, ..config.clone() });
                Ok(config.own_timers)
            },
        );
    }
}
