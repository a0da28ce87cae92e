//! `ironcache cluster set-target-version`: the one sentence an operator says.

use super::Seeds;
use crate::exit::{Failure, Format};
use crate::output;
use crate::release::parse_digest;
use crate::upgrade::{self, View};
use ironcache_api::{PlanAnswer, PlanRequest};
use ironcache_client::Client;
use ironcache_types::{Digest, Version};
use std::time::Duration;

#[derive(Clone, Debug, clap::Args)]
pub struct TargetArgs {
    /// The version of a staged release
    version: Version,
    /// Refuse if the version is of another binary by now: sha256:HEX, or the digits alone
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    digest: Option<Digest>,
    #[command(flatten)]
    seeds: Seeds,
    /// Show what would happen, and change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Nodes out at the same time, each in another shard [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_parallel: Option<u16>,
    /// Return when the roll has ended
    #[arg(long)]
    wait: bool,
    /// Stop waiting after this (the roll goes on): 90s, 10m
    #[arg(long, value_name = "DURATION", value_parser = output::parse_duration, requires = "wait")]
    timeout: Option<Duration>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// What a plan is asked with.
#[derive(Clone, Debug)]
pub struct PlanOrder {
    pub target: Version,
    /// The binary that is meant by it, if somebody has looked.
    pub digest: Option<Digest>,
    pub max_parallel: Option<u16>,
}

/// Starts a plan.
pub async fn set_target(client: &Client, order: &PlanOrder) -> Result<PlanAnswer, Failure> {
    Ok(client.plan(&request(order, Act::Start)).await?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Start,
    Explain,
}

fn request(order: &PlanOrder, act: Act) -> PlanRequest {
    PlanRequest {
        target: order.target.clone(),
        digest: order.digest,
        dry_run: act == Act::Explain,
        max_parallel: order.max_parallel,
        settle_ms: None,
    }
}

pub(super) async fn run(args: TargetArgs) -> Result<(), Failure> {
    let client = args.seeds.client().await?;
    let format = Format::of(args.json);
    let order = PlanOrder { target: args.version, digest: args.digest, max_parallel: args.max_parallel };
    if args.dry_run {
        let answer = client.plan(&request(&order, Act::Explain)).await?;
        return show(&answer, format);
    }
    let answer = set_target(&client, &order).await?;
    if !args.wait {
        return show(&answer, format);
    }
    let plan =
        answer.plan.ok_or_else(|| Failure::failed("the cluster accepted the plan without naming it"))?;
    let mut view = match format {
        Format::Text => {
            show(&answer, format)?;
            View::for_stdout()
        }
        Format::Json => View::silent(),
    };
    let ending = upgrade::follow(&client, plan, &mut view, args.timeout).await?;
    ending.tell(format, &view)?;
    ending.into_result()
}

fn show(answer: &PlanAnswer, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(answer);
    }
    let PlanAnswer { plan, from, target, steps } = answer;
    let (version, digest) = (&target.version, target.digest.short());
    match plan {
        Some(plan) => output::line(&format!("plan {plan}: {from} to {version} ({digest})"))?,
        None => output::line(&format!("dry run: {from} to {version} ({digest}); nothing was changed"))?,
    }
    for (number, step) in steps.iter().enumerate() {
        output::line(&format!("{:>4}. {step}", number + 1))?;
    }
    Ok(())
}
