//! The command line.

use crate::cluster::ClusterCommand;
use crate::demo::{self, DemoArgs};
use crate::exit::{Failure, Format};
use crate::playground::{self, PlaygroundArgs};
use crate::preflight::PreflightArgs;
use crate::release::ReleaseCommand;
use crate::server::ServerArgs;
use crate::upgrade::{self, UpgradeArgs};

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
    /// A cluster of real processes rolls itself to another release under load, with a verdict
    Demo(DemoArgs),
    /// A cluster on this machine that stays up until Ctrl-C
    Playground(PlaygroundArgs),
    /// A node
    Server(ServerArgs),
    /// The process that a node's launcher starts
    #[command(name = ironcache_spine::DAEMON_VERB, hide = true)]
    ServerDaemon(ServerArgs),
    /// What would keep this binary from running as a node with these arguments
    #[command(name = ironcache_spine::PREFLIGHT_VERB, hide = true)]
    ServerPreflight(PreflightArgs),
    /// Make a cluster, look at it, roll it
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Stage binaries, and list them
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Stage, set the target version, and watch; in one
    Upgrade(UpgradeArgs),
}

/// The commands that talk to nodes: all but those that are a node.
#[derive(Clone, Debug)]
pub enum Remote {
    Demo(DemoArgs),
    Playground(PlaygroundArgs),
    Cluster(ClusterCommand),
    Release(ReleaseCommand),
    Upgrade(UpgradeArgs),
}

impl Remote {
    /// Who reads a refusal. The demo's is in its own object.
    pub fn format(&self) -> Format {
        Format::of(match self {
            Remote::Demo(args) => args.json,
            Remote::Playground(args) => args.json,
            Remote::Cluster(command) => command.json(),
            Remote::Release(command) => command.json(),
            Remote::Upgrade(args) => args.json,
        })
    }

    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Remote::Demo(args) => demo::run(args).await,
            Remote::Playground(args) => playground::run(args).await,
            Remote::Cluster(command) => command.run().await,
            Remote::Release(command) => command.run().await,
            Remote::Upgrade(args) => upgrade::run_once(args).await,
        }
    }
}
