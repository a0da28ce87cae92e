//! Preflight: a binary says, as a process that starts nothing, what would keep it from running on this node.
//!
//! ```text
//!   daemon ── exec of its stdin, the verified file ──> server-preflight --launcher-protocol 1-1 <the node's own arguments>
//!          <── {"problems":[{"code":"configuration","key":"port","detail":"…"}]} ── exit 0, or 3 with problems
//! ```
//! The new binary is asked before the first step of a plan, and the old one before each step back: each knows its own
//! configuration keys, ranges and formats, and nobody else does.
//!
//! *Invariant:* the process changes nothing on the disk; it inherits no listener, no lock and no link.
//! *Invariant:* the daemon is not forked for it: the kernel would copy the page tables of a whole dataset, and clients would
//! wait for each page of it that is written to next.
//! *Invariant:* bounded in time and output, and ended by its id: a release that hangs holds nobody up.

#[cfg(not(turmoil))]
mod ask;

#[cfg(not(turmoil))]
pub use ask::preflight;

use ironcache_types::WireRange;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// The first argument of a preflight.
pub const PREFLIGHT_VERB: &str = "server-preflight";
/// Precedes the range that the running launcher speaks.
pub const LAUNCHER_PROTOCOL_FLAG: &str = "--launcher-protocol";
/// The exit code of a preflight that found problems.
pub const PROBLEMS_FOUND: u8 = 3;

/// Long for a process that reads three small files; a machine under load may take seconds to start one.
pub const PREFLIGHT_TIMEOUT: Duration = Duration::from_secs(10);
/// A report has some hundred bytes; without a limit a broken release fills this node's memory.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// What a binary prints about itself on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreflightReport {
    pub problems: Vec<Problem>,
}

/// One thing that would keep a binary from running here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// One of [`ProblemCode`]'s, or a word of another release: shown, never branched on.
    pub code: String,
    /// The configuration key, the flag or the file that the problem is with.
    #[serde(default)]
    pub key: Option<String>,
    /// For people.
    pub detail: String,
}

/// What this release's preflight looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemCode {
    /// A key, variable or flag that this release does not know, or a value that it does not take.
    Configuration,
    LauncherProtocol,
    /// The data directory is at a level above what this release admits.
    AboveLevel,
    BelowLevel,
    /// The file `level` cannot be read.
    LevelFile,
    /// A file in the data directory has a format that this release does not read, or is damaged.
    DataDir,
    /// The stamp claims ranges that the code does not have.
    Claims,
    /// The preflight itself gave no answer.
    PreflightFailed,
}

impl ProblemCode {
    pub fn word(self) -> &'static str {
        match self {
            ProblemCode::Configuration => "configuration",
            ProblemCode::LauncherProtocol => "launcher_protocol",
            ProblemCode::AboveLevel => "above_level",
            ProblemCode::BelowLevel => "below_level",
            ProblemCode::LevelFile => "level_file",
            ProblemCode::DataDir => "data_dir",
            ProblemCode::Claims => "claims",
            ProblemCode::PreflightFailed => "preflight_failed",
        }
    }
}

impl Problem {
    pub fn new(code: ProblemCode, key: Option<String>, detail: impl Into<String>) -> Self {
        Problem { code: code.word().to_owned(), key, detail: detail.into() }
    }
}

/// What a binary is asked about.
#[derive(Clone, Debug)]
pub struct PreflightOf<'a> {
    /// What the running launcher speaks.
    pub launcher_protocol: WireRange,
    /// What the daemon was given after its verb.
    pub args: &'a [OsString],
    /// Added to this process's own environment, which is the daemon's.
    pub env: &'a [(OsString, OsString)],
    pub timeout: Duration,
}

/// Why a binary gave no report.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    #[error("the binary could not be started for its preflight")]
    Start(#[source] io::Error),
    #[error("its preflight could not be watched")]
    Watch(#[source] io::Error),
    #[error("its preflight gave no answer within {timeout_ms} ms")]
    TimedOut { timeout_ms: u64 },
    #[error("its preflight printed more than {OUTPUT_BYTES_MAX} bytes")]
    TooMuch,
    #[error("its preflight gave no report ({status}): {said}")]
    NoReport { status: ExitStatus, said: String },
}

impl From<&PreflightError> for Problem {
    /// A release that cannot answer is not one to start.
    fn from(error: &PreflightError) -> Self {
        Problem::new(ProblemCode::PreflightFailed, None, ironcache_types::chain(error))
    }
}

/// A simulated release is no program: what it says of itself was read when its bytes were verified, and it would start.
///
/// # Errors
/// None.
#[cfg(turmoil)]
pub fn preflight(
    _binary: &crate::slot_store::VerifiedBinary,
    _asked: &PreflightOf<'_>,
) -> Result<Vec<Problem>, PreflightError> {
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_reports_are_written_as_they_were_read() {
        let problem =
            Problem::new(ProblemCode::Configuration, Some("port".to_owned()), "no port is above 65535");
        let reports = [PreflightReport::default(), PreflightReport { problems: vec![problem] }];
        let texts = reports.map(|report| serde_json::to_vec(&report).unwrap());
        let words = ["{", "}", "[", "]", "\"", "null", "\"later\":[1],"];
        ironcache_fuzz::Campaign::of("reports of a preflight").from(texts).words(words).run(|bytes| {
            let report: PreflightReport =
                serde_json::from_slice(bytes).map_err(|error| ironcache_fuzz::first_words(&error))?;
            let again: PreflightReport =
                serde_json::from_slice(&serde_json::to_vec(&report).unwrap()).unwrap();
            assert_eq!(again, report);
            Ok::<_, String>(report.problems.len().min(3))
        });
    }
}
