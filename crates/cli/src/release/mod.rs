//! `ironcache release …`: binaries, from a file to the cluster.

mod stamp;

use crate::cluster::{Seeds, ShowArgs};
use crate::exit::{Failure, Format};
use crate::output;
use ironcache_api::{Declined, Quarantine, StagedRelease};
use std::path::PathBuf;

pub use stamp::{OWN_BINARY, StampArgs, stamped_copy, version_of};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum ReleaseCommand {
    /// Hand a binary to the cluster, which keeps it ready for a roll
    Stage(StageArgs),
    /// The releases that the cluster knows
    List(ShowArgs),
    /// Write a copy of a binary that says of itself that it is another version
    Stamp(StampArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct StageArgs {
    /// The binary
    file: PathBuf,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl ReleaseCommand {
    pub fn json(&self) -> bool {
        match self {
            ReleaseCommand::Stage(args) => args.json,
            ReleaseCommand::List(args) => args.json,
            ReleaseCommand::Stamp(args) => args.json,
        }
    }

    pub async fn run(self) -> Result<(), Failure> {
        match self {
            ReleaseCommand::Stage(args) => stage(&args).await,
            ReleaseCommand::List(args) => list(&args).await,
            ReleaseCommand::Stamp(args) => stamp::run(&args),
        }
    }
}

async fn stage(args: &StageArgs) -> Result<(), Failure> {
    // Said here, before a byte is sent, what the cluster would say too.
    version_of(&args.file)?;
    let staged = args.seeds.client().await?.stage(&args.file).await?;
    match Format::of(args.json) {
        Format::Json => output::json(&staged),
        Format::Text => {
            let StagedRelease { release, size_bytes, held_by, nodes, .. } = &staged;
            let others = if held_by < nodes { " so far; the others are fetching it" } else { "" };
            output::line(&format!(
                "staged {} ({}, {size_bytes} bytes), held by {held_by} of {nodes} nodes{others}",
                release.version,
                release.digest.short()
            ))
        }
    }
}

async fn list(args: &ShowArgs) -> Result<(), Failure> {
    let releases = args.seeds.client().await?.releases().await?;
    if args.json {
        return output::json(&releases);
    }
    output::line(&table(&releases))
}

fn table(releases: &[StagedRelease]) -> String {
    let mut rows =
        vec![["VERSION", "DIGEST", "BYTES", "LEVELS", "HELD BY", "STATE"].map(str::to_owned).to_vec()];
    for staged in releases {
        let StagedRelease {
            release,
            size_bytes,
            held_by,
            nodes,
            levels,
            min_from: _,
            hold,
            quarantined,
            declined,
        } = staged;
        let state = match (quarantined, declined, hold) {
            (Some(Quarantine { version: _, node, reason }), ..) => {
                format!("quarantined, failed on node {node}: {}", reason.reason)
            }
            (None, Some(Declined { version: _, plan, reason }), _) => {
                format!("declined since plan {plan}: {}", reason.reason)
            }
            (None, None, true) => "on hold: starts by command only".to_owned(),
            (None, None, false) => "-".to_owned(),
        };
        rows.push(vec![
            release.version.to_string(),
            release.digest.short(),
            size_bytes.to_string(),
            levels.map_or_else(|| "-".to_owned(), |levels| levels.to_string()),
            format!("{held_by} of {nodes}"),
            state,
        ]);
    }
    output::table(&rows)
}
