//! `ironcache server --check`: what a start with this configuration would use, and what is wrong with that.
//!
//! ```text
//!   settings and where each comes from ─┐
//!   ports, data directory (obstacle)  ──┼─► Report ─► TOML with comments, or JSON ─► exit code
//!   the machine (ground)              ──┘
//! ```
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | a start would do; what is less than it could be is named as a warning |
//! | 1 | something keeps the node from starting, or from serving: each is named, with what to do |
//! | 2 | the configuration itself is not understood |
//!
//! *Invariant:* nothing is left behind: no directory is made, no port listens, and what is written to see whether the disk takes
//! it has no name.
//! *Invariant:* it may be asked beside the node that runs by this configuration, and changes nothing for it.

mod obstacle;

use crate::exit::Failure;
use crate::output;
use crate::settings::{self, Origins};
use ironcache_node::ground::{self, Finding, Ground, Wants, Weight, bytes};
use ironcache_node::{Config, Inhabitant};
use ironcache_spine::{DataDir, ListenerSpec, ReadState, StateFile};
use obstacle::Obstacle;
use serde::Serialize;
use std::path::PathBuf;

/// # Errors
/// [`Failure::Reported`] if something would keep the node from starting; all has been said by then.
pub(crate) fn run(
    config: &Config,
    origins: &Origins,
    listeners: &[ListenerSpec],
    format: Format,
) -> Result<(), Failure> {
    let report = Report::of(config, origins, listeners);
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => output::line(&report.text(config, origins))?,
    }
    if report.ok { Ok(()) } else { Err(Failure::Reported(1)) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What is shown. As every report it grows by addition.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    uses: Uses,
    settings: Vec<settings::Shown>,
    /// Worst first.
    findings: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Uses {
    descriptors: DescriptorsUsed,
    memory: MemoryUsed,
    disk: Option<DiskUsed>,
    ports: Vec<PortUsed>,
    data_dir: DirUsed,
}

#[derive(Debug, Serialize)]
struct DescriptorsUsed {
    /// After the soft limit was raised.
    limit: Option<u64>,
    reserved: u64,
    clients_max: u64,
}

#[derive(Debug, Serialize)]
struct MemoryUsed {
    limit_bytes: Option<u64>,
    client_buffers_max_bytes: u64,
    backlog_bytes: u64,
}

#[derive(Debug, Serialize)]
struct DiskUsed {
    size_bytes: u64,
    free_bytes: u64,
    /// What is left to the node when a release is staged.
    keep_free_bytes: u64,
}

#[derive(Debug, Serialize)]
struct PortUsed {
    setting: String,
    address: String,
}

#[derive(Debug, Serialize)]
struct DirUsed {
    path: PathBuf,
    node: Option<String>,
    cluster: Option<String>,
    /// What a start runs there, if it is not this binary's release.
    release: Option<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    weight: &'static str,
    code: String,
    /// The setting that it is about.
    setting: Option<String>,
    what: String,
    do_this: String,
}

impl Report {
    fn of(config: &Config, origins: &Origins, listeners: &[ListenerSpec]) -> Self {
        let wants = Wants::of(config);
        let ground = ground::measure(&config.data_dir);
        let mut weighed: Vec<(Weight, Found)> = obstacle::all(config, listeners)
            .iter()
            .map(|found| (found.weight(), of_obstacle(found)))
            .collect();
        weighed.extend(ground.findings(wants).iter().map(|found| (found.weight(), of_finding(found))));
        weighed.sort_by_key(|(weight, _)| *weight);
        Report {
            ok: weighed.iter().all(|(weight, _)| *weight == Weight::Warning),
            uses: Uses::of(config, &ground, listeners),
            settings: settings::shown(config, origins),
            findings: weighed.into_iter().map(|(_, found)| found).collect(),
        }
    }

    /// The first line says it all; what follows is a configuration file that says the same.
    fn text(&self, config: &Config, origins: &Origins) -> String {
        let Report { ok, uses, settings: _, findings } = self;
        let mut text = format!("{}\n", if *ok { "OK" } else { "NOT OK" });
        for Found { weight, code, setting, what, do_this } in findings {
            let about = setting.as_ref().map_or_else(String::new, |setting| format!("{setting}: "));
            text.push_str(&format!("# {weight} ({code}): {about}{what}\n#   {do_this}\n"));
        }
        if !findings.is_empty() {
            text.push_str("#\n");
        }
        for line in uses.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str("#\n");
        text.push_str(&settings::as_file(config, origins));
        text
    }
}

fn of_obstacle(found: &Obstacle) -> Found {
    Found {
        weight: found.weight().as_str(),
        code: found.code().to_owned(),
        setting: found.setting(),
        what: one_line(&found.what()),
        do_this: one_line(&found.advice()),
    }
}

fn of_finding(found: &Finding) -> Found {
    Found {
        weight: found.weight().as_str(),
        code: found.code().to_owned(),
        setting: None,
        what: found.to_string(),
        do_this: found.advice(),
    }
}

/// A comment is one line, whatever an error says.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Uses {
    fn of(config: &Config, ground: &Ground, listeners: &[ListenerSpec]) -> Self {
        let Ground { descriptors, memory, disk, kernel: _, clock: _ } = ground;
        let limit = descriptors.limit();
        let clients_max = u64::from(config.maxclients);
        let data_dir = DataDir::new(&config.data_dir);
        let inhabitant = ironcache_node::inhabitant(&config.data_dir).ok().flatten();
        let Inhabitant { node, cluster, peer_addr: _ } = inhabitant.clone().unwrap_or_default();
        let release = match StateFile::new(&data_dir).read() {
            Ok(ReadState::Present(state)) => Some(state.to_run().to_string()),
            Ok(ReadState::Missing | ReadState::Corrupt { .. }) | Err(_) => None,
        };
        Uses {
            descriptors: DescriptorsUsed {
                limit,
                reserved: ground::RESERVED,
                clients_max: limit
                    .map_or(clients_max, |limit| clients_max.min(limit.saturating_sub(ground::RESERVED))),
            },
            memory: MemoryUsed {
                limit_bytes: memory.limit_bytes(),
                client_buffers_max_bytes: config.maxmemory_clients,
                backlog_bytes: config.backlog_bytes,
            },
            disk: disk.as_ref().map(|disk| DiskUsed {
                size_bytes: disk.size_bytes,
                free_bytes: disk.free_bytes,
                keep_free_bytes: disk.keep_free_bytes(),
            }),
            ports: listeners
                .iter()
                .map(|spec| PortUsed { setting: spec.key.clone(), address: spec.address.to_string() })
                .collect(),
            data_dir: DirUsed {
                path: std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone()),
                node: inhabitant.map(|_| node),
                cluster,
                release,
            },
        }
    }

    fn lines(&self) -> Vec<String> {
        let Uses { descriptors, memory, disk, ports, data_dir } = self;
        let DescriptorsUsed { limit, reserved, clients_max } = descriptors;
        let limit = match limit {
            Some(u64::MAX) => "without a limit".to_owned(),
            Some(limit) => limit.to_string(),
            None => "unknown".to_owned(),
        };
        let MemoryUsed { limit_bytes, client_buffers_max_bytes, backlog_bytes } = memory;
        let limit_bytes = limit_bytes.map_or_else(|| "unknown".to_owned(), bytes);
        let mut lines = vec![
            format!(
                "descriptors: {limit}; {reserved} kept for peers, operators and files, {clients_max} for clients"
            ),
            format!(
                "memory: {limit_bytes}; at most {} of it for replies and commands of clients, {} for the backlog, and what \
                 the dataset takes",
                bytes(*client_buffers_max_bytes),
                bytes(*backlog_bytes)
            ),
        ];
        if let Some(DiskUsed { size_bytes, free_bytes, keep_free_bytes }) = disk {
            lines.push(format!(
                "disk: {}, {} free; a release leaves {} of it",
                bytes(*size_bytes),
                bytes(*free_bytes),
                bytes(*keep_free_bytes)
            ));
        }
        let ports: Vec<_> =
            ports.iter().map(|PortUsed { setting, address }| format!("{address} ({setting})")).collect();
        lines.push(format!("ports: {}", ports.join(", ")));
        let DirUsed { path, node, cluster, release } = data_dir;
        let mut whose = match node {
            None => "new".to_owned(),
            Some(node) => format!("of node {node}"),
        };
        if let Some(cluster) = cluster {
            whose.push_str(&format!(", a member of cluster {cluster}"));
        }
        if let Some(release) = release {
            whose.push_str(&format!("; a start runs release {release}, whichever binary is started"));
        }
        lines.push(format!("data directory: {}, {whose}", path.display()));
        lines
    }
}
