//! COMMAND: the command table, as clients and redis-cli read it.

use crate::refusal::Refusal;
use crate::session::Session;
use crate::subcommand::{Subcommand, help_or_refuse};
use crate::turn::Turn;
use ironcache_command::{Flags, Spec, glob_matches, lookup, table};
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
                    match lookup(name) {
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
                    names.iter().filter_map(|name| lookup(name)).collect()
                };
                self.answer(out, |reply| {
                    reply.map(wanted.len());
                    wanted.into_iter().for_each(|spec| docs(reply, spec));
                })
            }
            // Redis takes no command without arguments here: there would be no keys among them.
            (b"getkeys", command @ [name, _, ..]) => {
                let spec = lookup(name).ok_or(Refusal::NoSuchCommand)?;
                // Names of channels are placed as keys are, and are none.
                if !spec.takes_keys() || spec.flags.contains(Flags::PUBSUB) {
                    return Err(Refusal::NoKeys);
                }
                spec.check_arity(command.len()).map_err(|_| Refusal::KeysArity)?;
                let keys: Vec<&[u8]> = spec.keys(command).collect();
                self.answer(out, |reply| {
                    reply.array(keys.len());
                    keys.into_iter().for_each(|key| reply.bulk(key));
                })
            }
            _ => help_or_refuse(self.protocol(), args, SUBCOMMANDS, out),
        }
    }
}

fn infos(reply: &mut Writer<'_>, specs: &[Spec]) {
    reply.array(specs.len());
    specs.iter().for_each(|spec| info(reply, spec));
}

fn info(reply: &mut Writer<'_>, spec: &Spec) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.int(i64::from(spec.arity));
    let flags: Vec<&str> = spec.flags.names().collect();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.simple(flag));
    reply.int(i64::try_from(spec.first_key).unwrap_or(0));
    reply.int(i64::from(spec.last_key));
    reply.int(i64::try_from(spec.step).unwrap_or(0));
    let categories: Vec<&str> = spec.categories().collect();
    reply.set(categories.len());
    categories.iter().for_each(|category| reply.simple(category));
    reply.set(spec.tips().len());
    spec.tips().iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    // Key specifications and subcommands: first key, last key and step say all there is.
    reply.set(0);
    reply.array(0);
}

/// The commands that `COMMAND LIST` is asked for; `None` for arguments that are none of its.
fn listed(args: &[&[u8]]) -> Option<Vec<&'static str>> {
    let names = |wanted: &dyn Fn(&Spec) -> bool| {
        table().iter().filter(|spec| wanted(spec)).map(|spec| spec.name).collect::<Vec<_>>()
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
    let fields = [("summary", spec.summary), ("since", spec.since), ("group", spec.group)];
    reply.map(fields.len());
    for (key, value) in fields {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
}
