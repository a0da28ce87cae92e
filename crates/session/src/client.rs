//! CLIENT: what a connection tells of itself, and what it asks about others.

use crate::blocked::Unblock;
use crate::profile::{Profile, printable};
use crate::refusal::Refusal;
use crate::session::Session;
use crate::subcommand::{Subcommand, help_or_refuse};
use crate::turn::{Job, Query, Turn};
use ironcache_resp::parse_integer;
use std::rc::Rc;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand { name: "GETNAME", arguments: "", about: &["Return the name of the current connection."] },
    Subcommand { name: "ID", arguments: "", about: &["Return the ID of the current connection."] },
    Subcommand { name: "INFO", arguments: "", about: &["Return information about the current connection."] },
    Subcommand {
        name: "LIST",
        arguments: "[TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <id> [<id> ...]]",
        about: &[
            "Return information about client connections: all, those of a type, or the named ones.",
            "Links between nodes are none.",
        ],
    },
    Subcommand {
        name: "NO-EVICT",
        arguments: "(ON|OFF)",
        about: &["Accepted for what clients send at connect; no connection is ever evicted."],
    },
    Subcommand {
        name: "NO-TOUCH",
        arguments: "(ON|OFF)",
        about: &["Accepted for what clients send at connect; no command alters when a key was last used."],
    },
    Subcommand {
        name: "SETINFO",
        arguments: "(LIB-NAME|LIB-VER) <value>",
        about: &["Tell the name or version of the client library."],
    },
    Subcommand {
        name: "SETNAME",
        arguments: "<name>",
        about: &["Assign the name <name> to the current connection."],
    },
    Subcommand {
        name: "UNBLOCK",
        arguments: "<clientid> [TIMEOUT|ERROR]",
        about: &["Unblock the specified blocked client."],
    },
];

/// A kind of client: they have output limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Normal,
    /// It listens to channels.
    PubSub,
}

/// Which connections `CLIENT LIST` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// Those that listen to channels, or those that do not.
    Of(Class),
    /// A type that no connection has: links between nodes come in at another port.
    None,
    Ids(Vec<u64>),
}

impl Session {
    pub(crate) fn client(&mut self, args: &[&[u8]], out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        let query = |query| Ok(Turn::Run(Job::Query(query)));
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"id", []) => self.answer(out, |reply| reply.int(self.id.cast_signed())),
            (b"getname", []) => {
                let name = &self.profile.name;
                self.answer(
                    out,
                    |reply| {
                        if name.is_empty() { reply.null() } else { reply.bulk(name.as_bytes()) }
                    },
                )
            }
            (b"setname", [name]) => {
                self.set_name(name)?;
                self.ok(out)
            }
            (b"setinfo", [attribute, value]) => {
                self.set_info(attribute, value)?;
                self.ok(out)
            }
            (b"info", []) => query(Query::Myself),
            (b"unblock", [id, by @ ..]) if by.len() <= 1 => {
                let by = by.first().map_or(Ok(Unblock::Timeout), |by| Unblock::parse(by))?;
                let id = parse_integer(id).ok_or(Refusal::NotAnInteger)?.cast_unsigned();
                query(Query::Unblock { id, by })
            }
            (b"list", which) => query(Query::Clients(Which::parse(which)?)),
            // What clients switch at connect; there is nothing to switch here.
            (b"no-evict" | b"no-touch", [switch]) => match switch.to_ascii_lowercase().as_slice() {
                b"on" | b"off" => self.ok(out),
                _ => Err(Refusal::Syntax),
            },
            _ => help_or_refuse(self.protocol, args, SUBCOMMANDS, out),
        }
    }

    pub fn class(&self) -> Class {
        if self.is_subscribed() { Class::PubSub } else { Class::Normal }
    }

    pub(crate) fn set_name(&mut self, name: &[u8]) -> Result<(), Refusal> {
        self.name(printable(name).ok_or(Refusal::Name)?);
        Ok(())
    }

    pub(crate) fn name(&mut self, name: String) {
        self.profile = Rc::new(Profile { name, ..Profile::clone(&self.profile) });
    }

    fn set_info(&mut self, attribute: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let value = printable(value).ok_or(Refusal::Attribute)?;
        let mut profile = Profile::clone(&self.profile);
        match attribute.to_ascii_lowercase().as_slice() {
            b"lib-name" => profile.lib_name = value,
            b"lib-ver" => profile.lib_version = value,
            _ => {
                let option = String::from_utf8_lossy(attribute).into_owned();
                return Err(Refusal::UnknownOption { option });
            }
        }
        self.profile = Rc::new(profile);
        Ok(())
    }
}

impl Which {
    fn parse(args: &[&[u8]]) -> Result<Which, Refusal> {
        let option = args.first().map(|option| option.to_ascii_lowercase());
        match (option.as_deref(), args) {
            (None, _) => Ok(Which::All),
            (Some(b"type"), [_, kind]) => match kind.to_ascii_lowercase().as_slice() {
                b"normal" => Ok(Which::Of(Class::Normal)),
                b"pubsub" => Ok(Which::Of(Class::PubSub)),
                b"master" | b"replica" | b"slave" => Ok(Which::None),
                _ => Err(Refusal::ClientType { kind: String::from_utf8_lossy(kind).into_owned() }),
            },
            (Some(b"id"), [_, ids @ ..]) if !ids.is_empty() => {
                let ids: Option<Vec<u64>> =
                    ids.iter().map(|id| parse_integer(id).map(i64::cast_unsigned)).collect();
                ids.map(Which::Ids).ok_or(Refusal::ClientId)
            }
            (Some(_), _) => Err(Refusal::Syntax),
        }
    }

    pub fn takes(&self, id: u64, class: Class) -> bool {
        match self {
            Which::All => true,
            Which::Of(wanted) => *wanted == class,
            Which::None => false,
            Which::Ids(ids) => ids.contains(&id),
        }
    }
}
