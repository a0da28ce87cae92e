//! The product as one binary: a node, the commands that operate a cluster, a playground and a demo.
//!
//! ```text
//!   server ─► launcher (spine) ─► server-daemon (node)
//!   cluster · release · upgrade ─► HTTP ─► any node
//!   playground · demo ─► local cluster of `server` processes, then the same commands
//! ```
//! *Invariant:* the commands know a cluster through its HTTP interface only; they read no node's files.
//! *Invariant:* exit codes and JSON are a contract with scripts (see [`exit`]).

pub mod cli;
pub mod client;
pub mod cluster;
pub mod demo;
pub mod exit;
mod interrupt;
pub mod local;
mod make_way;
mod output;
pub mod playground;
pub mod preflight;
pub mod release;
pub mod seed;
pub mod server;
pub mod settings;
pub mod upgrade;
pub mod version;

use clap::{CommandFactory, FromArgMatches};
use cli::{Cli, Command, Remote};
use exit::{Failure, Format};
use std::ffi::OsString;
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
        Command::Demo(args) => remote(Remote::Demo(args)),
        Command::Playground(args) => remote(Remote::Playground(args)),
        Command::Cluster(command) => remote(Remote::Cluster(command)),
        Command::Release(command) => remote(Remote::Release(command)),
        Command::Upgrade(args) => remote(Remote::Upgrade(args)),
    }
}

const SERVER_VERB: &str = "server";

/// A launcher that cannot even begin goes back to the one that handed over to it. Returns if there is none.
fn give_back(why: &str) {
    if let Err(error) = ironcache_spine::refuse_handover(why) {
        eprintln!("ironcache: {}", ironcache_types::chain(&error));
    }
}

/// Is `verb` what the command line begins with?
fn is(args: &[OsString], verb: &str) -> bool {
    args.get(1).is_some_and(|given| given == verb)
}

fn local(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure, Format::Text),
    }
}

fn remote(command: Remote) -> ExitCode {
    let format = command.format();
    // `block_on` polls the command on this thread, the main one: what it starts may be bound to it.
    let result = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(command.run()),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure, format),
    }
}
