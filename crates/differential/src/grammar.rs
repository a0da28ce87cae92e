//! What redis-server says of the arguments of its commands: `COMMAND DOCS`, and the arity.

use ironcache_resp::Value;
use std::collections::BTreeMap;

/// The kind of an argument, as `COMMAND DOCS` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "double" => Kind::Double,
            "key" => Kind::Key,
            "pattern" => Kind::Pattern,
            "unix-time" => Kind::UnixTime,
            "pure-token" => Kind::PureToken,
            "oneof" => Kind::OneOf,
            "block" => Kind::Block,
            _ => return None,
        })
    }
}

/// An argument, with those that it consists of.
#[derive(Clone, Debug)]
pub(crate) struct Arg {
    pub name: String,
    pub kind: Kind,
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
    pub parts: Vec<Arg>,
}

/// One command, or one subcommand.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// Of a subcommand `command|subcommand`.
    pub name: String,
    pub group: String,
    pub args: Vec<Arg>,
}

/// The commands of a server, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grammar {
    pub(crate) commands: BTreeMap<String, Command>,
}

impl Grammar {
    /// Reads the reply to `COMMAND DOCS` in RESP3. What it does not understand it leaves out.
    pub(crate) fn read(docs: &Value) -> Self {
        let Value::Map(commands) = docs else {
            return Self::default();
        };
        let mut all = BTreeMap::new();
        for (name, about) in commands {
            let under = match field(about, "subcommands") {
                Some(Value::Map(subcommands)) => subcommands.as_slice(),
                _ => &[],
            };
            let one = std::iter::once((name, about));
            let with_those_under_it: Vec<_> = if under.is_empty() {
                one.collect()
            } else {
                under.iter().map(|(name, about)| (name, about)).collect()
            };
            let commands = with_those_under_it.into_iter().filter_map(|(name, about)| command(name, about));
            all.extend(commands.map(|command| (command.name.clone(), command)));
        }
        Self { commands: all }
    }

    /// Keeps the commands about data that `wanted` has, and that a comparison is about.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        /// What blocks, needs another server, tells of this one, or is about several databases.
        const NOT_COMPARED: [&str; 14] = [
            "wait",
            "migrate",
            "move",
            "swapdb",
            "object",
            "blpop",
            "brpop",
            "blmove",
            "brpoplpush",
            "blmpop",
            "bzpopmin",
            "bzpopmax",
            "bzmpop",
            "pfdebug",
        ];
        const GROUPS: [&str; 10] = [
            "string",
            "hash",
            "list",
            "set",
            "sorted-set",
            "generic",
            "bitmap",
            "hyperloglog",
            "geo",
            "stream",
        ];
        self.commands.retain(|name, command| {
            let whole = container(name);
            wanted(whole) && GROUPS.contains(&&*command.group) && !NOT_COMPARED.contains(&whole)
        });
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.commands.keys().map(String::as_str)
    }
}

/// The command that a subcommand is under, or itself.
pub(crate) fn container(name: &str) -> &str {
    name.split('|').next().unwrap_or(name)
}

fn command(name: &Value, about: &Value) -> Option<Command> {
    let name = text(name)?;
    let group = text(field(about, "group")?)?;
    let args = field(about, "arguments").map_or(Some(Vec::new()), args)?;
    Some(Command { name, group, args })
}

fn text(value: &Value) -> Option<String> {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn field<'a>(of: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Map(pairs) = of else { return None };
    pairs.iter().find_map(|(key, value)| (key.as_bytes() == Some(name.as_bytes())).then_some(value))
}

fn args(list: &Value) -> Option<Vec<Arg>> {
    let Value::Array(list) = list else { return None };
    list.iter().map(arg).collect()
}

fn arg(about: &Value) -> Option<Arg> {
    let flags: Vec<String> = match field(about, "flags") {
        Some(Value::Array(flags) | Value::Set(flags)) => flags.iter().filter_map(text).collect(),
        _ => Vec::new(),
    };
    let is = |flag: &str| flags.iter().any(|it| it == flag);
    Some(Arg {
        name: text(field(about, "name")?)?,
        kind: Kind::named(&text(field(about, "type")?)?)?,
        token: field(about, "token").and_then(text),
        optional: is("optional"),
        multiple: is("multiple"),
        multiple_token: is("multiple_token"),
        parts: field(about, "arguments").map_or(Some(Vec::new()), args)?,
    })
}
