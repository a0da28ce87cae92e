//! Breaks what guards safety, one guard at a time, and demands that a test notices.
//!
//! ```text
//!  a row of the table ──> the guard is gone from the file ──> tests compile? ──> tests fail? ──> file as it was
//!                                                                  │ no: the row is out of date    │ no: nothing guards it
//! ```
//!
//! *Invariant:* a file with changes that are not committed is left alone; any other is put back, whatever happens in
//! between.

mod audit;
mod channels;
mod control;
mod coordinator;
mod data;
mod disk;
mod doors;
mod log;
mod node;
mod oracle;
mod releases;
mod shard;

use crate::workspace::cargo;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One guard, and how to take it away.
struct Mutation {
    name: &'static str,
    /// What the code then does.
    breaks: &'static str,
    file: &'static str,
    /// Stands in the file exactly once.
    guard: &'static str,
    instead: &'static str,
    /// What follows `cargo test`: the tests of which one has to fail. After [`TURMOIL`] what follows `ironcache-turmoil`: the
    /// seeds of which one has to be violated.
    tests: &'static [&'static str],
}

/// The simulated world, which is another build (docs/adr/0030).
const TURMOIL: &str = "turmoil";

/// The tests of a row take a minute or two. Longer, and a run of CI ends before it says which one did not.
const ENDS_WITHIN_S: u32 = 600;
/// What `timeout` exits with when the time was up, and when it had to kill.
const TIMED_OUT: i32 = 124;
const KILLED: i32 = 137;

/// A guard that only a whole cluster in trouble misses.
const SIMULATED: &[&str] = &["-p", "ironcache-sim", "--test", "seeds"];

/// The oracle, tried by hand: what is spoilt in a run that is well.
const ORACLE: &[&str] = &["-p", "ironcache-sim", "--lib"];

/// The same with two versions at a time: the new release of a run knows one level more.
const SIMULATED_NEXT: &[&str] = &["-p", "ironcache-sim", "--features", "next", "--test", "seeds"];

/// Every row, by what it guards.
fn all() -> Vec<&'static Mutation> {
    [
        control::ROWS,
        coordinator::ROWS,
        data::ROWS,
        disk::ROWS,
        doors::ROWS,
        log::ROWS,
        node::ROWS,
        oracle::ROWS,
        releases::ROWS,
        shard::ROWS,
        audit::ROWS,
        channels::ROWS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Tries every mutation, or the named one.
///
/// # Errors
/// When a mutation survives its tests, or does not fit the code any more; the others are tried all the same.
pub(crate) fn run(root: &Path, only: Option<&str>) -> Result<()> {
    let chosen: Vec<&Mutation> =
        all().into_iter().filter(|m| only.is_none_or(|name| name == m.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all().iter().map(|m| m.name).collect();
        bail!("there is no mutation {:?}; there are {}", only.unwrap_or_default(), names.join(", "));
    }
    try_each(root, &chosen)
}

/// Tries `count` rows, evenly spread, and beginning at one that the present commit chooses.
pub(crate) fn run_sample(root: &Path, count: usize) -> Result<()> {
    let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root).output();
    let head = head.context("git cannot be asked for the present commit")?;
    let id = String::from_utf8_lossy(&head.stdout);
    let begin = id.get(..8).and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let rows = all();
    let (count, all) = (count.clamp(1, rows.len()), rows.len());
    let chosen: Vec<&Mutation> = (0..count).map(|at| rows[(begin + at * all / count) % all]).collect();
    println!("mutations: a sample of {count} of {all}; `make mutations` tries all");
    try_each(root, &chosen)
}

fn try_each(root: &Path, chosen: &[&Mutation]) -> Result<()> {
    let mut problems = Vec::new();
    for mutation in chosen {
        match try_one(root, mutation) {
            Ok(test) => println!("caught: {} ({}), by {test}", mutation.name, mutation.breaks),
            Err(error) => {
                println!("NOT CAUGHT: {} ({}): {error:#}", mutation.name, mutation.breaks);
                problems.push(mutation.name);
            }
        }
    }
    if !problems.is_empty() {
        bail!("{} of {} mutations were not caught: {}", problems.len(), chosen.len(), problems.join(", "));
    }
    println!("mutations: {} of {} are caught", chosen.len(), chosen.len());
    Ok(())
}

/// Answers the name of a test that failed.
fn try_one(root: &Path, mutation: &Mutation) -> Result<String> {
    let path = root.join(mutation.file);
    let file = Restored::open(root, &path)?;
    let places = file.original.matches(mutation.guard).count();
    if places != 1 {
        bail!("the guard stands in {} {places} times; correct the row in the table", mutation.file);
    }
    std::fs::write(&path, file.original.replacen(mutation.guard, mutation.instead, 1))
        .with_context(|| format!("cannot write {}", mutation.file))?;
    if let [TURMOIL, play @ ..] = mutation.tests {
        return turmoil(root, play);
    }
    if !cargo_test(root, mutation, &["--no-run"])?.status.success() {
        bail!("the tests do not compile with it: correct the row in the table");
    }
    let tests = cargo_test(root, mutation, &["--no-fail-fast"])?;
    if tests.status.success() {
        bail!("`cargo test {}` passes all the same", mutation.tests.join(" "));
    }
    let said = String::from_utf8_lossy(&tests.stdout).into_owned();
    if matches!(tests.status.code(), Some(TIMED_OUT | KILLED)) {
        let goes_on = said.lines().find_map(|line| {
            line.strip_prefix("test ")?.strip_suffix(" has been running for over 60 seconds")
        });
        return goes_on
            .map(|test| format!("{test}, which does not end"))
            .with_context(|| format!("the tests did not end within {ENDS_WITHIN_S} s, and none says why"));
    }
    let failed = said.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    failed.map(str::to_owned).context("the tests ended badly, and none of them failed")
}

/// Answers the first seed that was violated.
fn turmoil(root: &Path, play: &[&str]) -> Result<String> {
    // As in the Makefile: what is built for `make turmoil` is built.
    let run = |verb: &str, more: &[&str]| {
        cargo()
            .args([verb, "--target-dir", "target/turmoil", "-p", "ironcache-turmoil"])
            .args(more)
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "--cfg tokio_unstable --cfg turmoil")
            .current_dir(root)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run cargo {verb}"))
    };
    if !run("build", &[])?.status.success() {
        bail!("the simulated world does not compile with it: correct the row in the table");
    }
    let seeds = run("run", &[&["--"], play].concat())?;
    if seeds.status.success() {
        bail!("`ironcache-turmoil {}` passes all the same", play.join(" "));
    }
    let said = String::from_utf8_lossy(&seeds.stdout).into_owned();
    let failed = said.lines().find_map(|line| line.strip_prefix("FAILED")?.trim().split(':').next());
    let failed = failed.context("the seeds ended badly, and none of them failed")?;
    Ok(format!("{} {failed}", play.first().unwrap_or(&TURMOIL)))
}

fn cargo_test(root: &Path, mutation: &Mutation, more: &[&str]) -> Result<std::process::Output> {
    let (before, filter) = match mutation.tests {
        [options @ .., filter] if !filter.starts_with('-') && options.contains(&"--lib") => {
            (options, Some(filter))
        }
        options => (options, None),
    };
    let mut test = cargo();
    test.arg("test").args(before).args(more).args(filter);
    // A guard may be all that ends a test: with its group, so that what the test began ends as well.
    let mut bounded = Command::new("timeout");
    bounded
        .arg("--kill-after=20")
        .arg(ENDS_WITHIN_S.to_string())
        .arg(test.get_program())
        .args(test.get_args());
    for (name, value) in test.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    bounded.current_dir(root).stdin(Stdio::null()).output().context("cannot run cargo test")
}

/// A file that is written back as it was when this is dropped.
struct Restored {
    path: PathBuf,
    original: String,
}

impl Restored {
    fn open(root: &Path, path: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.args(["diff", "--quiet", "HEAD", "--"]).arg(path).current_dir(root);
        // 1 says that it differs; anything else, that this is no repository, where nothing else keeps the file either.
        if git.stderr(Stdio::null()).status().is_ok_and(|status| status.code() == Some(1)) {
            bail!("{} has changes that are not committed; a mutation would endanger them", path.display());
        }
        let original =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path: path.to_owned(), original })
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.path, &self.original) {
            eprintln!("xtask: {} stays broken: {error}; run git checkout on it", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A row that is out of date guards nothing, and only a long run would tell.
    #[test]
    fn every_guard_stands_in_its_file_once() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut wrong = Vec::new();
        for mutation in all() {
            let text = std::fs::read_to_string(root.join(mutation.file)).unwrap_or_default();
            let places = text.matches(mutation.guard).count();
            if places != 1 {
                wrong.push(format!("{}: {places} places in {}", mutation.name, mutation.file));
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        let names: BTreeSet<&str> = all().iter().map(|m| m.name).collect();
        assert_eq!(names.len(), all().len(), "a name is given twice");
    }
}
