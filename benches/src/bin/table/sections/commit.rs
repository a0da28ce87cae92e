//! How long an entry of the control plane takes to be committed.

use super::Name;
use crate::Bench;
use crate::row::{Figure, Row, Section, Unit};
use anyhow::{Context, Result};
use ironcache_benches::measure::Percentiles;
use ironcache_benches::workload::commit::{Appends, Group};
use std::time::Duration;

pub fn measure(bench: &Bench) -> Result<Section> {
    let commits = bench.scale.pick(2000, 200);
    let floor = Appends::new(&bench.fresh_dir()?)?.times(commits)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let group = |voters| -> Result<Vec<Duration>> {
        let dir = bench.fresh_dir()?;
        runtime.block_on(async {
            let mut group = Group::start(&dir, voters).await?;
            let times = group.commits(commits).await;
            group.stop().await;
            times
        })
    };
    let rows = vec![
        row("one voter: append, fsync, apply", &group(1)?, &floor)?,
        row("three voters: the same on a majority, over loopback HTTP", &group(3)?, &floor)?,
    ];
    let about = format!(
        "{commits} entries, one after the other: the median, with p99 and the longest. The peer is the disk: a \
         bare append of an entry's size and its `fdatasync`, so the ratio says how much of a commit is not the disk."
    );
    Ok(Section { title: "Committing to the control plane's log", about, rows })
}

fn row(what: &str, ours: &[Duration], floor: &[Duration]) -> Result<Row> {
    Ok(Row {
        what: what.to_owned(),
        ours: figure(ours)?,
        peer: Some(figure(floor)?),
        command: Name::Commit.command(),
    })
}

fn figure(times: &[Duration]) -> Result<Figure> {
    let Percentiles { p50_ms, p99_ms, max_ms } = Percentiles::of(times).context("nothing was measured")?;
    Ok(Figure::new(p50_ms, Unit::Milliseconds).with_note(format!("p99 {p99_ms:.2}, max {max_ms:.2}")))
}
