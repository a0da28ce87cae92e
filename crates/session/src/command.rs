//! COMMAND: the command table, as clients and redis-cli read it.

use crate::refusal::Refusal;
use crate::session::Session;
use crate::subcommand::{Subcommand, help_or_refuse};
use crate::turn::Turn;
use ironcache_command::{
    Begin, Find, Flags, KeySpec, Spec, find, glob_matches, key_specs, keys_and_flags, lookup, subcommands,
    table,
};
use ironcache_resp::Writer;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand { name: "(no subcommand)", arguments: "", about: &["Return details about all commands."] },
    Subcommand { name: "COUNT", arguments: "", about: &["Return the total number of commands."] },
    Subcommand {
        name: "DOCS",
        arguments: "[<command-name> ...]",
        about: &["Return documentation of the named commands, or of all."],
    },
    Subcommand {
        name: "GETKEYS",
        arguments: "<full-command>",
        about: &["Return the keys from a full command."],
    },
    Subcommand {
        name: "GETKEYSANDFLAGS",
        arguments: "<full-command>",
        about: &["Return the keys and the access flags from a full command."],
    },
    Subcommand {
        name: "INFO",
        arguments: "[<command-name> ...]",
        about: &["Return details about the named commands, or about all."],
    },
    Subcommand {
        name: "LIST",
        arguments: "[FILTERBY (PATTERN <pattern> | ACLCAT <category> | MODULE <module>)]",
        about: &["Return the names of all commands, or of those that the filter takes."],
    },
];

impl Session {
    pub(crate) fn command(&self, args: &[&[u8]], out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        let Some(sub) = args.get(1) else {
            return self.answer(out, |reply| infos(reply, table()));
        };
        match (sub.to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"count", []) => self.answer(out, |reply| reply.count(table().len())),
            (b"info", []) => self.answer(out, |reply| infos(reply, table())),
            (b"info", names) => self.answer(out, |reply| {
                reply.array(names.len());
                for name in names {
                    match find(name) {
                        Some(spec) => info(reply, spec),
                        None => reply.null(),
                    }
                }
            }),
            (b"list", filter) => {
                let names = listed(filter).ok_or(Refusal::Syntax)?;
                self.answer(out, |reply| {
                    reply.array(names.len());
                    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
                })
            }
            (b"docs", names) => {
                let wanted: Vec<&Spec> = if names.is_empty() {
                    table().iter().collect()
                } else {
                    names.iter().filter_map(|name| find(name)).collect()
                };
                self.answer(out, |reply| {
                    reply.map(wanted.len());
                    wanted.into_iter().for_each(|spec| docs(reply, spec));
                })
            }
            // Redis takes no command without arguments here: there would be no keys among them.
            (b"getkeysandflags", command @ [_, _, ..]) => {
                let spec = with_keys(command)?;
                let keys = keys_and_flags(spec, command);
                if keys.is_empty() {
                    return Err(Refusal::KeysArguments);
                }
                self.answer(out, |reply| {
                    reply.array(keys.len());
                    for (key, flags) in &keys {
                        reply.array(2);
                        reply.bulk(key);
                        words(reply, flags.iter().copied());
                    }
                })
            }
            (b"getkeys", command @ [_, _, ..]) => {
                let keys: Vec<&[u8]> = with_keys(command)?.keys(command).collect();
                if keys.is_empty() {
                    return Err(Refusal::KeysArguments);
                }
                self.answer(out, |reply| {
                    reply.array(keys.len());
                    keys.into_iter().for_each(|key| reply.bulk(key));
                })
            }
            _ => help_or_refuse(self.protocol(), args, SUBCOMMANDS, out),
        }
    }
}

/// The command that `command` names, if it takes keys and so many arguments.
fn with_keys(command: &[&[u8]]) -> Result<&'static Spec, Refusal> {
    let spec = lookup(command[0]).ok_or(Refusal::NoSuchCommand)?;
    // Names of channels are placed as keys are, and are none.
    if !spec.takes_keys() || spec.flags.contains(Flags::PUBSUB) {
        return Err(Refusal::NoKeys);
    }
    spec.check_arity(command.len()).map_err(|_| Refusal::KeysArity)?;
    Ok(spec)
}

/// A set of simple strings.
fn words<'a>(reply: &mut Writer<'_>, words: impl Iterator<Item = &'a str>) {
    let words: Vec<&str> = words.collect();
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

fn infos(reply: &mut Writer<'_>, specs: &[Spec]) {
    reply.array(specs.len());
    specs.iter().for_each(|spec| info(reply, spec));
}

fn info(reply: &mut Writer<'_>, spec: &Spec) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.int(i64::from(spec.arity));
    words(reply, spec.flags.names());
    reply.int(i64::try_from(spec.first_key).unwrap_or(0));
    reply.int(i64::from(spec.last_key));
    reply.int(i64::try_from(spec.step).unwrap_or(0));
    words(reply, spec.categories());
    reply.set(spec.tips().len());
    spec.tips().iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    let keys = key_specs(spec);
    reply.set(keys.len());
    keys.iter().for_each(|keys| key_spec(reply, keys));
    let subcommands: Vec<&Spec> = subcommands(spec).collect();
    reply.array(subcommands.len());
    subcommands.into_iter().for_each(|spec| info(reply, spec));
}

/// A type, and the map that follows says the rest.
fn begin_typed(reply: &mut Writer<'_>, kind: &str) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
}

fn typed(reply: &mut Writer<'_>, kind: &str, numbers: &[(&str, i64)]) {
    begin_typed(reply, kind);
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.int(*number);
    }
}

fn key_spec(reply: &mut Writer<'_>, keys: &KeySpec) {
    let KeySpec { flags, begin, find } = keys;
    reply.map(3);
    reply.bulk(b"flags");
    words(reply, flags.split(' '));
    reply.bulk(b"begin_search");
    match *begin {
        Begin::At(at) => typed(reply, "index", &[("index", at as i64)]),
        Begin::After(word, from) => {
            begin_typed(reply, "keyword");
            reply.map(2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            reply.bulk(b"startfrom");
            reply.int(from as i64);
        }
        Begin::Unknown => typed(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    match *find {
        Find::Range { last, step, limit } => {
            let numbers = [("lastkey", i64::from(last)), ("keystep", step as i64), ("limit", limit as i64)];
            typed(reply, "range", &numbers);
        }
        Find::Counted { count, first, step } => {
            let numbers = [("keynumidx", count as i64), ("firstkey", first as i64), ("keystep", step as i64)];
            typed(reply, "keynum", &numbers);
        }
        Find::Unknown => typed(reply, "unknown", &[]),
    }
}

/// The commands that `COMMAND LIST` is asked for; `None` for arguments that are none of its.
fn listed(args: &[&[u8]]) -> Option<Vec<&'static str>> {
    let names = |wanted: &dyn Fn(&Spec) -> bool| {
        let all = table().iter().flat_map(|spec| std::iter::once(spec).chain(subcommands(spec)));
        all.filter(|spec| wanted(spec)).map(|spec| spec.name).collect::<Vec<_>>()
    };
    let (by, value) = match args {
        [] => return Some(names(&|_| true)),
        [filter, by, value] if filter.eq_ignore_ascii_case(b"filterby") => (by.to_ascii_lowercase(), value),
        _ => return None,
    };
    let value = value.to_ascii_lowercase();
    match by.as_slice() {
        b"pattern" => Some(names(&|spec| glob_matches(&value, spec.name.as_bytes()))),
        b"aclcat" => {
            Some(names(&|spec| spec.categories().any(|category| category.as_bytes()[1..] == value[..])))
        }
        b"module" => Some(Vec::new()),
        _ => None,
    }
}

fn docs(reply: &mut Writer<'_>, spec: &Spec) {
    reply.bulk(spec.name.as_bytes());
    let subcommands: Vec<&Spec> = subcommands(spec).collect();
    let fields = [("summary", spec.summary), ("since", spec.since), ("group", spec.group)];
    reply.map(fields.len() + usize::from(!subcommands.is_empty()));
    for (key, value) in fields {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        subcommands.into_iter().for_each(|spec| docs(reply, spec));
    }
}
