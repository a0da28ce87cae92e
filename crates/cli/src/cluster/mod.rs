//! `ironcache cluster …`: what an operator asks of a cluster, and tells it.

mod audit;
pub mod create;
pub mod found;
mod join_code;
pub mod layout;
mod members;
pub mod newcomer;
#[cfg(feature = "next")]
mod next;
mod operators;
mod policy;
mod recover;
pub(crate) mod served;
mod show;
mod target;

use crate::access::{self, AccessArgs};
use crate::exit::Failure;
use crate::upgrade::UpgradeCommand;
use ironcache_client::Client;

pub use target::{PlanOrder, TargetArgs, set_target};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum ClusterCommand {
    /// Make one cluster of pristine nodes
    Create(create::CreateArgs),
    /// Shards, leader, plan: the cluster at a glance
    Status(ShowArgs),
    /// Every node: address, role, version, keys, offset
    Nodes(ShowArgs),
    /// Take a new node into the cluster: a replica, or a witness
    AddNode(members::AddNodeArgs),
    /// Take a new node in, in the place of another one, which may be lost
    ReplaceNode(members::ReplaceNodeArgs),
    /// Let a node go, for good
    RemoveNode(members::RemoveNodeArgs),
    /// Make the code by which a new node and the cluster know each other, for the node's join-code-file
    JoinCode(join_code::JoinCodeArgs),
    /// Who may do what: people and programs with a key
    #[command(subcommand)]
    Operator(operators::OperatorCommand),
    /// Roll the cluster to a staged release
    SetTargetVersion(TargetArgs),
    /// Settings that hold for the whole cluster
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Let a shard that lost its whole in-sync set go on with what is left
    Recover(recover::RecoverArgs),
    /// Who had the cluster do what, and the proof that nobody rewrote it
    Audit(audit::AuditArgs),
    /// Watch and steer a roll
    #[command(subcommand)]
    Upgrade(UpgradeCommand),
    /// Say where a node stands
    #[cfg(feature = "next")]
    #[command(hide = true)]
    Zone(next::ZoneArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the cluster is, and as whom it is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Seeds {
    /// A node of the cluster: its client or http address; several, separated by commas, are tried in turn
    #[arg(
        long = "seed",
        value_name = "HOST:PORT",
        env = "IRONCACHE_SEED",
        value_delimiter = ',',
        default_value = "127.0.0.1:6379"
    )]
    seeds: Vec<String>,
    #[command(flatten)]
    access: AccessArgs,
}

impl Seeds {
    pub async fn client(&self) -> Result<Client, Failure> {
        let access = self.access.access()?;
        access::warn(&access);
        Ok(Client::of_seeds(&self.seeds, access).await?)
    }
}

impl ClusterCommand {
    pub fn json(&self) -> bool {
        match self {
            ClusterCommand::Create(args) => args.json,
            ClusterCommand::Status(args) | ClusterCommand::Nodes(args) => args.json,
            ClusterCommand::AddNode(args) => args.json(),
            ClusterCommand::ReplaceNode(args) => args.json(),
            ClusterCommand::RemoveNode(args) => args.json(),
            ClusterCommand::JoinCode(args) => args.json,
            ClusterCommand::Operator(command) => command.json(),
            ClusterCommand::SetTargetVersion(args) => args.json,
            ClusterCommand::Policy(command) => command.json(),
            ClusterCommand::Recover(args) => args.json,
            ClusterCommand::Audit(args) => args.json,
            ClusterCommand::Upgrade(command) => command.json(),
            #[cfg(feature = "next")]
            ClusterCommand::Zone(args) => args.json,
        }
    }

    pub async fn run(self) -> Result<(), Failure> {
        match self {
            ClusterCommand::Create(args) => create::run(args).await,
            ClusterCommand::Status(args) => show::status(&args).await,
            ClusterCommand::Nodes(args) => show::nodes(&args).await,
            ClusterCommand::AddNode(args) => members::add(args).await,
            ClusterCommand::ReplaceNode(args) => members::replace(args).await,
            ClusterCommand::RemoveNode(args) => members::remove(args).await,
            ClusterCommand::JoinCode(args) => join_code::run(&args),
            ClusterCommand::Operator(command) => command.run().await,
            ClusterCommand::SetTargetVersion(args) => target::run(args).await,
            ClusterCommand::Policy(command) => command.run().await,
            ClusterCommand::Recover(args) => recover::run(&args).await,
            ClusterCommand::Audit(args) => audit::run(&args).await,
            ClusterCommand::Upgrade(command) => command.run().await,
            #[cfg(feature = "next")]
            ClusterCommand::Zone(args) => next::set_zone(args).await,
        }
    }
}
