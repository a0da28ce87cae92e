//! Clients by TLS: GET and SET beside redis-server, and a rollout beside the same one without TLS.

use super::roll::{Rolls, demos};
use super::throughput::compare;
use crate::Bench;
use crate::iron::Playground;
use crate::redis::{RedisServer, Via};
use crate::row::{Figure, Row, Section, Unit};
use crate::tls::Certificate;
use anyhow::Result;

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let certificate = Certificate::make(bench)?;
    let runs = bench.scale.pick(3, 1);
    let mut rows = {
        let iron = Playground::by_tls(bench, 0, &certificate)?;
        let redis = RedisServer::by_tls(bench, &certificate)?;
        compare(bench, runs, Via::Tls, ", by TLS", iron.tls_with_role("master")?, redis.tls_addr()?)?
    };
    let rolls = bench.scale.pick(5, 1);
    rows.extend(beside_plain(bench, rolls, &certificate)?);
    let about = format!(
        "The first rows as in Throughput, {runs} runs of each side, by TLS 1.3 and an ECDSA certificate (P-256), the \
         same one on both sides. The others as in A rollout: {rolls} demos with clients by TLS and, as their peer, \
         {rolls} without (between nodes TLS in both), in turns."
    );
    Ok(Section { title: "TLS", about, rows })
}

/// Rolls by TLS, and as their peers rolls by plain connections.
fn beside_plain(bench: &Bench, runs: usize, certificate: &Certificate) -> Result<Vec<Row>> {
    let plain = super::roll::args(bench);
    let by_tls: Vec<String> = plain.iter().cloned().chain(certificate.args()).collect();
    let (mut ours, mut peers) = (Rolls::default(), Rolls::default());
    for _ in 0..runs {
        demos(bench, 1, &by_tls, &mut ours)?;
        demos(bench, 1, &plain, &mut peers)?;
    }
    let command = format!("ironcache demo --json {} --tls-cert-file … --tls-key-file …", plain.join(" "));
    let gaps = [
        ("longest gap between two acknowledged writes of a shard, of a run, by TLS", "longest_write_gap_ms"),
        ("longest gap between two reads of a shard, of a run, by TLS", "longest_read_gap_ms"),
        ("the whole roll, by TLS", "roll_ms"),
    ];
    let mut rows = Vec::new();
    for (what, key) in gaps {
        rows.push(Row {
            what: what.to_owned(),
            ours: ours.distribution(key)?,
            peer: Some(peers.distribution(key)?),
            command: command.clone(),
        });
    }
    let counts = [
        ("lost writes, all runs by TLS", "lost_writes"),
        ("wrong values, all runs by TLS", "wrong_values"),
        ("client errors, all runs by TLS", "client_errors"),
    ];
    rows.extend(counts.into_iter().map(|(what, key)| Row {
        what: what.to_owned(),
        ours: Figure::new(ours.total(key), Unit::Count),
        peer: None,
        command: command.clone(),
    }));
    Ok(rows)
}
