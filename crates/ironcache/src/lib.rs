//! The product as one binary: a node, and the commands that operate a cluster.
//!
//! ```text
//!   server ─► launcher (spine) ─► server-daemon (node)
//!   everything else ─► ironcache_cli
//! ```
//! *Invariant:* this is the one place that links both the daemon and the command line.

mod allocator;
mod check;
pub mod cli;
mod make_way;
pub mod preflight;
pub mod server;
pub mod settings;
pub mod version;

use clap::{CommandFactory, FromArgMatches};
use cli::{Cli, Command};
use exit::{Failure, Format};
use ironcache_cli::{Program, exit, output};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// The whole program. `args` are those of the process, its own name first.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if is(&args, SERVER_VERB) {
        make_way::make_way(&args[2..]);
    }
    let command = Cli::command().version(version::text());
    let parsed = command.try_get_matches_from(&args).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        // Prints, and ends with 0 for --help and --version, with 2 for a mistake.
        Err(error) if is(&args, ironcache_spine::PREFLIGHT_VERB) => return local(preflight::refuse(&error)),
        Err(error) => {
            if is(&args, SERVER_VERB) {
                give_back(&error.to_string());
            }
            error.exit()
        }
    };
    match cli.command {
        // The daemon is given what the launcher was given: all that follows the verb.
        Command::Server(server) => {
            let result = server::run(&server, args.into_iter().skip(2).collect());
            if let Err(failure) = &result {
                give_back(&failure.to_string());
            }
            local(result)
        }
        Command::ServerDaemon(server) => local(server::run_daemon(&server)),
        Command::ServerPreflight(args) => local(preflight::run(&args)),
        Command::Operate(command) => ironcache_cli::run(command, &program()),
    }
}

const SERVER_VERB: &str = "server";

/// A launcher that cannot even begin goes back to the one that handed over to it. Returns if there is none.
fn give_back(why: &str) {
    if let Err(error) = ironcache_spine::refuse_handover(why) {
        let _ = writeln!(std::io::stderr(), "ironcache: {}", ironcache_types::chain(&error));
    }
}

/// Is `verb` what the command line begins with?
fn is(args: &[OsString], verb: &str) -> bool {
    args.get(1).is_some_and(|given| given == verb)
}

fn program() -> Program {
    Program {
        version: version::own(),
        private_variables: &[ironcache_spine::FDS_VARIABLE, ironcache_spine::CLOCK_VARIABLE],
    }
}

fn local(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure, Format::Text),
    }
}
