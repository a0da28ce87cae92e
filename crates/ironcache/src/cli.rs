//! The command line: the commands of `ironcache_cli`, and the two that are a node.

use crate::preflight::PreflightArgs;
use crate::server::ServerArgs;

/// A Redis-compatible clustered cache that upgrades itself
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "ironcache", after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 usage, 3 refused by a guardrail, 4 timed out or unreachable.";

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    #[command(flatten)]
    Operate(ironcache_cli::Command),
    /// A node
    Server(ServerArgs),
    /// The process that a node's launcher starts
    #[command(name = ironcache_spine::DAEMON_VERB, hide = true)]
    ServerDaemon(ServerArgs),
    /// What would keep this binary from running as a node with these arguments
    #[command(name = ironcache_spine::PREFLIGHT_VERB, hide = true)]
    ServerPreflight(PreflightArgs),
}
