//! `ACL`: what a client asks and orders about users. What the session can tell from the users that the node knows it answers
//! itself; an order goes through the log of the cluster, and is answered once that has taken it.

use crate::functions::LibraryOrder;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::site::Site;
use crate::subcommand::{Subcommand, help_or_refuse};
use crate::turn::{Job, Query, Turn, Within};
use ironcache_acl::{DEFAULT_USER, Shown, ShownSelector, User, category_names, check_name, commands_in};
use ironcache_command::lookup;
use ironcache_resp::{Writer, parse_integer};

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "CAT",
        arguments: "[<category>]",
        about: &[
            "List all commands that belong to <category>, or all command categories",
            "when no category is specified.",
        ],
    },
    Subcommand {
        name: "DELUSER",
        arguments: "<username> [<username> ...]",
        about: &["Delete a list of users."],
    },
    Subcommand {
        name: "DRYRUN",
        arguments: "<username> <command> [<arg> ...]",
        about: &["Returns whether the user can execute the given command without executing the command."],
    },
    Subcommand { name: "GETUSER", arguments: "<username>", about: &["Get the user's details."] },
    Subcommand {
        name: "GENPASS",
        arguments: "[<bits>]",
        about: &[
            "Generate a secure 256-bit user password. The optional `bits` argument can",
            "be used to specify a different size.",
        ],
    },
    Subcommand { name: "LIST", arguments: "", about: &["Show users details in config file format."] },
    Subcommand {
        name: "LOAD",
        arguments: "",
        about: &["Make the users of this node's ACL file those of the cluster."],
    },
    Subcommand {
        name: "LOG",
        arguments: "[<count> | RESET]",
        about: &["Show the ACL log entries of this node."],
    },
    Subcommand {
        name: "SAVE",
        arguments: "",
        about: &["Save the users of the cluster to this node's ACL file."],
    },
    Subcommand {
        name: "SETUSER",
        arguments: "<username> <attribute> [<attribute> ...]",
        about: &["Create or modify a user with the specified attributes, in the whole cluster."],
    },
    Subcommand { name: "USERS", arguments: "", about: &["List all the registered usernames."] },
    Subcommand { name: "WHOAMI", arguments: "", about: &["Return the current connection username."] },
];

/// Redis shows so many without being asked.
const LOG_SHOWN: usize = 10;
/// Of `GENPASS`, if it is not told.
const PASSWORD_BITS: usize = 256;
const PASSWORD_BITS_MAX: i64 = 4_096;

/// What the log is to take, or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The rules, one after the other.
    SetUser {
        name: Vec<u8>,
        rules: Vec<Vec<u8>>,
    },
    DeleteUsers {
        names: Vec<Vec<u8>>,
    },
    /// From the node's ACL file.
    LoadUsers,
    /// To it.
    SaveUsers,
    Libraries(LibraryOrder),
}

/// About what was refused to users of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclLogQuery {
    Show { most: usize },
    Reset,
}

/// Is it an order? Then it is waited for, which nothing within a transaction is.
pub(crate) fn is_order(name: &str, args: &[&[u8]]) -> bool {
    let orders: &[&str] = match name {
        "acl" => &["setuser", "deluser", "load", "save"],
        "function" => &["load", "delete", "flush", "restore"],
        _ => &[],
    };
    args.get(1).is_some_and(|sub| orders.iter().any(|order| sub.eq_ignore_ascii_case(order.as_bytes())))
}

impl Session {
    pub(crate) fn acl(
        &mut self,
        args: &[&[u8]],
        within: Within,
        site: &impl Site,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
        if within == Within::Transaction && is_order("acl", args) {
            return Err(Refusal::OrderInTransaction);
        }
        let accounts = site.accounts();
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"whoami", []) => self.answer(out, |reply| reply.bulk(self.account.name())),
            (b"users", []) => self.answer(out, |reply| {
                reply.array(accounts.iter().count());
                accounts.iter().for_each(|account| reply.bulk(account.name()));
            }),
            (b"list", []) => self.answer(out, |reply| {
                reply.array(accounts.iter().count());
                for account in accounts.iter() {
                    reply.bulk(&[b"user ", account.name(), b" ", &account.user().text()].concat());
                }
            }),
            (b"getuser", [name]) => {
                let user = accounts.find(name).map(|account| account.user().shown());
                self.answer(out, |reply| match user {
                    None => reply.null(),
                    Some(shown) => show(reply, &shown),
                })
            }
            (b"cat", []) => self.answer(out, |reply| {
                reply.array(category_names().len());
                category_names().iter().for_each(|name| reply.bulk(name.as_bytes()));
            }),
            (b"cat", [category]) => {
                let Some(names) = commands_in(category) else {
                    let category = String::from_utf8_lossy(category).into_owned();
                    return Err(Refusal::UnknownCategory { category });
                };
                self.answer(out, |reply| {
                    reply.array(names.len());
                    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
                })
            }
            (b"dryrun", [name, command @ ..]) if !command.is_empty() => {
                let Some(account) = accounts.find(name) else {
                    return Err(Refusal::UnknownUser { name: String::from_utf8_lossy(name).into_owned() });
                };
                let found = lookup(command[0]).and_then(|spec| Some((spec, spec.found(command)?)));
                let Some((spec, named)) = found else {
                    let name = String::from_utf8_lossy(command[0]).into_owned();
                    return Err(Refusal::DryRunOfNothing { name });
                };
                named.check_arity(command.len()).map_err(Refusal::Arity)?;
                match account.check(spec, command) {
                    Ok(()) => self.ok(out),
                    Err(denied) => self.answer(out, |reply| reply.bulk(denied.dry_run().as_bytes())),
                }
            }
            (b"genpass", bits @ ([] | [_])) => {
                let bits = match bits.first().map(|bits| parse_integer(bits)) {
                    None => PASSWORD_BITS,
                    Some(Some(bits @ 1..=PASSWORD_BITS_MAX)) => {
                        usize::try_from(bits).unwrap_or(PASSWORD_BITS)
                    }
                    Some(Some(_)) => return Err(Refusal::PasswordBits { most: PASSWORD_BITS_MAX }),
                    Some(None) => return Err(Refusal::NotAnInteger),
                };
                Ok(Turn::Run(Job::Query(Query::GeneratePassword { bits })))
            }
            (b"log", which @ ([] | [_])) => {
                let query = match which.first() {
                    None => AclLogQuery::Show { most: LOG_SHOWN },
                    Some(reset) if reset.eq_ignore_ascii_case(b"reset") => AclLogQuery::Reset,
                    Some(most) => {
                        let most = parse_integer(most).ok_or(Refusal::NotAnInteger)?;
                        AclLogQuery::Show { most: usize::try_from(most).unwrap_or(0) }
                    }
                };
                Ok(Turn::Run(Job::Query(Query::AclLog(query))))
            }
            (b"genpass" | b"log" | b"cat", _) => {
                let given = String::from_utf8_lossy(args[1]);
                let text = format!(
                    "ERR unknown subcommand or wrong number of arguments for '{given}'. Try ACL HELP."
                );
                Err(Refusal::Subcommand { text })
            }
            (b"setuser", [name, rules @ ..]) => {
                if !check_name(name) {
                    return Err(Refusal::UserName);
                }
                let (known, new) = (accounts.find(name), User::default());
                // Refused here, nothing of it is proposed; the log may have another user by then, and then it is tried again.
                known.map_or(new, |account| account.user()).with(rules).map_err(Refusal::Rule)?;
                let rules = rules.iter().map(|rule| rule.to_vec()).collect();
                Ok(Turn::Run(Job::Order(Order::SetUser { name: name.to_vec(), rules })))
            }
            (b"deluser", names) if !names.is_empty() => {
                if names.contains(&DEFAULT_USER) {
                    return Err(Refusal::DefaultUserStays);
                }
                let names = names.iter().map(|name| name.to_vec()).collect();
                Ok(Turn::Run(Job::Order(Order::DeleteUsers { names })))
            }
            (b"load", []) => Ok(Turn::Run(Job::Order(Order::LoadUsers))),
            (b"save", []) => Ok(Turn::Run(Job::Order(Order::SaveUsers))),
            _ => help_or_refuse(self.protocol, args, SUBCOMMANDS, out),
        }
    }
}

fn show(reply: &mut Writer<'_>, Shown { flags, passwords, root, selectors }: &Shown) {
    reply.map(6);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(passwords.len());
    passwords.iter().for_each(|hash| reply.bulk(hash.as_bytes()));
    show_selector(reply, root);
    reply.bulk(b"selectors");
    reply.array(selectors.len());
    for selector in selectors {
        reply.map(3);
        show_selector(reply, selector);
    }
}

fn show_selector(reply: &mut Writer<'_>, ShownSelector { commands, keys, channels }: &ShownSelector) {
    for (word, rules) in [("commands", commands), ("keys", keys), ("channels", channels)] {
        reply.bulk(word.as_bytes());
        reply.bulk(rules);
    }
}
