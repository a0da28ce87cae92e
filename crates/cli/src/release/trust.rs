//! Whether a binary is the one that was meant: its digest is given, or shown before it counts.
//!
//! | digest given | `--yes` | somebody to ask | a download |
//! | --- | --- | --- | --- |
//! | yes | any | any | is taken if that is its digest |
//! | no | yes | any | is taken |
//! | no | no | yes | is taken if the answer is yes |
//! | no | no | no | is refused, and the refusal says how it is given |
//!
//! A file on this machine is its owner's word: it is taken, unless a digest is given that is not its own.

use crate::exit::Failure;
use ironcache_types::{Digest, ParseDigestError};
use std::io::{IsTerminal, Write};

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TrustArgs {
    /// What the binary's sha256 has to be, as whoever released it tells: sha256:HEX, or HEX
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    digest: Option<Digest>,
    /// Take what the URL gives without asking, whatever its digest
    #[arg(long)]
    yes: bool,
}

impl TrustArgs {
    /// Nothing was said about any binary.
    pub(crate) fn is_silent(&self) -> bool {
        let TrustArgs { digest, yes } = self;
        digest.is_none() && !yes
    }
}

pub(crate) fn parse_digest(text: &str) -> Result<Digest, ParseDigestError> {
    text.strip_prefix("sha256:").unwrap_or(text).parse()
}

/// A file of this machine, named `what`.
pub(crate) fn of_file(found: &Digest, trust: &TrustArgs, what: &str) -> Result<(), Failure> {
    match trust.digest {
        Some(expected) => compare(found, &expected, what),
        None => Ok(()),
    }
}

/// A download; `what` says which, and what it says of itself.
pub(crate) fn of_download(found: &Digest, trust: &TrustArgs, what: &str) -> Result<(), Failure> {
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    judge(found, trust, what, somebody.then_some(ask))
}

fn judge(
    found: &Digest,
    trust: &TrustArgs,
    what: &str,
    ask: Option<impl FnOnce(&str) -> std::io::Result<bool>>,
) -> Result<(), Failure> {
    match (&trust.digest, trust.yes, ask) {
        (Some(expected), ..) => compare(found, expected, what),
        (None, true, _) => Ok(()),
        (None, false, Some(ask)) => {
            if ask(&format!("{what}, sha256:{found}. Is that the release that you mean? [y/N] "))? {
                Ok(())
            } else {
                Err(Failure::failed("not staged"))
            }
        }
        (None, false, None) => Err(Failure::Usage(format!(
            "{what}, sha256:{found}. Nobody is here to confirm it: compare the digest with what its releaser tells, and \
             give --digest sha256:{found}, or --yes to take it as it is"
        ))),
    }
}

fn compare(found: &Digest, expected: &Digest, what: &str) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{what}, and its digest is sha256:{found}, not sha256:{expected}: not staged"
    )))
}

fn ask(question: &str) -> std::io::Result<bool> {
    eprint!("{question}");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: Digest = Digest([7; 32]);
    const OTHER: Digest = Digest([8; 32]);
    const WHAT: &str = "https://example.net/a is ironcache 0.2.0, 9 bytes";

    type Asked = fn(&str) -> std::io::Result<bool>;

    fn given(digest: Option<Digest>, yes: bool) -> TrustArgs {
        TrustArgs { digest, yes }
    }

    fn no_question(question: &str) -> std::io::Result<bool> {
        panic!("nothing is left to ask: {question}")
    }

    #[test]
    fn a_digest_that_is_given_decides_whatever_else_is_said() {
        for yes in [false, true] {
            let fits = judge(&FOUND, &given(Some(FOUND), yes), WHAT, Some(no_question as Asked));
            assert!(fits.is_ok());
            let error = judge(&FOUND, &given(Some(OTHER), yes), WHAT, None::<Asked>).unwrap_err();
            assert_eq!(error.code(), 1);
            assert!(error.to_string().contains(&FOUND.to_string()), "{error}");
            assert!(error.to_string().contains(&OTHER.to_string()), "{error}");
        }
    }

    #[test]
    fn without_a_digest_somebody_is_asked_and_shown_it() {
        let yes = |question: &str| {
            assert!(question.contains(&FOUND.to_string()), "{question}");
            Ok(true)
        };
        assert!(judge(&FOUND, &given(None, false), WHAT, Some(yes)).is_ok());
        let no = |_: &str| Ok(false);
        assert_eq!(judge(&FOUND, &given(None, false), WHAT, Some(no)).unwrap_err().code(), 1);
    }

    #[test]
    fn without_anybody_to_ask_it_is_refused_with_the_digest_and_the_way_to_give_it() {
        let error = judge(&FOUND, &given(None, false), WHAT, None::<Asked>).unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(error.to_string().contains(&format!("--digest sha256:{FOUND}")), "{error}");
        assert!(judge(&FOUND, &given(None, true), WHAT, None::<Asked>).is_ok());
    }

    #[test]
    fn a_file_is_taken_unless_another_digest_is_given() {
        assert!(of_file(&FOUND, &given(None, false), "./a").is_ok());
        assert!(of_file(&FOUND, &given(Some(FOUND), false), "./a").is_ok());
        assert_eq!(of_file(&FOUND, &given(Some(OTHER), true), "./a").unwrap_err().code(), 1);
    }

    #[test]
    fn a_digest_is_read_with_and_without_its_name() {
        let hex = FOUND.to_string();
        assert_eq!(parse_digest(&hex), Ok(FOUND));
        assert_eq!(parse_digest(&format!("sha256:{hex}")), Ok(FOUND));
        assert!(parse_digest(&format!("sha512:{hex}")).is_err());
    }
}
