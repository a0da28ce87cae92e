//! The demo's middle: fill, load, play the scene, read back, ask.

use super::keys::{self, ShardMap};
use super::ledger::{Ledger, fill_key};
use super::load::{Load, LoadSpec, client_of};
use super::meter::{Percentiles, ms};
use super::{Demo, scene};
use crate::exit::Failure;
use crate::local::LocalCluster;
use anyhow::Context;
use ironcache_client::Client;
use std::path::Path;
use std::time::Duration;

/// The load before the roll: long enough for latencies to settle.
const WARM_UP: Duration = Duration::from_millis(1_000);
/// And after it, so that what the last handover leaves behind shows.
const AFTERGLOW: Duration = Duration::from_millis(500);
/// Filling and reading back move some hundred thousand keys a second.
const KEYS_TIMEOUT: Duration = Duration::from_secs(300);

/// Fills the report. An error is what kept the demo from going on.
pub(super) async fn roll(demo: &mut Demo, cluster: &LocalCluster, next: &Path) -> Result<(), Failure> {
    let value_bytes = demo.args.value_size as usize;
    let client = cluster.client();
    demo.evidence.from = Some(client.status().await?.release);
    let map = map_now(client).await?;
    demo.view.say(&format!("filling {} keys of {value_bytes} bytes", demo.args.keys))?;
    in_time("the fill", keys::fill(&map, demo.args.keys, value_bytes)).await?;

    let rate = demo.args.rate;
    demo.view.say(&format!("loading each shard with {rate} writes and {rate} reads a second"))?;
    let load = Load::start(&map, client_of(cluster)?, LoadSpec { rate, value_bytes }).await?;
    tokio::time::sleep(WARM_UP).await;
    demo.view.gauge(Some(load.gauge()));
    let played = scene::play(demo, client, next).await;
    demo.view.gauge(None);
    demo.view.say(&load.gauge()())?;
    if played.is_ok() {
        let remaining = Duration::from_secs(demo.args.seconds).saturating_sub(load.started.elapsed());
        tokio::time::sleep(remaining.max(AFTERGLOW)).await;
    }
    demo.view.finish();
    let ledgers = load.finish().await?;
    enter_load(demo, &ledgers);

    // Whatever became of the roll, what was acknowledged has to be there.
    demo.view.say("reading every acknowledged key back")?;
    let mut by_shard: Vec<Vec<String>> = ledgers.iter().map(|ledger| ledger.keys().collect()).collect();
    (0..demo.args.keys).map(fill_key).for_each(|key| by_shard[map.shard_of(&key)].push(key));
    let read_back = keys::read_back(by_shard, value_bytes, async || map_now(client).await);
    let balance = in_time("reading back", read_back).await;
    if let Ok(balance) = &balance {
        demo.report.lost_writes = Some(balance.lost);
        demo.report.wrong_values += balance.wrong;
    }
    // Of two failures the plan's came first, and likely led to the other.
    played?;
    balance?;
    for addr in cluster.http_addrs() {
        let status = Client::of_http(vec![addr.clone()]).status().await.ok();
        demo.evidence.runs.insert(addr, status.map(|s| s.release.version));
    }
    Ok(())
}

fn enter_load(demo: &mut Demo, ledgers: &[Ledger]) {
    let report = &mut demo.report;
    report.acknowledged_writes = ledgers.iter().map(|l| l.writes.count() as u64).sum();
    report.client_errors = ledgers.iter().map(|l| l.client_errors).sum();
    report.wrong_values = ledgers.iter().map(|l| l.wrong_reads).sum();
    report.longest_write_gap_ms =
        ms(ledgers.iter().map(|l| l.writes.longest_gap()).max().unwrap_or_default());
    report.longest_read_gap_ms = ms(ledgers.iter().map(|l| l.reads.longest_gap()).max().unwrap_or_default());
    report.write_ms = Percentiles::of(ledgers.iter().flat_map(|l| l.writes.took_us()).copied().collect());
    demo.evidence.samples = ledgers.iter().flat_map(|l| &l.samples).cloned().collect();
}

async fn map_now(client: &Client) -> anyhow::Result<ShardMap> {
    ShardMap::of(&client.cluster().await?.control)
}

async fn in_time<T>(what: &str, work: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    let late = || format!("{what} took longer than {} s", KEYS_TIMEOUT.as_secs());
    Ok(tokio::time::timeout(KEYS_TIMEOUT, work).await.with_context(late)??)
}
