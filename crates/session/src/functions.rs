//! `FUNCTION`: what a client asks and orders about libraries. An order goes through the log of the cluster, and is answered
//! once this node has it; whether the code is a library is the node's to see, which has the interpreter.

use crate::acl::{Order, is_order};
use crate::refusal::Refusal;
use crate::session::Session;
use crate::site::Site;
use crate::subcommand::{Subcommand, help_or_refuse};
use crate::turn::{Job, Query, Stop, Turn, Within};
use ironcache_command::read_libraries;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "LOAD",
        arguments: "[REPLACE] <FUNCTION CODE>",
        about: &["Create a new library with the given library name and code, in the whole cluster."],
    },
    Subcommand {
        name: "DELETE",
        arguments: "<LIBRARY NAME>",
        about: &["Delete the given library, in the whole cluster."],
    },
    Subcommand {
        name: "LIST",
        arguments: "[LIBRARYNAME PATTERN] [WITHCODE]",
        about: &[
            "Return general information on all the libraries:",
            "* Library name",
            "* The engine used to run the Library",
            "* Library description",
            "* Functions list",
            "* Library code (if WITHCODE is given)",
            "It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
        ],
    },
    Subcommand {
        name: "STATS",
        arguments: "",
        about: &[
            "Return information about the current function running:",
            "* Function name",
            "* Command used to run the function",
            "* Duration in MS that the function is running",
            "If no function is running, return nil",
            "In addition, returns a list of available engines.",
        ],
    },
    Subcommand {
        name: "KILL",
        arguments: "",
        about: &["Kill the current running function, if it has written nothing."],
    },
    Subcommand {
        name: "FLUSH",
        arguments: "[ASYNC|SYNC]",
        about: &["Delete all the libraries, in the whole cluster; either word means the same."],
    },
    Subcommand {
        name: "DUMP",
        arguments: "",
        about: &[
            "Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
        ],
    },
    Subcommand {
        name: "RESTORE",
        arguments: "<PAYLOAD> [FLUSH|APPEND|REPLACE]",
        about: &[
            "Restore the libraries represented by the given payload, it is possible to give a restore policy to",
            "control how to handle existing libraries (default APPEND):",
            "* FLUSH: delete all existing libraries.",
            "* APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
            "* REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
            "  libraries with the new libraries (notice that even on this option there is a chance of failure",
            "  in case of functions name collision with another library).",
        ],
    },
];

/// What is to become of the libraries of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibraryOrder {
    Load {
        code: Vec<u8>,
        known: Known,
    },
    Delete {
        name: Vec<u8>,
    },
    Flush,
    /// The code of each.
    Restore {
        libraries: Vec<Vec<u8>>,
        known: Known,
    },
}

/// What becomes of those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Of an equal name, the order is refused.
    Stay,
    /// Those of an equal name are replaced.
    Replaced,
    /// All go.
    Flushed,
}

/// What is asked about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionQuery {
    /// Those whose name matches, if there is a pattern.
    List {
        pattern: Option<Vec<u8>>,
        code: Code,
    },
    Dump,
    Stats,
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Shown,
    LeftOut,
}

impl Session {
    pub(crate) fn function(
        &self,
        args: &[&[u8]],
        within: Within,
        site: &impl Site,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
        if within == Within::Transaction && is_order("function", args) {
            return Err(Refusal::OrderInTransaction);
        }
        let order = |order| Ok(Turn::Run(Job::Order(Order::Libraries(order))));
        let query = |query| Ok(Turn::Run(Job::Query(Query::Functions(query))));
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"load", [options @ .., code]) => {
                let mut known = Known::Stay;
                for option in options {
                    if !option.eq_ignore_ascii_case(b"replace") {
                        let option = String::from_utf8_lossy(option).into_owned();
                        return Err(Refusal::LoadOption { option });
                    }
                    known = Known::Replaced;
                }
                order(LibraryOrder::Load { code: code.to_vec(), known })
            }
            (b"delete", [name]) => order(LibraryOrder::Delete { name: name.to_vec() }),
            (b"flush", []) => order(LibraryOrder::Flush),
            (b"flush", [mode]) if [&b"sync"[..], b"async"].iter().any(|m| mode.eq_ignore_ascii_case(m)) => {
                order(LibraryOrder::Flush)
            }
            (b"flush", [_]) => Err(Refusal::FlushMode),
            (b"restore", [payload, policy @ ..]) if policy.len() <= 1 => {
                let known = match policy.first().map(|policy| policy.to_ascii_lowercase()).as_deref() {
                    None | Some(b"append") => Known::Stay,
                    Some(b"replace") => Known::Replaced,
                    Some(b"flush") => Known::Flushed,
                    Some(_) => return Err(Refusal::RestorePolicy),
                };
                let libraries = read_libraries(payload).map_err(Refusal::Libraries)?;
                order(LibraryOrder::Restore { libraries, known })
            }
            (b"flush" | b"restore", [_, ..]) => Err(Refusal::Miscounted {
                container: "FUNCTION",
                given: String::from_utf8_lossy(args[1]).into_owned(),
            }),
            (b"list", options) => {
                // What a library has is known once it was executed.
                if within == Within::Nothing && site.is_loading_libraries() {
                    return Ok(Turn::Stop(Stop::Park));
                }
                query(listed(options)?)
            }
            (b"dump", []) => query(FunctionQuery::Dump),
            (b"stats", []) => query(FunctionQuery::Stats),
            (b"kill", []) => query(FunctionQuery::Kill),
            _ => help_or_refuse(self.protocol, args, SUBCOMMANDS, out),
        }
    }
}

fn listed(mut options: &[&[u8]]) -> Result<FunctionQuery, Refusal> {
    let (mut pattern, mut code) = (None, Code::LeftOut);
    while let [option, rest @ ..] = options {
        options = match rest {
            rest if code == Code::LeftOut && option.eq_ignore_ascii_case(b"withcode") => {
                code = Code::Shown;
                rest
            }
            rest if pattern.is_none() && option.eq_ignore_ascii_case(b"libraryname") => {
                let [text, rest @ ..] = rest else { return Err(Refusal::NoPattern) };
                pattern = Some(text.to_vec());
                rest
            }
            _ => {
                let option = String::from_utf8_lossy(option).into_owned();
                return Err(Refusal::ListOption { option });
            }
        };
    }
    Ok(FunctionQuery::List { pattern, code })
}
