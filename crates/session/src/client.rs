//! CLIENT: what a connection tells of itself, and what it asks about others.

use crate::blocked::Unblock;
use crate::kill::Kill;
use crate::pause::Paused;
use crate::profile::{Profile, printable};
use crate::refusal::Refusal;
use crate::session::{Evictable, Session, Touches};
use crate::site::Site;
use crate::subcommand::{Subcommand, help_or_refuse};
use crate::turn::{Job, Query, Turn};
use ironcache_resp::parse_integer;
use std::rc::Rc;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "CACHING",
        arguments: "(YES|NO)",
        about: &["Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes."],
    },
    Subcommand {
        name: "GETREDIR",
        arguments: "",
        about: &["Return the client ID we are redirecting to when tracking is enabled."],
    },
    Subcommand { name: "GETNAME", arguments: "", about: &["Return the name of the current connection."] },
    Subcommand { name: "ID", arguments: "", about: &["Return the ID of the current connection."] },
    Subcommand { name: "INFO", arguments: "", about: &["Return information about the current connection."] },
    Subcommand {
        name: "KILL",
        arguments: "<ip:port> | <option> <value> [<option> <value> [...]]",
        about: &[
            "Kill the connection made from <ip:port>, or all that fit the options:",
            "* ID <id>, ADDR <ip:port>, LADDR <ip:port>, USER <username>",
            "* TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "* SKIPME (YES|NO)",
            "  Skip killing current connection (default: yes).",
        ],
    },
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
        about: &["Protect current client connection from being closed for maxmemory-clients."],
    },
    Subcommand {
        name: "NO-TOUCH",
        arguments: "(ON|OFF)",
        about: &["Keep what this connection reads from counting as use of a key."],
    },
    Subcommand {
        name: "PAUSE",
        arguments: "<timeout> [WRITE|ALL]",
        about: &["Suspend all, or just write, clients for <timeout> milliseconds."],
    },
    Subcommand {
        name: "REPLY",
        arguments: "(ON|OFF|SKIP)",
        about: &["Control the replies sent to the current connection."],
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
        name: "TRACKING",
        arguments: "(ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
        about: &["Control server assisted client side caching."],
    },
    Subcommand {
        name: "TRACKINGINFO",
        arguments: "",
        about: &["Report tracking status for the current connection."],
    },
    Subcommand {
        name: "UNBLOCK",
        arguments: "<clientid> [TIMEOUT|ERROR]",
        about: &["Unblock the specified blocked client."],
    },
    Subcommand {
        name: "UNPAUSE",
        arguments: "",
        about: &["Stop the current client pause, resuming traffic."],
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
    pub(crate) fn client(
        &mut self,
        args: &[&[u8]],
        site: &impl Site,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
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
            (b"kill", filters @ [_, ..]) => query(Query::Kill(Kill::parse(filters, site.accounts())?)),
            (b"pause", how @ ([_] | [_, _])) => {
                let (what, for_ms) = Paused::parse(how)?;
                query(Query::Pause { what, for_ms })
            }
            (b"unpause", []) => query(Query::Unpause),
            (b"reply", [mode]) => self.set_replies(mode, out),
            (b"no-evict", [switch]) => {
                self.evictable = if is_on(switch)? { Evictable::No } else { Evictable::Yes };
                self.ok(out)
            }
            (b"no-touch", [switch]) => {
                self.touches = if is_on(switch)? { Touches::No } else { Touches::Yes };
                self.ok(out)
            }
            (b"tracking", [switch, options @ ..]) => self.set_tracking(switch, options, site, out),
            (b"caching", [what]) => self.set_caching(what, out),
            (b"getredir", []) => self.answer(out, |reply| reply.int(self.redirects_to())),
            (b"trackinginfo", []) => self.tracking_info(out),
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

fn is_on(switch: &[u8]) -> Result<bool, Refusal> {
    match switch.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Refusal::Syntax),
    }
}

impl Which {
    fn parse(args: &[&[u8]]) -> Result<Which, Refusal> {
        let option = args.first().map(|option| option.to_ascii_lowercase());
        match (option.as_deref(), args) {
            (None, _) => Ok(Which::All),
            (Some(b"type"), [_, kind]) => Which::of_type(kind),
            (Some(b"id"), [_, ids @ ..]) if !ids.is_empty() => {
                let ids: Option<Vec<u64>> =
                    ids.iter().map(|id| parse_integer(id).map(i64::cast_unsigned)).collect();
                ids.map(Which::Ids).ok_or(Refusal::ClientId)
            }
            (Some(_), _) => Err(Refusal::Syntax),
        }
    }

    pub(crate) fn of_type(kind: &[u8]) -> Result<Which, Refusal> {
        match kind.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Which::Of(Class::Normal)),
            b"pubsub" => Ok(Which::Of(Class::PubSub)),
            b"master" | b"replica" | b"slave" => Ok(Which::None),
            _ => Err(Refusal::ClientType { kind: String::from_utf8_lossy(kind).into_owned() }),
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
