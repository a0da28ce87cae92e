//! `ironcache upgrade --to V`: stage, set the target, watch; all in one.

use super::follow::follow;
use super::view::View;
use crate::cluster::{PlanOrder, Seeds, set_target};
use crate::exit::{Failure, Format};
use crate::output;
use crate::release::{AtHand, Source, TrustArgs};
use ironcache_api::StageHold;
use ironcache_types::Version;
use std::time::Duration;

#[derive(Clone, Debug, clap::Args)]
pub struct UpgradeArgs {
    /// The version to roll to
    #[arg(long = "to", value_name = "VERSION")]
    to: Version,
    /// The release's binary, a file or an https URL; without it, the release has been staged before
    #[arg(long, value_name = "FILE|URL")]
    binary: Option<Source>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    seeds: Seeds,
    /// Stop watching after this (the roll goes on): 90s, 10m
    #[arg(long, value_name = "DURATION", value_parser = output::parse_duration)]
    timeout: Option<Duration>,
    /// Answer in JSON, when the roll has ended
    #[arg(long)]
    pub json: bool,
}

pub async fn run(args: UpgradeArgs) -> Result<(), Failure> {
    let UpgradeArgs { to, binary, trust, seeds, timeout, json } = args;
    if binary.is_none() && !trust.is_silent() {
        let text = "--digest and --yes are about the binary of --binary, and none is given";
        return Err(Failure::Usage(text.to_owned()));
    }
    let format = Format::of(json);
    let client = seeds.client().await?;
    client.cluster().await?;
    let mut view = match format {
        Format::Text => View::for_stdout(),
        Format::Json => View::silent(),
    };
    let mut digest = None;
    if let Some(binary) = binary {
        let at_hand = AtHand::obtain(&binary, &trust).await?;
        if at_hand.version() != &to {
            let stamped = at_hand.version();
            return Err(Failure::Usage(format!(
                "the binary says of itself that it is {stamped}, and not {to}"
            )));
        }
        // On hold: a policy must not begin its own plan before ours.
        let staged = client.stage(&at_hand.path(), StageHold::Held).await?;
        digest = Some(staged.release.digest);
        view.say(&format!("staged {} ({})", staged.release.version, staged.release.digest.short()))?;
    }
    let answer = set_target(&client, &PlanOrder { target: to, digest, max_parallel: None }).await?;
    let plan =
        answer.plan.ok_or_else(|| Failure::failed("the cluster accepted the plan without naming it"))?;
    let ending = follow(&client, plan, &mut view, timeout).await?;
    ending.tell(format, &view)?;
    ending.into_result()
}
