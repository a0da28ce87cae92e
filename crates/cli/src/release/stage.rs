//! `ironcache release stage FILE|URL`.

use super::at_hand::AtHand;
use super::source::Source;
use super::trust::TrustArgs;
use crate::cluster::Seeds;
use crate::exit::{Failure, Format};
use crate::output;
use ironcache_api::{StageHold, StagedRelease};

#[derive(Clone, Debug, clap::Args)]
pub struct StageArgs {
    /// The binary: a file, or an https URL (http on this machine only)
    #[arg(value_name = "FILE|URL")]
    source: Source,
    #[command(flatten)]
    trust: TrustArgs,
    /// No policy starts it: only `set-target-version` does
    #[arg(long)]
    hold: bool,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn run(args: &StageArgs) -> Result<(), Failure> {
    let StageArgs { source, trust, hold, seeds, json } = args;
    // Said here, before a byte is sent, what the cluster would say too.
    let at_hand = AtHand::obtain(source, trust).await?;
    let asked = if *hold { StageHold::Held } else { StageHold::Free };
    let staged = seeds.client().await?.stage(&at_hand.path(), asked).await?;
    if *hold && !staged.hold {
        let version = &staged.release.version;
        return Err(Failure::failed(format!(
            "{version} was staged, and is not on hold: the node that took it is of a release that does not know --hold"
        )));
    }
    match Format::of(*json) {
        Format::Json => output::json(&staged),
        Format::Text => {
            let StagedRelease { release, size_bytes, held_by, nodes, hold, .. } = &staged;
            let on_hold = if *hold { "; on hold" } else { "" };
            let others = if held_by < nodes { " so far; the others are fetching it" } else { "" };
            output::line(&format!(
                "staged {} ({}, {size_bytes} bytes), held by {held_by} of {nodes} nodes{others}{on_hold}",
                release.version,
                release.digest.short()
            ))
        }
    }
}
