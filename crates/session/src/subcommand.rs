//! What the commands with subcommands share: HELP, and the errors for a subcommand that does not exist or that is
//! given the wrong number of arguments.
//!
//! *Invariant:* what HELP lists exists, and what exists is listed: the errors go by the same table.

use crate::refusal::Refusal;
use crate::turn::Turn;
use ironcache_command::{find, unfit_subcommand, unknown_subcommand, wrong_arity};
use ironcache_resp::{Protocol, Writer};

/// One subcommand, as HELP shows it.
pub struct Subcommand {
    /// In upper case.
    pub name: &'static str,
    /// What follows the name; empty if nothing does.
    pub arguments: &'static str,
    /// A sentence a line.
    pub about: &'static [&'static str],
}

const HELP: Subcommand = Subcommand { name: "HELP", arguments: "", about: &["Prints this help."] };

/// Answers what no other arm of a container's `match` took, if it is HELP.
///
/// # Errors
/// There is no such subcommand, or it takes other arguments.
pub fn help_or_refuse(
    protocol: Protocol,
    args: &[&[u8]],
    table: &[Subcommand],
    out: &mut Vec<u8>,
) -> Result<Turn, Refusal> {
    let container = String::from_utf8_lossy(args[0]).to_uppercase();
    let given = args.get(1).copied().unwrap_or_default();
    if args.len() == 2 && given.eq_ignore_ascii_case(HELP.name.as_bytes()) {
        help(&container, table, &mut Writer::new(out, protocol));
        return Ok(Turn::Answered);
    }
    let known = |sub: &&Subcommand| sub.name.as_bytes().eq_ignore_ascii_case(given);
    let text = match table.iter().chain([&HELP]).find(known) {
        Some(sub) => {
            let name = format!("{container}|{}", sub.name).to_lowercase();
            match find(name.as_bytes()).map(|spec| spec.check_arity(args.len())) {
                // So many may be right, as far as the table tells: what they are is not.
                Some(Ok(())) => unfit_subcommand(&container, given),
                Some(Err(_)) | None => wrong_arity(&name),
            }
        }
        None => unknown_subcommand(&container, given),
    };
    Err(Refusal::Subcommand { text })
}

fn help(container: &str, table: &[Subcommand], reply: &mut Writer<'_>) {
    let mut lines = vec![format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for Subcommand { name, arguments, about } in table.iter().chain([&HELP]) {
        lines.push(format!("{name} {arguments}").trim_end().to_owned());
        lines.extend(about.iter().map(|line| format!("    {line}")));
    }
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
}
