//! Which addresses a binary may come from, and where a redirect may lead.
//!
//! *Invariant:* pure. *Invariant:* plain HTTP goes to this very machine and nowhere else; nothing leads from https to it.
//! *Invariant:* what is shown leaves out the query: a signed URL is a key for as long as it holds.

use std::fmt;
use url::{Host, Url};

/// An https URL, or an http one of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebUrl(Url);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("{text:?} is no URL: {problem}")]
    NotAUrl { text: String, problem: String },
    #[error("{scheme}:// is not spoken: a binary comes from a file or an https URL")]
    Scheme { scheme: String },
    #[error("http://{host} is refused, since anybody on the way may alter what it gives: use https")]
    PlainHttp { host: String },
    #[error(
        "a URL with a user or a password in it is refused: fetch the binary by other means, and stage the file"
    )]
    Credentials,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedirectError {
    #[error("{from} leads from https to http://{host}, which is refused: anybody on the way may alter it")]
    Downgrade { from: String, host: String },
    #[error("{from} leads to what no binary is taken from")]
    To { from: String, source: UrlError },
    #[error("{from} answers with a redirect that names no place")]
    Nowhere { from: String },
    #[error("{first} was still leading on after {limit} redirects")]
    TooMany { first: String, limit: u32 },
}

impl WebUrl {
    /// # Errors
    /// Why no binary is taken from there.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let not_a_url = |problem: url::ParseError| UrlError::NotAUrl {
            text: text.to_owned(),
            problem: problem.to_string(),
        };
        Self::check(Url::parse(text).map_err(not_a_url)?)
    }

    fn check(mut url: Url) -> Result<Self, UrlError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        url.set_fragment(None);
        match url.scheme() {
            "https" => Ok(WebUrl(url)),
            "http" if is_this_machine(&url) => Ok(WebUrl(url)),
            "http" => Err(UrlError::PlainHttp { host: url.host_str().unwrap_or_default().to_owned() }),
            other => Err(UrlError::Scheme { scheme: other.to_owned() }),
        }
    }

    /// Where `location`, the answer of this place, leads.
    ///
    /// # Errors
    /// It may not lead there.
    pub(super) fn follow(&self, location: &str) -> Result<WebUrl, RedirectError> {
        let to = |source| RedirectError::To { from: self.to_string(), source };
        let next = self.0.join(location).map_err(|problem| {
            to(UrlError::NotAUrl { text: location.to_owned(), problem: problem.to_string() })
        })?;
        if self.is_tls() && next.scheme() == "http" {
            let host = next.host_str().unwrap_or_default().to_owned();
            return Err(RedirectError::Downgrade { from: self.to_string(), host });
        }
        WebUrl::check(next).map_err(to)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// A name, or an address without brackets.
    pub(super) fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Domain(name)) => name.to_owned(),
            None => unreachable!("a URL of http or https has a host"),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().expect("http and https have ports by default")
    }

    /// Path and query: what the request line carries.
    pub(super) fn path_and_query(&self) -> &str {
        &self.0[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// Host and port: what the header `host` carries.
    pub(super) fn authority(&self) -> &str {
        &self.0[url::Position::BeforeHost..url::Position::AfterPort]
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // What the name stands for is looked at again when it is connected to.
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[..url::Position::AfterPath])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> WebUrl {
        WebUrl::parse(text).unwrap()
    }

    #[test]
    fn https_is_taken_and_http_of_this_machine_only() {
        for good in [
            "https://example.net/a",
            "https://10.0.0.1:8443/a",
            "http://127.0.0.1:8000/a",
            "http://127.9.9.9/",
            "http://[::1]:8000/a",
            "http://LOCALHOST/a",
        ] {
            assert!(WebUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://example.net/a",
            "http://10.0.0.1/a",
            "http://localhost.example.net/a",
            "http://127.0.0.1.example.net/",
            "http://[::2]/",
        ] {
            assert!(matches!(WebUrl::parse(bad), Err(UrlError::PlainHttp { .. })), "{bad}");
        }
        for other in ["file:///etc/passwd", "ftp://127.0.0.1/a"] {
            assert!(matches!(WebUrl::parse(other), Err(UrlError::Scheme { .. })), "{other}");
        }
        assert_eq!(WebUrl::parse("https://me:secret@example.net/"), Err(UrlError::Credentials));
        assert!(matches!(WebUrl::parse("https://"), Err(UrlError::NotAUrl { .. })));
    }

    #[test]
    fn a_redirect_leads_on_and_never_from_https_to_http() {
        let from = url("https://example.net/releases/a?x=1");
        assert_eq!(from.follow("../b"), Ok(url("https://example.net/b")));
        assert_eq!(from.follow("//cdn.example.net/b?sig=1"), Ok(url("https://cdn.example.net/b?sig=1")));
        for http in ["http://example.net/b", "http://127.0.0.1/b", "http://localhost/b"] {
            assert!(matches!(from.follow(http), Err(RedirectError::Downgrade { .. })), "{http}");
        }
        assert!(matches!(from.follow("file:///b"), Err(RedirectError::To { .. })));
        assert!(matches!(from.follow("https://a:b@example.net/"), Err(RedirectError::To { .. })));
        let local = url("http://127.0.0.1:8000/a");
        assert_eq!(local.follow("https://example.net/b"), Ok(url("https://example.net/b")));
        assert!(matches!(local.follow("http://example.net/b"), Err(RedirectError::To { .. })));
    }

    #[test]
    fn the_request_carries_the_query_and_nothing_that_is_shown_does() {
        let signed = url("https://example.net:8443/a%20b?key=secret#part");
        assert_eq!(signed.path_and_query(), "/a%20b?key=secret");
        assert_eq!(
            (signed.authority(), signed.host().as_str(), signed.port()),
            ("example.net:8443", "example.net", 8443)
        );
        assert_eq!(signed.to_string(), "https://example.net:8443/a%20b");
        let local = url("http://[::1]/");
        assert_eq!((local.authority(), local.host().as_str(), local.port()), ("[::1]", "::1", 80));
    }

    #[test]
    fn fuzz_no_url_leads_in_the_clear_to_another_machine() {
        let urls = [
            "https://example.net:8443/a/b?c=d#e\nhttp://127.0.0.1:8000/x",
            "http://[::1]:8000/a\n//example.net/b",
            "http://localhost/a\nhttps://example.net/b?x",
            "HTTPS://user:pw@example.net/\n../c",
        ];
        let words =
            ["//", "/", "\\", "@", ":", "?", "#", "..", "http:", "https:", "[::1]", "127.1", "%2f", "\n"];
        ironcache_fuzz::Campaign::of("URLs").from(urls).words(words).keeps(2 << 20).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (first, location) = text.split_once('\n').unwrap_or((&text, ""));
            let url = WebUrl::parse(first).map_err(|error| std::mem::discriminant(&error))?;
            let checked = |url: &WebUrl| {
                assert!(url.is_tls() || is_this_machine(&url.0), "{}", url.0);
                assert!(url.0.username().is_empty() && url.0.password().is_none());
                assert!(
                    !url.path_and_query().is_empty() && !url.authority().is_empty() && !url.host().is_empty()
                );
                assert!(!url.to_string().contains('?'), "a query is shown");
                // What is sent on lines of their own has no line end.
                assert!(!(url.path_and_query().to_owned() + url.authority()).contains(['\r', '\n', ' ']));
                url.port();
            };
            checked(&url);
            let next = url.follow(location).map_err(|error| std::mem::discriminant(&error));
            if let Ok(next) = &next {
                checked(next);
                assert!(next.is_tls() || !url.is_tls(), "from https to http");
            }
            Ok::<_, std::mem::Discriminant<UrlError>>(next.map(|next| next.is_tls()))
        });
    }
}
