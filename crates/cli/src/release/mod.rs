//! `ironcache release …`: binaries, from a file or the web to the cluster.

mod at_hand;
mod download;
mod progress;
mod source;
mod stage;
mod stamp;
mod trust;

use crate::cluster::{Seeds, ShowArgs};
use crate::exit::{Failure, Format};
use crate::output;
use crate::text::Names;
use ironcache_api::{AllowRelease, Declined, Quarantine, StagedRelease};
use ironcache_types::Version;

pub(crate) use at_hand::AtHand;
pub(crate) use download::DownloadError;
pub(crate) use source::Source;
pub use stage::StageArgs;
pub use stamp::{OWN_BINARY, StampArgs, stamped_copy};
pub(crate) use trust::{TrustArgs, parse_digest};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum ReleaseCommand {
    /// Hand a binary to the cluster, which keeps it ready for a roll
    Stage(StageArgs),
    /// Let a policy start a release again that was rolled back, aborted or failed
    Allow(AllowArgs),
    /// The releases that the cluster knows
    List(ShowArgs),
    /// Write a copy of a binary that says of itself that it is another version
    Stamp(StampArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct AllowArgs {
    /// The version of a staged release
    version: Version,
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
            ReleaseCommand::Allow(args) => args.json,
            ReleaseCommand::List(args) => args.json,
            ReleaseCommand::Stamp(args) => args.json,
        }
    }

    pub async fn run(self) -> Result<(), Failure> {
        match self {
            ReleaseCommand::Stage(args) => stage::run(&args).await,
            ReleaseCommand::Allow(args) => allow(args).await,
            ReleaseCommand::List(args) => list(&args).await,
            ReleaseCommand::Stamp(args) => stamp::run(&args),
        }
    }
}

async fn allow(args: AllowArgs) -> Result<(), Failure> {
    let AllowArgs { version, seeds, json } = args;
    let done = seeds.client().await?.allow(&AllowRelease { version }).await?;
    output::done(&done, Format::of(json))
}

async fn list(args: &ShowArgs) -> Result<(), Failure> {
    let client = args.seeds.client().await?;
    let releases = client.releases().await?;
    if args.json {
        return output::json(&releases);
    }
    let table = table(&releases);
    // A node is named in the last column, and behind it there is room.
    let names = Names::of_upgrade(&client.upgrade().await?);
    output::line(&names.named(&table))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::samples::{reason, release};
    use expect_test::expect;
    use ironcache_types::{LevelRange, NodeId, PlanId};

    #[test]
    fn what_keeps_a_release_from_starting_is_told() {
        let staged = |minor| StagedRelease {
            release: release(minor),
            size_bytes: 1_000,
            held_by: 3,
            nodes: 3,
            levels: Some(LevelRange::new(1, 2)),
            min_from: None,
            hold: false,
            quarantined: None,
            declined: None,
        };
        let version = release(4).version;
        let declined = Declined { version, plan: PlanId(7), reason: reason("rolled back by command") };
        let version = release(5).version;
        let quarantined = Quarantine { version, node: NodeId(2), reason: reason("exited with code 3") };
        let releases = [
            StagedRelease { levels: None, ..staged(2) },
            StagedRelease { hold: true, ..staged(3) },
            StagedRelease { hold: true, declined: Some(declined.clone()), ..staged(4) },
            StagedRelease { declined: Some(declined), quarantined: Some(quarantined), ..staged(5) },
        ];
        expect![[r#"
            VERSION  DIGEST        BYTES  LEVELS  HELD BY  STATE
            0.2.0    020202020202  1000   -       3 of 3   -
            0.3.0    030303030303  1000   1-2     3 of 3   on hold: starts by command only
            0.4.0    040404040404  1000   1-2     3 of 3   declined since plan 7: rolled back by command
            0.5.0    050505050505  1000   1-2     3 of 3   quarantined, failed on node 0000000000000002: exited with code 3"#]].assert_eq(&table(&releases));
    }
}

/// Binaries for the tests of this crate.
#[cfg(test)]
mod testing {
    use ironcache_types::{LevelRange, Manifest, Stamp, WireRange};

    /// What says of itself that it is `version`, among bytes that say nothing.
    pub(super) fn release_bytes(version: &str) -> Vec<u8> {
        let manifest = Manifest {
            version: version.parse().unwrap(),
            levels: LevelRange::new(1, 1),
            launcher_protocol: WireRange { min: 1, max: 1 },
            min_from: None,
            critical: Vec::new(),
        };
        [&[1; 50][..], &Stamp::of(&manifest).unwrap().0, &[2; 50]].concat()
    }
}
