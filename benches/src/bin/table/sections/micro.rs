//! Single functions of the data path, in this process.

use super::Name;
use crate::Bench;
use crate::row::{Figure, Row, Section, Unit};
use anyhow::Result;
use ironcache_benches::measure::{ns_per_round, side_by_side};
use ironcache_benches::workload::commands::{Database, KEYS, Op};
use ironcache_benches::workload::replication::{FullSync, Replica, Stream, encode_effect};
use ironcache_benches::workload::{key, resp};
use ironcache_resp::CommandParser;

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let mut rows = parsing(bench);
    rows.extend(Op::ALL.map(|op| executing(bench, op)));
    rows.extend(replicating(bench));
    let about = format!(
        "One function at a time, on one thread: nanoseconds of processor time a command, the median of \
         {} samples. The peer of the \
         parser is the `redis-protocol` crate. Commands run on {KEYS} keys, from their name to the reply and the \
         effects for the replicas; a full sync here is dump and apply without a network.",
        bench.effort.samples
    );
    Ok(Section { title: "The data path, piece by piece", about, rows })
}

fn row(what: String, ours: f64, peer: Option<f64>) -> Row {
    let figure = |ns| Figure::new(ns, Unit::Nanoseconds);
    Row { what, ours: figure(ours), peer: peer.map(figure), command: Name::Micro.command() }
}

fn parsing(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for input in resp::inputs() {
        let mut parser = CommandParser::default();
        let mut against = |peer_name: &str, peer: fn(&resp::Input)| {
            let ours = || resp::ours(&mut parser, &input);
            let (ours, theirs) = side_by_side(bench.effort, ours, || peer(&input));
            let per = |ns: f64| ns / input.commands as f64;
            row(format!("parse {}, against `{peer_name}`", input.name), per(ours), Some(per(theirs)))
        };
        rows.push(against("decode_range", resp::peer_range));
        rows.push(against("decode", resp::peer_owned));
    }
    rows
}

fn executing(bench: &Bench, op: Op) -> Row {
    let mut database = Database::new(op);
    let ns = ns_per_round(bench.effort, || database.round());
    row(format!("execute {op}"), ns / op.commands() as f64, None)
}

fn replicating(bench: &Bench) -> Vec<Row> {
    let effort = bench.effort;
    let (key, mut out) = (key(1), Vec::new());
    let (mut replica, mut stream) = (Replica::new(KEYS), Stream::new());
    let mut sync = FullSync::new(bench.scale.pick(1_000_000, 100_000));
    let mut rows = vec![
        row(
            "encode the effect of a SET".to_owned(),
            ns_per_round(effort, || encode_effect(&key, &mut out)),
            None,
        ),
        row(
            "encode, decode and apply the effect of a SET".to_owned(),
            ns_per_round(effort, || replica.apply()),
            None,
        ),
        row(
            "frame a write, into the backlog, decode".to_owned(),
            ns_per_round(effort, || stream.frame()),
            None,
        ),
        row(
            "a write through the acknowledgement gate".to_owned(),
            ns_per_round(effort, || stream.gate()),
            None,
        ),
    ];
    let keys = sync.keys() as f64;
    let ns = ns_per_round(effort, || drop(sync.run()));
    rows.push(Row {
        what: format!("full sync of {keys} keys of 100 B, dump and apply"),
        ours: Figure::new(keys * 1e9 / ns, Unit::PerSecond),
        peer: None,
        command: Name::Micro.command(),
    });
    rows
}
