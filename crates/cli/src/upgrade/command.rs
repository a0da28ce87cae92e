//! `ironcache cluster upgrade …`.

use super::follow::follow;
use super::lines;
use super::view::View;
use crate::cluster::Seeds;
use crate::exit::{Failure, Format};
use crate::output;
use crate::text;
use ironcache_api::UpgradeStatus;

#[derive(Clone, Debug, clap::Subcommand)]
pub enum UpgradeCommand {
    /// Where the roll is, node by node
    Status(StatusArgs),
    /// Take no further node out
    Pause(ActArgs),
    /// Go on after a pause or a hold
    Resume(ActArgs),
    /// End the plan where it stands
    Abort(ActArgs),
    /// Plans that ended
    History(ActArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    seeds: Seeds,
    /// Go on showing until the plan has ended, soaks or is held
    #[arg(long)]
    watch: bool,
    /// Answer in JSON; with --watch one value for each change
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ActArgs {
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl UpgradeCommand {
    pub fn json(&self) -> bool {
        match self {
            UpgradeCommand::Status(args) => args.json,
            UpgradeCommand::Pause(args)
            | UpgradeCommand::Resume(args)
            | UpgradeCommand::Abort(args)
            | UpgradeCommand::History(args) => args.json,
        }
    }

    pub async fn run(self) -> Result<(), Failure> {
        match self {
            UpgradeCommand::Status(args) => status(&args).await,
            UpgradeCommand::Pause(args) => act(&args, "/v1/upgrade/pause").await,
            UpgradeCommand::Resume(args) => act(&args, "/v1/upgrade/resume").await,
            UpgradeCommand::Abort(args) => act(&args, "/v1/upgrade/abort").await,
            UpgradeCommand::History(args) => history(&args).await,
        }
    }
}

async fn status(args: &StatusArgs) -> Result<(), Failure> {
    let client = args.seeds.client().await?;
    let format = Format::of(args.json);
    // The cluster's own view names the other nodes: the one that was asked first will be away, once.
    client.cluster().await?;
    let status = client.upgrade().await?;
    let active = status.plan.as_ref().map(|plan| plan.id);
    match (args.watch, active) {
        (true, Some(plan)) => {
            let mut view = match format {
                Format::Text => View::for_stdout(),
                Format::Json => View::json(),
            };
            let ending = follow(&client, plan, &mut view, None).await?;
            // JSON has come line by line: there is no last object.
            if format == Format::Text {
                ending.tell(format, &view)?;
            }
            ending.into_result()
        }
        (true, None) | (false, _) => match format {
            Format::Json => output::json(&status),
            Format::Text => output::line(&shown(&status).join("\n")),
        },
    }
}

/// `upgrade status` for people.
fn shown(status: &UpgradeStatus) -> Vec<String> {
    let mut shown = match (&status.plan, status.history.last()) {
        (Some(plan), _) => vec![text::phase_line(plan)],
        (None, Some(last)) => {
            vec!["no plan is active; the last one:".to_owned(), text::ended_line(last)]
        }
        (None, None) => vec!["no plan is active, and none has been yet".to_owned()],
    };
    if let (Some(plan), Some(soaking)) = (&status.plan, &status.soaking) {
        shown.extend(text::soaking_lines(plan, soaking, status.now_ms.unwrap_or(soaking.since_ms)));
    }
    shown.extend(status.nodes.iter().map(lines::node_line));
    shown.extend(status.waiting_on.iter().map(|wait| format!("waiting: {}", text::waiting_on(wait))));
    shown
}

async fn act(args: &ActArgs, path: &'static str) -> Result<(), Failure> {
    let done = args.seeds.client().await?.act(path).await?;
    match Format::of(args.json) {
        Format::Json => output::json(&done),
        Format::Text => output::line(&done.done),
    }
}

async fn history(args: &ActArgs) -> Result<(), Failure> {
    let history = args.seeds.client().await?.upgrade().await?.history;
    if args.json {
        return output::json(&history);
    }
    if history.is_empty() {
        return output::line("no plan has ended yet");
    }
    for entry in &history {
        output::line(&text::ended_line(entry))?;
    }
    Ok(())
}
