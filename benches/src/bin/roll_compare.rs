//! The roll of two binaries, side by side: is the new one slower than the old one? Or of one binary with and without TLS:
//! `roll-compare --old BIN --new BIN --old-demo=--insecure --new-demo "--tls-cert-file C --tls-key-file K"`.
//!
//! ```text
//!   old, new, new, old, old, new, … ─► `ironcache demo --json` of each ─► median and maximum of each figure
//! ```
//! *Invariant:* the runs are interleaved, and the order changes from pair to pair: what drifts on the machine meanwhile
//! falls on both.
//! *Invariant:* a run that lost a write, or failed in any other way, is an error and no figure.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ironcache_benches::measure::{Percentiles, median};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rolls two binaries in turns, by their own `demo`, and prints the figures beside each other.
#[derive(Clone, Debug, Parser)]
#[command(name = "roll-compare")]
struct Args {
    /// The binary of before
    #[arg(long, value_name = "FILE")]
    old: PathBuf,
    /// The binary of now
    #[arg(long, value_name = "FILE")]
    new: PathBuf,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// What both demos are given, separated by spaces; `--json` is added
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "--keys 600000 --value-size 100 --rate 2000",
        allow_hyphen_values = true
    )]
    demo: String,
    /// What only the old one's demo is given
    #[arg(long, value_name = "ARGS", default_value = "", allow_hyphen_values = true)]
    old_demo: String,
    /// What only the new one's demo is given
    #[arg(long, value_name = "ARGS", default_value = "", allow_hyphen_values = true)]
    new_demo: String,
}

/// What is compared, by its name in the demo's report.
const FIGURES: [(&str, &str); 3] = [
    ("roll_ms", "the whole roll"),
    ("longest_write_gap_ms", "longest gap between two acknowledged writes of a shard"),
    ("longest_read_gap_ms", "longest gap between two reads of a shard"),
];

fn main() -> Result<()> {
    let args = Args::parse();
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for run in 0..args.runs {
        eprintln!("pair {} of {}", run + 1, args.runs);
        let demo = |binary: &Path, own: &str| roll(binary, &format!("{} {own}", args.demo));
        let demo_old = || demo(&args.old, &args.old_demo);
        let demo_new = || demo(&args.new, &args.new_demo);
        if run % 2 == 0 {
            old.push(demo_old()?);
            new.push(demo_new()?);
        } else {
            new.push(demo_new()?);
            old.push(demo_old()?);
        }
    }
    print!("{}", table(&old, &new, &args)?);
    Ok(())
}

/// One run: the demo's report.
fn roll(binary: &Path, arguments: &str) -> Result<Value> {
    let output = Command::new(binary)
        .args(["demo", "--json"])
        .args(arguments.split_whitespace())
        .output()
        .with_context(|| format!("could not start {}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} printed no object:\n{said}", binary.display()))?;
    ensure!(
        output.status.success() && report["verdict"] == "pass",
        "a demo of {} failed: {report}\n{said}",
        binary.display()
    );
    let shown: Vec<String> = FIGURES.iter().map(|(key, _)| format!("{key} {}", report[key])).collect();
    eprintln!("  {}: {}", binary.display(), shown.join(", "));
    Ok(report)
}

fn table(old: &[Value], new: &[Value], args: &Args) -> Result<String> {
    let mut text = format!(
        "{} runs of each, in turns: `demo --json {}`{}\n\n| what, in ms | old median | old max | new median | new max | \
         new / old (median) |\n| --- | --- | --- | --- | --- | --- |\n",
        old.len(),
        args.demo,
        own_arguments(args)
    );
    for (key, what) in FIGURES {
        let (old, new) = (Side::of(old, key)?, Side::of(new, key)?);
        text.push_str(&format!(
            "| {what} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |\n",
            old.median_ms,
            old.max_ms,
            new.median_ms,
            new.max_ms,
            new.median_ms / old.median_ms
        ));
    }
    Ok(text)
}

/// What is not the same for both.
fn own_arguments(args: &Args) -> String {
    if args.old_demo.is_empty() && args.new_demo.is_empty() {
        return String::new();
    }
    format!("; the old one with `{}`, the new one with `{}`", args.old_demo, args.new_demo)
}

/// One figure over the runs of one binary.
struct Side {
    median_ms: f64,
    max_ms: f64,
}

impl Side {
    fn of(reports: &[Value], key: &str) -> Result<Self> {
        let values: Option<Vec<f64>> = reports.iter().map(|report| report[key].as_f64()).collect();
        let values = values.with_context(|| format!("a report lacks {key}"))?;
        let max_ms = Percentiles::of_ms(values.clone()).context("no runs")?.max_ms;
        Ok(Self { median_ms: median(values), max_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(rolls_ms: &[f64]) -> Vec<Value> {
        let report = |ms: &f64| serde_json::json!({"roll_ms": ms, "longest_write_gap_ms": 5, "longest_read_gap_ms": 4.5});
        rolls_ms.iter().map(report).collect()
    }

    #[test]
    fn the_table_shows_both_sides() {
        let args = Args::parse_from(["roll-compare", "--old", "a", "--new", "b"]);
        let text =
            table(&reports(&[2000.0, 1000.0, 1500.0]), &reports(&[3000.0, 1000.0, 3000.0]), &args).unwrap();
        let rows: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(rows[0], "| the whole roll | 1500.0 | 2000.0 | 3000.0 | 3000.0 | 2.00 |");
        assert!(rows[1].ends_with("| 5.0 | 5.0 | 5.0 | 5.0 | 1.00 |"), "{text}");
        assert_eq!(rows.len(), FIGURES.len());
    }

    #[test]
    fn a_figure_that_is_missing_is_an_error() {
        let args = Args::parse_from(["roll-compare", "--old", "a", "--new", "b", "--demo", "--keys 10"]);
        assert!(table(&reports(&[1.0]), &[serde_json::json!({"roll_ms": 1.0})], &args).is_err());
    }

    #[test]
    fn a_binary_that_fails_gives_no_figure() {
        let error = roll(Path::new("/bin/false"), "").unwrap_err();
        assert!(error.to_string().contains("printed no object"), "{error}");
    }
}
