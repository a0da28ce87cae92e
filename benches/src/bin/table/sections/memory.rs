//! Resident memory of a node, idle and filled.

use super::Name;
use crate::Bench;
use crate::client::Client;
use crate::iron::Playground;
use crate::process::resident_mib;
use crate::redis::RedisServer;
use crate::row::{Figure, Row, Section, Unit};
use anyhow::Result;

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let keys = bench.scale.pick(1_000_000, 100_000);
    let (iron, redis) = (Playground::start(bench, 0)?, RedisServer::start(bench)?);
    let (mut ours, mut peer) = (Client::connect(&iron.seeds[0])?, redis.client()?);
    let daemon = ours.pid()?;
    let launcher = resident_mib(iron.launcher_pids[0])?;
    let idle = (resident_mib(daemon)?, resident_mib(redis.pid())?);
    ours.fill(keys)?;
    peer.fill(keys)?;
    let filled = (resident_mib(daemon)?, resident_mib(redis.pid())?);
    let mib = |value| Figure::new(value, Unit::Mebibytes);
    let bytes_a_key =
        |filled: f64, idle: f64| Figure::new((filled - idle) * 1024.0 * 1024.0 / keys as f64, Unit::Bytes);
    let row =
        |what: String, ours, peer| Row { what, ours, peer: Some(peer), command: Name::Memory.command() };
    let rows = vec![
        row(
            "idle node, launcher and daemon".to_owned(),
            mib(launcher + idle.0).with_note(format!("launcher {launcher:.1}")),
            mib(idle.1),
        ),
        row(format!("daemon with {keys} keys of 100 B"), mib(filled.0), mib(filled.1)),
        row(
            "growth a key of 16 B and value of 100 B".to_owned(),
            bytes_a_key(filled.0, idle.0),
            bytes_a_key(filled.1, idle.1),
        ),
    ];
    let about = "`VmRSS`; a launcher shares its binary's pages with its daemon, and is counted in full all the same. \
                 A node that was written to also holds its replication backlog, up to `backlog-bytes`."
        .to_owned();
    Ok(Section { title: "Memory", about, rows })
}
