//! The demo, again and again: what a client feels while a cluster upgrades itself.

use crate::Bench;
use crate::iron;
use crate::row::{Figure, Row, Section, Unit};
use anyhow::{Context, Result};
use ironcache_benches::measure::Percentiles;
use serde_json::Value;

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let runs = bench.scale.pick(10, 1);
    let args = args(bench);
    let mut rolls = Rolls::default();
    demos(bench, runs, &args, &mut rolls)?;
    let command = format!("ironcache demo --json {}", args.join(" "));
    let row = |what: &str, ours| Row { what: what.to_owned(), ours, peer: None, command: command.clone() };
    let count = |what: &str, key| row(what, Figure::new(rolls.total(key), Unit::Count));
    let rows = vec![
        row("handover stall", rolls.stalls()?),
        row(
            "longest gap between two acknowledged writes of a shard, of a run",
            rolls.distribution("longest_write_gap_ms")?,
        ),
        row("longest gap between two reads of a shard, of a run", rolls.distribution("longest_read_gap_ms")?),
        row("the whole roll", rolls.distribution("roll_ms")?),
        count("acknowledged writes, all runs", "acknowledged_writes"),
        count("lost writes, all runs", "lost_writes"),
        count("wrong values, all runs", "wrong_values"),
        count("client errors, all runs", "client_errors"),
    ];
    let about = format!(
        "{runs} demos in a row, each a cluster of real processes (3 shards of a primary and a replica) that rolls \
         itself to another release while an unmodified cluster client writes and reads. The median, with p99 and the \
         longest; a stall is the time for which the old primary held commands back."
    );
    Ok(Section { title: "A rollout", about, rows })
}

/// Of the demo, without TLS for its clients.
pub(super) fn args(bench: &Bench) -> Vec<String> {
    let text =
        bench.scale.pick("--keys 600000 --value-size 100 --rate 2000", "--keys 6000 --rate 500 --seconds 1");
    text.split(' ').map(str::to_owned).collect()
}

/// Adds the reports of `runs` demos.
pub(super) fn demos(bench: &Bench, runs: usize, args: &[String], rolls: &mut Rolls) -> Result<()> {
    for run in 1..=runs {
        eprintln!("demo {run} of {runs}");
        rolls.reports.push(iron::demo(bench, args)?);
    }
    Ok(())
}

/// What demos reported.
#[derive(Debug, Default)]
pub(super) struct Rolls {
    reports: Vec<Value>,
}

impl Rolls {
    /// Of a time that each run has one of.
    pub(super) fn distribution(&self, key: &str) -> Result<Figure> {
        self.percentiles(key, |report| vec![report[key].as_f64()])
    }

    pub(super) fn total(&self, key: &str) -> f64 {
        self.reports.iter().filter_map(|report| report[key].as_f64()).sum()
    }

    fn stalls(&self) -> Result<Figure> {
        self.percentiles("stall_ms", |report| {
            report["handovers"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|each| each["stall_ms"].as_f64())
                .collect()
        })
    }

    /// Over what `of` finds in every report; an error if it finds nothing in one.
    fn percentiles(&self, what: &str, of: impl Fn(&Value) -> Vec<Option<f64>>) -> Result<Figure> {
        let values: Option<Vec<f64>> = self.reports.iter().flat_map(of).collect();
        let Percentiles { p50_ms, p99_ms, max_ms } =
            values.and_then(Percentiles::of_ms).with_context(|| format!("a report lacks {what}"))?;
        Ok(Figure::new(p50_ms, Unit::Milliseconds).with_note(format!("p99 {p99_ms:.2}, max {max_ms:.2}")))
    }
}
