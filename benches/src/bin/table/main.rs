//! Measures everything that `docs/benchmarks.md` tells, and writes it there.
//!
//! ```text
//!  sections::{throughput, commands, roll, tls, full_sync, micro, commit, memory} ─► Section { rows } ─► document ─► docs/benchmarks.md
//!       └─ process: redis-server, `ironcache playground`, `ironcache demo`
//! ```
//!
//! *Invariant:* what was started is stopped, by its process id, however this ends.
//! *Invariant:* a section is replaced as a whole: every row in it is of one run on one machine.
//! *Invariant:* a quick run is for trying and is never written to the document.

mod client;
mod document;
mod iron;
mod machine;
mod process;
mod redis;
mod row;
mod sections;
mod tls;

use anyhow::{Context, Result};
use clap::Parser;
use ironcache_benches::measure::Effort;
use sections::Name;
use std::path::{Path, PathBuf};

/// Measures ironcache, side by side with redis-server where there is something to compare, and writes
/// docs/benchmarks.md. Build the binary first: cargo build --release
#[derive(Clone, Debug, Parser)]
#[command(name = "table")]
struct Args {
    /// Less of everything, printed and not written: to try whether it works
    #[arg(long)]
    quick: bool,
    /// Only this section; the others stay in the document as they are. May be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Name>,
    /// The ironcache binary [the one beside this program]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Write there
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md"))]
    out: PathBuf,
}

/// What every section gets.
struct Bench {
    scale: Scale,
    effort: Effort,
    binary: PathBuf,
    /// On the disk of the build, as `/tmp` is often memory, where fsync costs nothing.
    dir: tempfile::TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Quick,
    Full,
}

impl Scale {
    /// A number of things: this many for publishing, that many for trying.
    fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Quick => quick,
        }
    }
}

impl Bench {
    fn new(args: &Args) -> Result<Self> {
        let own = std::env::current_exe().context("could not find this program")?;
        let beside = own.parent().context("this program has no directory")?;
        let scale = if args.quick { Scale::Quick } else { Scale::Full };
        Ok(Self {
            scale,
            effort: scale.pick(Effort::FULL, Effort::QUICK),
            binary: args.binary.clone().unwrap_or_else(|| beside.join("ironcache")),
            dir: tempfile::Builder::new().prefix("benches-").tempdir_in(beside)?,
        })
    }

    /// A fresh directory for one process.
    fn fresh_dir(&self) -> Result<PathBuf> {
        Ok(tempfile::tempdir_in(self.dir.path())?.keep())
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bench = Bench::new(&args)?;
    let names = if args.only.is_empty() { Name::ALL.to_vec() } else { args.only.clone() };
    for name in names {
        eprintln!("measuring {name}");
        let machine = machine::line();
        let section =
            name.measure(&bench).with_context(|| format!("the section {name} could not be measured"))?;
        let text = section.markdown(&machine);
        println!("{text}");
        if bench.scale == Scale::Full {
            write(&args.out, name, &text)?;
        }
    }
    Ok(())
}

fn write(path: &Path, name: Name, body: &str) -> Result<()> {
    let old = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
    };
    std::fs::write(path, document::with_section(&old, name, body))
        .with_context(|| format!("could not write {}", path.display()))
}
