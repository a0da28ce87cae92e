//! How a command ends: the exit codes that scripts depend on, and the failures behind them.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | failed |
//! | 2 | usage, configuration included |
//! | 3 | refused by a guardrail: the reason on stderr, and with `--json` as `{"refused": …}` on stdout |
//! | 4 | timed out, or unreachable |
//! | 20, 21, 22 | `server` and `server-daemon`: above or below this release's levels, or no launcher protocol in common |

use crate::release::DownloadError;
use ironcache_api::Refused;
use ironcache_client::{AccessError, ClientError, SeedError};
use std::io::Write;
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
    /// A daemon ended badly; its launcher goes by the code.
    #[error("{error:#}")]
    Ended { code: u8, error: anyhow::Error },
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
            Failure::Ended { code, .. } | Failure::Reported(code) => *code,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Failed(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refused) => Failure::Refused(refused),
            ClientError::Seed(SeedError::NotAnAddress { .. }) | ClientError::NoCredentials { .. } => {
                Failure::Usage(error.to_string())
            }
            ClientError::Seed(SeedError::Unreachable { .. })
            | ClientError::Unreachable { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Unavailable { .. } => Failure::Unreachable(error.to_string()),
            ClientError::NoWay { ref each } => match each.iter().any(is_away) {
                true => Failure::Unreachable(error.to_string()),
                false => Failure::Failed(error.into()),
            },
            ClientError::Seed(SeedError::PasswordNeeded { .. } | SeedError::NotANode { .. })
            | ClientError::OtherKey { .. }
            | ClientError::OtherCluster { .. }
            | ClientError::Answered { .. }
            | ClientError::Unreadable { .. }
            | ClientError::File { .. } => Failure::Failed(error.into()),
        }
    }
}

/// May somebody be there later?
fn is_away(error: &ClientError) -> bool {
    error.may_pass() || matches!(error, ClientError::Seed(SeedError::Unreachable { .. }))
}

impl From<AccessError> for Failure {
    /// A file that is not there, or not a person's own, is a matter of configuration.
    fn from(error: AccessError) -> Self {
        Failure::Usage(ironcache_types::chain(&error))
    }
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        if error.is_unreachable() {
            return Failure::Unreachable(ironcache_types::chain(&error));
        }
        Failure::Failed(error.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Failed(error.into())
    }
}

/// Says what went wrong, and gives the code. A refusal goes to stdout too, if the caller reads JSON.
pub fn report(failure: &Failure, format: Format) -> ExitCode {
    if !matches!(failure, Failure::Reported(_)) {
        // A node's stderr may be a file on a full disk: the exit code tells all the same.
        let _ = writeln!(std::io::stderr(), "ironcache: {failure}");
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
            (Failure::Ended { code: 20, error: anyhow::Error::msg("x") }, 20),
        ];
        for (failure, code) in failures {
            assert_eq!(failure.code(), code, "{failure}");
        }
    }

    #[test]
    fn what_the_client_meets_has_the_exit_codes_of_the_contract() {
        let addr = || "127.0.0.1:1".to_owned();
        let seed = |seed: &str| seed.to_owned();
        let refused = Refused { code: "no_plan".to_owned(), detail: "nothing to pause".to_owned() };
        let file = ClientError::File { path: "binary".into(), source: std::io::ErrorKind::NotFound.into() };
        let errors = [
            (file, 1),
            (ClientError::OtherKey { addr: addr(), expected: "a node of ours".to_owned() }, 1),
            (SeedError::NotANode { seed: seed("a:1"), answer: "+OK".to_owned() }.into(), 1),
            (SeedError::NotAnAddress { seed: seed("a") }.into(), 2),
            (ClientError::NoCredentials { looked: None }, 2),
            (ClientError::Refused(refused), 3),
            (ClientError::Unavailable { addr: addr(), error: "no leader".to_owned() }, 4),
            (SeedError::Unreachable { seed: seed("a:1"), why: "refused".to_owned() }.into(), 4),
            (
                ClientError::NoWay {
                    each: vec![
                        SeedError::Unreachable { seed: seed("a:1"), why: "refused".to_owned() }.into(),
                        ClientError::OtherKey { addr: addr(), expected: "a node of ours".to_owned() },
                    ],
                },
                4,
            ),
        ];
        for (error, code) in errors {
            assert_eq!(Failure::from(error).code(), code);
        }
    }

    #[test]
    fn a_failure_names_its_causes() {
        let error = anyhow::Error::msg("no space").context("could not write the file");
        assert_eq!(Failure::from(error).to_string(), "could not write the file: no space");
    }
}
