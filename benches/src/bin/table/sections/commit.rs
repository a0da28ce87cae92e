//! How long an entry of the control plane takes to be committed.

use super::Name;
use crate::Bench;
use crate::row::{Figure, Row, Section, Unit};
use anyhow::{Context, Result};
use ironcache_benches::measure::Percentiles;
use ironcache_benches::workload::commit::{Appends, Group};
use std::time::Duration;

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let commits = bench.scale.pick(2000, 200);
    let runtime = tokio::runtime::Runtime::new()?;
    let beside_the_disk = |what: &str, voters| -> Result<Row> {
        let dir = bench.fresh_dir()?;
        let [ours, floor] = runtime.block_on(async {
            let mut floor = Appends::new(&dir)?;
            let mut group = Group::start(&dir, voters).await?;
            let times = group.commits_beside(&mut floor, commits).await;
            group.stop().await;
            times
        })?;
        row(what, &ours, &floor)
    };
    let rows = vec![
        beside_the_disk("one voter: append, fsync, apply", 1)?,
        beside_the_disk("three voters: the same on a majority, over loopback HTTP", 3)?,
    ];
    let about = format!(
        "{commits} entries, one after the other, with a bare append between each two: the median, with p99 and the longest. The peer is the disk: that \
         append of an entry's size and its `fdatasync`, so the ratio says how much of a commit is not the disk."
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
