//! How a command ends: the exit codes that scripts depend on, and the failures behind them.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | failed |
//! | 2 | usage, configuration included |
//! | 3 | refused by a guardrail: the reason on stderr, and with `--json` as `{"refused": …}` on stdout |
//! | 4 | timed out, or unreachable |
//! | 20, 21, 22 | `server` and `server-daemon`: see [`ironcache_spine::DaemonExit`] |

use ironcache_node::api::Refused;
use ironcache_spine::DaemonExit;
use std::process::ExitCode;

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0:#}")]
    Failed(anyhow::Error),
    #[error("{0}")]
    Usage(String),
    #[error("refused ({}): {}", .0.code, .0.detail)]
    Refused(Refused),
    /// Nobody answered, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// A node that ended with a code of its own.
    #[error("{1:#}")]
    Ended(DaemonExit, anyhow::Error),
    /// All has been said already; what is left is the code.
    #[error("failed")]
    Reported(u8),
}

impl Failure {
    pub fn failed(text: impl Into<String>) -> Self {
        Failure::Failed(anyhow::Error::msg(text.into()))
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Refused(_) => 3,
            Failure::Unreachable(_) => 4,
            Failure::Ended(exit, _) => exit.code(),
            Failure::Reported(code) => *code,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Failed(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Failed(error.into())
    }
}

/// Says what went wrong, and gives the code. A refusal goes to stdout too, if the caller reads JSON.
pub(crate) fn report(failure: &Failure, format: Format) -> ExitCode {
    if !matches!(failure, Failure::Reported(_)) {
        eprintln!("ironcache: {failure}");
    }
    if let (Failure::Refused(refused), Format::Json) = (failure, format) {
        // Nothing is left to say if stdout is gone; the exit code still tells.
        let _ = crate::output::json(&serde_json::json!({ "refused": refused }));
    }
    ExitCode::from(failure.code())
}

/// Who reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

impl Format {
    /// From a `--json` flag.
    pub fn of(json: bool) -> Self {
        if json { Format::Json } else { Format::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_code() {
        let refused = Refused { code: "no_quorum".to_owned(), detail: "add a witness".to_owned() };
        let failures = [
            (Failure::failed("x"), 1),
            (Failure::Usage("x".to_owned()), 2),
            (Failure::Refused(refused), 3),
            (Failure::Unreachable("x".to_owned()), 4),
            (Failure::Ended(DaemonExit::AboveLevel, anyhow::Error::msg("x")), 20),
        ];
        for (failure, code) in failures {
            assert_eq!(failure.code(), code, "{failure}");
        }
    }

    #[test]
    fn a_failure_names_its_causes() {
        let error = anyhow::Error::msg("no space").context("could not write the file");
        assert_eq!(Failure::from(error).to_string(), "could not write the file: no space");
    }
}
