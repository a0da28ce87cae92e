//! What the commands with subcommands share: HELP, and the errors for a subcommand that does not exist or that is
//! given the wrong number of arguments.
//!
//! *Invariant:* what HELP lists exists, and what exists is listed: the errors go by the same table.

use super::super::client::Client;
use super::super::dispatch::{self, Turn};
use super::answer;
use ironcache_command::{unknown_subcommand, wrong_arity};

/// One subcommand, as HELP shows it.
pub(super) struct Subcommand {
    /// In upper case.
    pub name: &'static str,
    /// What follows the name; empty if nothing does.
    pub arguments: &'static str,
    /// A sentence a line.
    pub about: &'static [&'static str],
}

const HELP: Subcommand = Subcommand { name: "HELP", arguments: "", about: &["Prints this help."] };

/// Answers what no other arm of a container's `match` took: HELP, or why it is an error.
pub(super) fn help_or_refuse(
    client: &mut Client,
    args: &[&[u8]],
    table: &[Subcommand],
    out: &mut Vec<u8>,
) -> Turn {
    let container = String::from_utf8_lossy(args[0]).to_uppercase();
    let given = args.get(1).copied().unwrap_or_default();
    if args.len() == 2 && given.eq_ignore_ascii_case(HELP.name.as_bytes()) {
        return help(client, &container, table, out);
    }
    let known = |sub: &&Subcommand| sub.name.as_bytes().eq_ignore_ascii_case(given);
    let text = match table.iter().chain([&HELP]).find(known) {
        Some(sub) => wrong_arity(&format!("{container}|{}", sub.name).to_lowercase()),
        None => unknown_subcommand(&container, given),
    };
    dispatch::refuse(client, out, &text)
}

fn help(client: &Client, container: &str, table: &[Subcommand], out: &mut Vec<u8>) -> Turn {
    let mut lines = vec![format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for Subcommand { name, arguments, about } in table.iter().chain([&HELP]) {
        lines.push(format!("{name} {arguments}").trim_end().to_owned());
        lines.extend(about.iter().map(|line| format!("    {line}")));
    }
    answer(out, client.protocol, |reply| {
        reply.array(lines.len());
        lines.iter().for_each(|line| reply.simple(line));
    })
}
