//! `ironcache cluster zone`, of the feature `next`.

use super::Seeds;
use crate::exit::{Failure, Format};
use crate::output;
use ironcache_api::SetZone;
use ironcache_types::NodeId;

#[derive(Clone, Debug, clap::Args)]
pub struct ZoneArgs {
    /// The node's id
    node: NodeId,
    /// Where it stands
    zone: String,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn set_zone(args: ZoneArgs) -> Result<(), Failure> {
    let ZoneArgs { node, zone, seeds, json } = args;
    let done = seeds.client().await?.set_zone(&SetZone { node, zone }).await?;
    output::done(&done, Format::of(json))
}
