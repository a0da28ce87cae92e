//! `ironcache playground`: a cluster on this machine that stays up until it is told to stop.
//!
//! *Invariant:* a node that ends by itself ends nothing else: it is said, and the node is started again.

use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::local::{Links, LocalCluster, LocalSpec};
use crate::output;
use crate::program::Program;
use crate::release::OWN_BINARY;
use std::path::PathBuf;
use std::time::Duration;

/// Whether a node has ended. A person who killed it sees at once what comes of it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, clap::Args)]
pub struct PlaygroundArgs {
    /// Shards, each with one primary
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: u16,
    /// Replicas of each shard; one shard with one of them gets a witness too, so that each node can be upgraded
    #[arg(long, default_value_t = 1, value_name = "N")]
    replicas: u16,
    /// Keep data and logs there [a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The first node's client port; the others follow [free ports]
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    links: Links,
    /// A setting of the whole cluster, as `cluster policy set` takes it; finalize-after-s is 0 here unless given
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Say in JSON, on one line, that the cluster is ready
    #[arg(long)]
    pub json: bool,
}

pub async fn run(args: PlaygroundArgs, program: &Program) -> Result<(), Failure> {
    let mut interrupted = Interrupt::new()?;
    // A temporary directory is removed when this is dropped: after the cluster, which is made later.
    let (_temporary, dir) = match &args.dir {
        Some(dir) => (None, std::path::absolute(dir)?),
        None => {
            let temporary = tempfile::Builder::new().prefix("ironcache-playground-").tempdir()?;
            let dir = temporary.path().to_owned();
            (Some(temporary), dir)
        }
    };
    let (shards, replicas) = (args.shards, args.replicas);
    let spec = LocalSpec {
        binary: PathBuf::from(OWN_BINARY),
        private_variables: program.private_variables,
        dir,
        shards,
        replicas,
        base_port: args.port,
        links: args.links.absolute()?,
        set: LocalSpec::settings(&args.set)?,
    };
    let started = tokio::select! {
        started = LocalCluster::start(&spec, |text| eprintln!("{text}")) => Some(started?),
        () = interrupted.wait() => None,
    };
    let Some(mut cluster) = started else { return Ok(()) };
    announce(&cluster, program, args.json)?;
    loop {
        tokio::select! {
            () = interrupted.wait() => break,
            () = tokio::time::sleep(LOOK_EVERY) => cluster.revive(|told| eprintln!("{told}")),
        }
    }
    eprintln!("stopping");
    cluster.stop();
    Ok(())
}

fn announce(cluster: &LocalCluster, program: &Program, json: bool) -> Result<(), Failure> {
    let (seeds, http, credentials) = (cluster.client_addrs(), cluster.http_addrs(), cluster.credentials());
    if json {
        return output::json(&serde_json::json!({
            "ready": true,
            "seeds": seeds,
            "http": http,
            "credentials": credentials,
            "tls": cluster.tls().map(|(addrs, _)| addrs),
            "pids": cluster.launcher_pids(),
        }));
    }
    let seed = &seeds[0];
    let (host, port) = ironcache_client::seed::split(seed).expect("a node's address is host:port");
    output::line(&format!("ready: {}", seeds.join(" ")))?;
    output::line(&format!("http:  {}", http.join(" ")))?;
    if let Some((addrs, _)) = cluster.tls() {
        output::line(&format!("tls:   {}", addrs.join(" ")))?;
    }
    let next = program.next_version();
    let credentials = credentials.map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    output::line(&format!(
        "\ntry, in another terminal:\n\
         \x20 redis-cli -c -h {host} -p {port} set greeting hello\n\
         \x20 export IRONCACHE_SEED={seed}\n\
         \x20 export IRONCACHE_CREDENTIALS={credentials}\n\
         \x20 ironcache cluster status\n\
         \x20 ironcache release stamp --version {next} --out ironcache-{next}\n\
         \x20 ironcache release stage ironcache-{next}\n\
         \x20 ironcache cluster set-target-version {next}\n\
         \x20 ironcache cluster upgrade status --watch\n\
         \nCtrl-C stops the cluster."
    ))
}
