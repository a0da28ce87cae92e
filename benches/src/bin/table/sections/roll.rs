//! The demo, again and again: what a client feels while a cluster upgrades itself.

use crate::Bench;
use crate::iron;
use crate::row::{Figure, Row, Section, Unit};
use anyhow::{Context, Result};
use ironcache_benches::measure::Percentiles;
use serde_json::Value;

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let runs = bench.scale.pick(10, 1);
    let args: Vec<String> = bench
        .scale
        .pick("--keys 600000 --value-size 100 --rate 2000", "--keys 6000 --rate 500 --seconds 1")
        .split(' ')
        .map(str::to_owned)
        .collect();
    let mut reports = Vec::new();
    for run in 1..=runs {
        eprintln!("demo {run} of {runs}");
        reports.push(iron::demo(bench, &args)?);
    }
    let command = format!("ironcache demo --json {}", args.join(" "));
    let of_each = |key: &str| of_reports(&reports, |report| vec![report[key].as_f64()]);
    let stalls = of_reports(&reports, |report| {
        report["handovers"].as_array().into_iter().flatten().map(|each| each["stall_ms"].as_f64()).collect()
    });
    let total = |key: &str| reports.iter().filter_map(|report| report[key].as_f64()).sum();
    let distribution = |what: &str, values: Result<Percentiles>| -> Result<Row> {
        let Percentiles { p50_ms, p99_ms, max_ms } =
            values.with_context(|| format!("no figures of: {what}"))?;
        let ours =
            Figure::new(p50_ms, Unit::Milliseconds).with_note(format!("p99 {p99_ms:.2}, max {max_ms:.2}"));
        Ok(Row { what: what.to_owned(), ours, peer: None, command: command.clone() })
    };
    let count = |what: &str, value| Row {
        what: what.to_owned(),
        ours: Figure::new(value, Unit::Count),
        peer: None,
        command: command.clone(),
    };
    let rows = vec![
        distribution("handover stall", stalls)?,
        distribution(
            "longest gap between two acknowledged writes of a shard, of a run",
            of_each("longest_write_gap_ms"),
        )?,
        distribution("longest gap between two reads of a shard, of a run", of_each("longest_read_gap_ms"))?,
        distribution("the whole roll", of_each("roll_ms"))?,
        count("acknowledged writes, all runs", total("acknowledged_writes")),
        count("lost writes, all runs", total("lost_writes")),
        count("wrong values, all runs", total("wrong_values")),
        count("client errors, all runs", total("client_errors")),
    ];
    let about = format!(
        "{runs} demos in a row, each a cluster of real processes (3 shards of a primary and a replica) that rolls \
         itself to another release while an unmodified cluster client writes and reads. The median, with p99 and the \
         longest; a stall is the time for which the old primary held commands back."
    );
    Ok(Section { title: "A rollout", about, rows })
}

/// Percentiles over what `of` finds in every report; an error if it finds nothing in one.
fn of_reports(reports: &[Value], of: impl Fn(&Value) -> Vec<Option<f64>>) -> Result<Percentiles> {
    let values: Option<Vec<f64>> = reports.iter().flat_map(of).collect();
    values.and_then(Percentiles::of_ms).context("a report lacks a figure")
}
