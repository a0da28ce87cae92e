//! Clusters of real `ironcache` processes.

use crate::Bench;
use crate::client::Client;
use crate::process::Running;
use crate::tls::Certificate;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// `ironcache playground`, of one shard.
pub(crate) struct Playground {
    _running: Running,
    /// Client addresses.
    pub seeds: Vec<String>,
    /// Where clients come by TLS, in the same order; none without a certificate.
    tls: Vec<String>,
    /// Of the nodes' launchers, in the order of `seeds`.
    pub launcher_pids: Vec<u32>,
}

impl Playground {
    /// Starts a shard with `replicas` replicas; returns when all are in sync.
    pub(crate) fn start(bench: &Bench, replicas: u16) -> Result<Self> {
        Self::start_with(bench, replicas, &[])
    }

    /// One that serves clients by TLS as well.
    pub(crate) fn by_tls(bench: &Bench, replicas: u16, certificate: &Certificate) -> Result<Self> {
        Self::start_with(bench, replicas, &certificate.args())
    }

    fn start_with(bench: &Bench, replicas: u16, args: &[String]) -> Result<Self> {
        let dir = bench.fresh_dir()?;
        let log = dir.join("playground.log");
        let mut command = binary(bench)?;
        command
            .args(["playground", "--json", "--shards", "1", "--replicas", &replicas.to_string()])
            .args(args)
            .arg("--dir")
            .arg(dir.join("nodes"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut running = Running::start("ironcache playground", &mut command)?;
        let stdout = running.child().stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        // It bounds its own start, and ends if that fails.
        BufReader::new(stdout).read_line(&mut line)?;
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let ready: serde_json::Value = serde_json::from_str(&line)
            .with_context(|| format!("the playground did not start:\n{}", said()))?;
        let texts = |key: &str| -> Option<Vec<String>> {
            ready[key].as_array()?.iter().map(|each| each.as_str().map(str::to_owned)).collect()
        };
        let pids = || -> Option<Vec<u32>> {
            ready["pids"].as_array()?.iter().map(|pid| pid.as_u64()?.try_into().ok()).collect()
        };
        let (Some(seeds), Some(launcher_pids)) = (texts("seeds"), pids()) else {
            bail!("the playground says something else than expected: {line}");
        };
        let tls = texts("tls").unwrap_or_default();
        Ok(Self { _running: running, seeds, tls, launcher_pids })
    }

    /// The client address of the node with this role (`master` or `slave`).
    pub(crate) fn with_role(&self, role: &str) -> Result<&str> {
        Ok(&self.seeds[self.index_of(role)?])
    }

    /// Where it serves clients by TLS.
    pub(crate) fn tls_with_role(&self, role: &str) -> Result<&str> {
        self.tls.get(self.index_of(role)?).map(String::as_str).context("the playground names no TLS ports")
    }

    fn index_of(&self, role: &str) -> Result<usize> {
        for (index, seed) in self.seeds.iter().enumerate() {
            let info = Client::connect(seed)?.info("replication")?;
            if info.get("role").is_some_and(|found| found == role) {
                return Ok(index);
            }
        }
        bail!("no node of the playground is a {role}")
    }
}

/// One run of `ironcache demo --json` with `args`: its object.
pub(crate) fn demo(bench: &Bench, args: &[String]) -> Result<serde_json::Value> {
    let output = binary(bench)?.args(["demo", "--json"]).args(args).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the demo printed no object:\n{said}"))?;
    ensure!(output.status.success() && report["verdict"] == "pass", "the demo failed: {report}\n{said}");
    Ok(report)
}

fn binary(bench: &Bench) -> Result<Command> {
    let path: &PathBuf = &bench.binary;
    ensure!(
        path.exists(),
        "{} does not exist: run cargo build --release first, or pass --binary",
        path.display()
    );
    Ok(Command::new(path))
}
