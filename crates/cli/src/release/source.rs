//! Where a binary comes from: a file, or the web.

use super::download::{UrlError, WebUrl};
use std::path::PathBuf;
use std::str::FromStr;

/// `FILE|URL`, as the command line takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    Url(WebUrl),
}

impl FromStr for Source {
    type Err = UrlError;

    /// What begins like a URL is one: a file of such a name is written `./https://…`.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let is_scheme = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
        if scheme.is_some_and(is_scheme) {
            Ok(Source::Url(WebUrl::parse(text)?))
        } else {
            Ok(Source::File(PathBuf::from(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_url_is_one() {
        for text in ["https://example.net/ironcache", "HTTPS://example.net/", "http://127.0.0.1:8000/a"] {
            assert!(matches!(text.parse(), Ok(Source::Url(_))), "{text}");
        }
        for text in ["ironcache", "./https://a", "a/b://c", "/tmp/x", "://x"] {
            assert_eq!(text.parse(), Ok(Source::File(PathBuf::from(text))));
        }
        assert_eq!(
            "ftp://example.net/a".parse::<Source>(),
            Err(UrlError::Scheme { scheme: "ftp".to_owned() })
        );
    }
}
