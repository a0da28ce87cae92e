//! The commands, and how one is run.

use crate::cluster::ClusterCommand;
use crate::demo::{self, DemoArgs};
use crate::exit::{self, Failure, Format};
use crate::playground::{self, PlaygroundArgs};
use crate::program::Program;
use crate::release::ReleaseCommand;
use crate::upgrade::{self, UpgradeArgs};
use std::process::ExitCode;

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// A cluster of real processes rolls itself to another release under load, with a verdict
    Demo(DemoArgs),
    /// A cluster on this machine that stays up until Ctrl-C
    Playground(PlaygroundArgs),
    /// Make a cluster, look at it, roll it
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Stage binaries, and list them
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Stage, set the target version, and watch; in one
    Upgrade(UpgradeArgs),
}

impl Command {
    /// Who reads a refusal. The demo's is in its own object.
    fn format(&self) -> Format {
        Format::of(match self {
            Command::Demo(args) => args.json,
            Command::Playground(args) => args.json,
            Command::Cluster(command) => command.json(),
            Command::Release(command) => command.json(),
            Command::Upgrade(args) => args.json,
        })
    }

    async fn carry_out(self, program: &Program) -> Result<(), Failure> {
        match self {
            Command::Demo(args) => demo::run(args, program).await,
            Command::Playground(args) => playground::run(args, program).await,
            Command::Cluster(command) => command.run().await,
            Command::Release(command) => command.run().await,
            Command::Upgrade(args) => upgrade::run_once(args).await,
        }
    }
}

/// Runs `command` to its end, on a runtime of its own.
pub fn run(command: Command, program: &Program) -> ExitCode {
    let format = command.format();
    // `block_on` polls the command on this thread, the main one: what it starts may be bound to it.
    let result = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(command.carry_out(program)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure, format),
    }
}
