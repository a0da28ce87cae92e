//! `ironcache cluster recover`: a shard that lost its whole in-sync set goes on with what is left.

use super::Seeds;
use crate::exit::{Failure, Format};
use crate::output;
use ironcache_api::RecoverRequest;
use ironcache_types::ShardId;

#[derive(Clone, Debug, clap::Args)]
pub struct RecoverArgs {
    /// The shard, as `cluster status` numbers it
    #[arg(long, value_name = "S")]
    shard: u16,
    /// Go on, although acknowledged writes are lost; without it, only what would be lost is told
    #[arg(long)]
    accept_loss: bool,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn run(args: &RecoverArgs) -> Result<(), Failure> {
    let request = RecoverRequest { shard: ShardId(args.shard), accept_loss: args.accept_loss };
    let done = args.seeds.client().await?.recover(&request).await?;
    output::done(&done, Format::of(args.json))
}
