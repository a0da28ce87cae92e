//! `GET /metrics`: this node in numbers, in the OpenMetrics text format, which Prometheus reads.
//!
//! Names are `ironcache_<what>_<unit>`, counters end in `_total`. What the log knows (shards, the plan, past
//! steps and handovers) is the same on every node; the rest is of this node.
//!
//! *Invariant:* pure but for [`render`], which gathers: a scrape is one look at one moment.

mod of_log;
mod of_node;
mod writer;

use crate::app::App;
use crate::background;
use crate::data::DataSnapshot;
use crate::ground::{self, Finding, Ground};
use crate::process;
use ironcache_control::ControlState;
use ironcache_raft::RaftView;
use ironcache_types::{Member, Release};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use writer::Writer;

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is shown, gathered before anything is written.
#[derive(Clone, Debug)]
struct Scrape {
    me: Member,
    release: Release,
    up_seconds: f64,
    resident_bytes: u64,
    cpu_user_seconds: f64,
    cpu_system_seconds: f64,
    ready: bool,
    upgrades_refused: bool,
    /// By code.
    attempts_refused: BTreeMap<String, u64>,
    peers_refused: BTreeMap<String, u64>,
    ground: Ground,
    findings: Vec<Finding>,
    /// `None` while the process ends.
    data: Option<DataSnapshot>,
    raft: RaftView,
    state: Arc<ControlState>,
}

/// # Errors
/// Only if a number cannot be written, which would be our bug.
pub(crate) async fn render(app: &App) -> Result<String, fmt::Error> {
    let (cpu_user_seconds, cpu_system_seconds) = process::cpu_seconds();
    let upgrades_refused = app.launcher.borrow().facts.degraded.is_some();
    // A disk that hangs is looked at by a thread of its own.
    let dir = app.config.data_dir.clone();
    let ground = background::run(move || ground::measure(&dir)).await.unwrap_or_default();
    let scrape = Scrape {
        me: app.me,
        release: app.release.clone(),
        up_seconds: app.started.elapsed().as_secs_f64(),
        resident_bytes: process::resident_bytes(),
        cpu_user_seconds,
        cpu_system_seconds,
        ready: app.readiness().await.is_ok(),
        upgrades_refused,
        attempts_refused: app.refused.by_code(),
        peers_refused: app.refused_peers.by_code(),
        findings: ground.findings(app.wants),
        ground,
        data: app.data.snapshot().await.ok(),
        raft: app.raft.view(),
        state: Arc::clone(&app.raft.applied().borrow().state),
    };
    encode(scrape)
}

fn encode(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("ironcache");
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut to = Writer::new(encoder);
        of_node::write(self, &mut to)?;
        of_log::write(&self.state, &mut to)
    }
}

#[cfg(test)]
mod tests;
