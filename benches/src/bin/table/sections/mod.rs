//! What is measured, in the document's order.

mod commands;
mod commit;
mod full_sync;
mod memory;
mod micro;
mod roll;
mod throughput;
mod tls;

use crate::Bench;
use crate::row::Section;
use anyhow::Result;
use std::fmt;

/// A section's name, on the command line and in the document's marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    Throughput,
    Commands,
    Roll,
    Tls,
    FullSync,
    Memory,
    Micro,
    Commit,
}

impl Name {
    /// In the order of the document: what an operator feels first.
    pub(crate) const ALL: [Name; 8] = [
        Name::Throughput,
        Name::Commands,
        Name::Roll,
        Name::Tls,
        Name::FullSync,
        Name::Micro,
        Name::Commit,
        Name::Memory,
    ];

    pub(crate) fn measure(self, bench: &Bench) -> Result<Section> {
        match self {
            Name::Throughput => throughput::measure(bench),
            Name::Commands => commands::measure(bench),
            Name::Roll => roll::measure(bench),
            Name::Tls => tls::measure(bench),
            Name::FullSync => full_sync::measure(bench),
            Name::Memory => memory::measure(bench),
            Name::Micro => micro::measure(bench),
            Name::Commit => commit::measure(bench),
        }
    }

    /// The command that measures this section alone.
    pub(crate) fn command(self) -> String {
        format!("table --only {self}")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Name::Throughput => "throughput",
            Name::Commands => "commands",
            Name::Roll => "roll",
            Name::Tls => "tls",
            Name::FullSync => "full-sync",
            Name::Memory => "memory",
            Name::Micro => "micro",
            Name::Commit => "commit",
        })
    }
}
