//! `ironcache demo`: a cluster of real processes rolls itself to another release under load; with `--auto` by itself, with
//! `--rollback` there and back.
//!
//! ```text
//!   stamp a second release ─► start ─► fill ─► load ═════════════════════════╗
//!                                             stage ─► the scene ─► follow   ║
//!   verdict ◄─ judge ◄─ ask every node ◄─ read every key back ◄──── stop ════╝
//! ```
//! *Invariant:* every wait has a bound, and what was started is stopped, however the demo ends.
//! *Invariant:* with `--json`, stdout gets exactly one object.

mod keys;
mod ledger;
mod load;
mod meter;
mod pace;
mod pipe;
mod report;
mod roll;
mod scene;

use crate::exit::{Failure, Format};
use crate::interrupt::Interrupt;
use crate::local::{Links, LocalCluster, LocalSpec};
use crate::output;
use crate::program::Program;
use crate::release::{self, OWN_BINARY};
use crate::upgrade::View;
use report::{Evidence, Report, Verdict};
use scene::Scene;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Nodes in all, half of them replicas: instead of --shards and --replicas
    #[arg(long, value_name = "N", conflicts_with_all = ["shards", "replicas"])]
    nodes: Option<u16>,
    /// Shards, each with one primary
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: u16,
    /// Replicas of each shard; one shard with one of them gets a witness too, so that each node can be upgraded
    #[arg(long, default_value_t = 1, value_name = "N")]
    replicas: u16,
    /// Keys that are there before the load begins
    #[arg(long, default_value_t = 60_000, value_name = "N")]
    keys: u64,
    /// Bytes of each value
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=pipe::VALUE_BYTES_MAX as i64))]
    value_size: u32,
    /// Writes a second to each shard, and as many reads
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long the load runs at least; it always covers the whole roll
    #[arg(long, default_value_t = 5, value_name = "N")]
    seconds: u64,
    /// Let the policy start the roll: the release is staged, and nobody says anything more
    #[arg(long, conflicts_with = "rollback")]
    auto: bool,
    /// Take everybody back once every node runs the second release
    #[arg(long)]
    rollback: bool,
    #[command(flatten)]
    links: Links,
    /// Keep data directories and logs
    #[arg(long)]
    keep: bool,
    /// Answer in JSON: one object
    #[arg(long)]
    pub json: bool,
}

pub async fn run(args: DemoArgs, program: &Program) -> Result<(), Failure> {
    let (shards, replicas) = match args.nodes {
        None => (args.shards, args.replicas),
        Some(nodes) if nodes >= 2 && nodes % 2 == 0 => (nodes / 2, 1),
        Some(nodes) => {
            let why = format!("--nodes {nodes}: half of the nodes are replicas, so an even number is needed");
            return Err(Failure::Usage(why));
        }
    };
    let scene = match (args.auto, args.rollback) {
        (true, _) => Scene::Auto,
        (false, true) => Scene::Rollback,
        (false, false) => Scene::Roll,
    };
    let mut interrupted = Interrupt::new()?;
    let directory =
        tempfile::Builder::new().prefix("ironcache-demo-").disable_cleanup(args.keep).tempdir()?;
    let dir = directory.path().to_owned();
    let spec = LocalSpec {
        binary: PathBuf::from(OWN_BINARY),
        private_variables: program.private_variables,
        dir: dir.clone(),
        shards,
        replicas,
        base_port: None,
        links: args.links.clone().absolute()?,
        set: LocalSpec::settings(&scene.settings())?,
    };
    let nodes =
        spec.nodes().ok_or_else(|| Failure::Usage("that is more nodes than there are ports".to_owned()))?;
    let (from, to) = (program.version.clone(), program.next_version());
    let mut demo = Demo {
        report: Report::new(from, to, shards, nodes, args.keys),
        evidence: Evidence { scene, ..Evidence::default() },
        view: View::for_stderr(),
        args,
    };
    let outcome = tokio::select! {
        outcome = demo.play(&spec, &dir) => outcome,
        () = interrupted.wait() => Err(Failure::failed("the demo was interrupted")),
    };
    demo.view.finish();
    if demo.args.keep {
        eprintln!("data and logs are in {}", dir.display());
    }
    demo.conclude(outcome)
}

/// A demo under way: what is known of it so far.
struct Demo {
    args: DemoArgs,
    report: Report,
    evidence: Evidence,
    view: View,
}

impl Demo {
    /// From the start of the cluster to its stop; what it finds is in the report.
    async fn play(&mut self, spec: &LocalSpec, dir: &Path) -> Result<(), Failure> {
        let next = dir.join(format!("ironcache-{}", self.report.to));
        release::stamped_copy(Path::new(OWN_BINARY), &self.report.to, &next)?;
        let view = &mut self.view;
        let mut told = Ok(());
        let started = LocalCluster::start(spec, |text| told = view.say(text)).await;
        told?;
        let mut cluster = started?;
        let rolled = roll::roll(self, &cluster, &next).await;
        // A node that died says more than the timeout that followed from it.
        let died = cluster.check();
        self.view.say("stopping the nodes")?;
        cluster.stop();
        died?;
        rolled
    }

    fn conclude(mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        match &outcome {
            Ok(()) => {}
            Err(Failure::Refused(refused)) => {
                self.report.refused = Some(refused.clone());
                self.evidence.broke_off = Some(format!("{}: {}", refused.code, refused.detail));
            }
            Err(failure) => self.evidence.broke_off = Some(failure.to_string()),
        }
        let reasons = self.report.judge(&self.evidence);
        match Format::of(self.args.json) {
            Format::Json => {
                output::json(&self.report)?;
                for reason in &reasons {
                    eprintln!("ironcache: {reason}");
                }
            }
            Format::Text => output::line(&self.report.text(&reasons))?,
        }
        match (self.report.verdict, outcome) {
            (Verdict::Pass, _) => Ok(()),
            // Printed above; only the code is left to tell.
            (Verdict::Fail, Err(failure)) => Err(Failure::Reported(failure.code())),
            (Verdict::Fail, Ok(())) => Err(Failure::Reported(1)),
        }
    }
}
