//! Browsers are strangers: a page may make the browser of whoever reads it send requests to a cluster that only that
//! person's machine reaches. What a browser sends gives it away, and is refused before anything else is looked at.
//!
//! ```text
//!   Origin of another page ───────┐
//!   Sec-Fetch-Site: cross-site ───┼──► refused ── else ──► router
//!   Host that is no name of ours ─┘
//! ```
//! The third is for a page whose own name was made to resolve to a node (DNS rebinding): for the browser it is the same
//! site then, and the name alone tells. An address as host is none that a resolver could have been made to lie about.
//!
//! Whoever proves a key is known by it, whatever the node is called by; but a browser may hold a key as well, and then a page
//! is refused as one.
//!
//! *Invariant:* on the peer and HTTP ports no handler, and no body, comes before this.
//! *Invariant:* nothing that a node sends is refused: it sends nothing that a browser sends, and calls a node by the host
//! that it announces. So does the command line, but for the node that a person names: a name that no node announces, a short
//! one or a balancer's, is refused (421) unless `allowed-hosts` has it.

use crate::app::App;
use crate::doors::Who;
use crate::http::{RefusedAs, shown};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ironcache_api::{ApiError, Refused};
use std::net::IpAddr;
use std::sync::Arc;

/// By what a request gave itself away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    #[error("a page of {origin} asked for this, and no page may")]
    Page { origin: String },
    #[error("a browser sent this for a page of another site (Sec-Fetch-Site: {site})")]
    Site { site: String },
    #[error(
        "this node is not known as {host:?}; it answers to addresses, to localhost, to the hosts that its cluster \
         announces, and to those of `allowed-hosts`"
    )]
    Host { host: String },
    #[error("a request has one host, and this one has several")]
    Hosts,
}

impl Stranger {
    /// 403 is kept for a page: between nodes it says that the asker was removed, and no node sends what a page does.
    fn status(&self) -> StatusCode {
        match self {
            Stranger::Page { .. } | Stranger::Site { .. } => StatusCode::FORBIDDEN,
            Stranger::Host { .. } => StatusCode::MISDIRECTED_REQUEST,
            Stranger::Hosts => StatusCode::BAD_REQUEST,
        }
    }

    /// Stable, for programs.
    fn code(&self) -> &'static str {
        match self {
            Stranger::Page { .. } => "foreign_origin",
            Stranger::Site { .. } => "cross_site",
            Stranger::Host { .. } => "foreign_host",
            Stranger::Hosts => "many_hosts",
        }
    }
}

impl IntoResponse for Stranger {
    fn into_response(self) -> Response {
        let refused = Refused { code: self.code().to_owned(), detail: self.to_string() };
        let code = RefusedAs(refused.code.clone());
        let body = Json(ApiError { error: self.to_string(), refused: Some(refused) });
        (self.status(), Extension(code), body).into_response()
    }
}

/// Lets through what no browser was made to send. Of a port only what says who calls (`doors`), and what counts refusals, comes before.
pub(crate) async fn refuse(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // Who has proved a key has found the node that was meant by that node's key.
    let is_known = matches!(request.extensions().get::<Who>(), Some(Who::Member(_) | Who::Operator { .. }));
    match check(request.uri(), request.headers(), |host| is_known || is_ours(&app, host)) {
        Ok(()) => next.run(request).await,
        Err(stranger) => {
            tracing::debug!(%stranger, path = request.uri().path(), "a stranger's request is refused");
            stranger.into_response()
        }
    }
}

/// A host that this node, or a node of its cluster, is called by.
fn is_ours(app: &App, host: &str) -> bool {
    let config = &app.config;
    if host.eq_ignore_ascii_case(&config.announce_host)
        || config.allowed_hosts.split_ascii_whitespace().any(|allowed| host.eq_ignore_ascii_case(allowed))
    {
        return true;
    }
    let view = app.raft.applied().borrow().clone();
    view.state.nodes.values().any(|node| {
        [&node.client_addr, &node.peer_addr, &node.http_addr]
            .into_iter()
            .any(|addr| host.eq_ignore_ascii_case(host_of(addr)))
    })
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn check(uri: &Uri, headers: &HeaderMap, is_ours: impl Fn(&str) -> bool) -> Result<(), Stranger> {
    let text = |name: &HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    if let Some(site) = text(&SEC_FETCH_SITE)
        && !matches!(&*site, "same-origin" | "none")
    {
        return Err(Stranger::Site { site: shown(&site) });
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Stranger::Hosts);
    }
    let named = text(&header::HOST);
    // A request line may name the host as well, and then counts. No browser leaves both out; an old health check may.
    for authority in
        [uri.authority().map(hyper::http::uri::Authority::as_str), named.as_deref()].into_iter().flatten()
    {
        let host = host_of(authority);
        if !is_literal(host) && !is_ours(host) {
            return Err(Stranger::Host { host: shown(host) });
        }
    }
    match text(&header::ORIGIN) {
        Some(origin) if !is_origin_of(&origin, named.as_deref()) => {
            Err(Stranger::Page { origin: shown(&origin) })
        }
        Some(_) | None => Ok(()),
    }
}

/// Did the page come from the very host and port that it asks now?
fn is_origin_of(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| host.is_some_and(|host| authority.eq_ignore_ascii_case(host)))
}

/// An address, or the name that no resolver is asked for.
fn is_literal(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

/// Without its port, and without the dot that ends a name in full.
fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        // A bare IPv6 address has colons and no port.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !is_bare_v6(authority) => {
            host
        }
        Some(_) | None => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

fn is_bare_v6(authority: &str) -> bool {
    authority.parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Result<(), Stranger> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        check(&Uri::from_static("/v1/upgrade/plan"), &map, |host| host == "node-1.example")
    }

    #[test]
    fn nodes_people_and_probes_are_let_through() {
        for host in [
            "127.0.0.1:26379",
            "[::1]:26379",
            "::1",
            "10.0.0.7",
            "localhost:1",
            "LocalHost.",
            "node-1.example:26379",
            "node-1.example.",
        ] {
            assert_eq!(asked(&[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(asked(&[]), Ok(()), "HTTP/1.0 names no host");
        let own = [("host", "127.0.0.1:26379"), ("origin", "http://127.0.0.1:26379")];
        assert_eq!(asked(&own), Ok(()));
        assert_eq!(asked(&[("host", "127.0.0.1"), ("sec-fetch-site", "none")]), Ok(()), "typed by a person");
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        for origin in [
            "http://evil.example",
            "null",
            "",
            // Another port of the same machine is another page.
            "http://127.0.0.1:3000",
            "http://127.0.0.1:26379@evil.example",
            "ws://127.0.0.1:26379",
        ] {
            let refused = asked(&[("host", "127.0.0.1:26379"), ("origin", origin)]);
            assert_eq!(refused, Err(Stranger::Page { origin: origin.to_owned() }));
        }
    }

    #[test]
    fn what_a_browser_calls_another_site_is_refused_without_an_origin_too() {
        for site in ["cross-site", "same-site", "Cross-Site", ""] {
            let refused = asked(&[("host", "127.0.0.1:26379"), ("sec-fetch-site", site)]);
            assert_eq!(refused, Err(Stranger::Site { site: site.to_owned() }));
        }
    }

    #[test]
    fn a_name_that_was_made_to_resolve_to_a_node_is_refused() {
        for host in
            ["evil.example:26379", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "a:b"]
        {
            let refused = asked(&[("host", host), ("sec-fetch-site", "same-origin")]);
            assert!(matches!(refused, Err(Stranger::Host { .. })), "{host}: {refused:?}");
        }
        let twice = [("host", "127.0.0.1"), ("host", "evil.example")];
        assert_eq!(asked(&twice), Err(Stranger::Hosts));
        let mut map = HeaderMap::new();
        map.insert(header::HOST, "127.0.0.1".parse().unwrap());
        let absolute = Uri::from_static("http://evil.example/v1/upgrade/plan");
        assert!(matches!(check(&absolute, &map, |_| false), Err(Stranger::Host { .. })));
    }

    #[test]
    fn fuzz_whatever_a_browser_says_only_our_hosts_and_our_pages_are_let_through() {
        let said = [
            "127.0.0.1:26379\n\n",
            "node-1.example.\nhttp://node-1.example.\nsame-origin",
            "[::1]:26379\nhttps://[::1]:26379\nnone",
            "evil.example\nhttp://evil.example\ncross-site",
            "::1\nnull\n",
        ];
        let words = [":", ".", "[", "]", "@", "localhost", "http://", "https://", "127.0.0.1", "%", "/"];
        ironcache_fuzz::Campaign::of("what browsers say").from(said).words(words).run(|bytes| {
            let mut lines = bytes.split(|byte| *byte == b'\n');
            let mut map = HeaderMap::new();
            for name in [header::HOST, header::ORIGIN, SEC_FETCH_SITE] {
                let value = lines.next().filter(|line| !line.is_empty());
                if let Some(value) = value.and_then(|line| axum::http::HeaderValue::from_bytes(line).ok()) {
                    map.insert(name, value);
                }
            }
            let uri = lines.next().and_then(|line| Uri::try_from(line).ok()).unwrap_or_default();
            let judged = check(&uri, &map, |host| host == "node-1.example");
            if judged.is_ok() {
                let host = map.get(header::HOST).map(|host| host.to_str().expect("of ours each is text"));
                if let Some(host) = host {
                    let name = host_of(host);
                    assert!(is_literal(name) || name == "node-1.example", "{host}");
                }
                if let Some(origin) = map.get(header::ORIGIN) {
                    let of_page =
                        origin.to_str().expect("ours is text").split_once("://").map(|(_, host)| host);
                    assert!(
                        of_page.is_some_and(|page| host.is_some_and(|host| page.eq_ignore_ascii_case(host)))
                    );
                }
                let site = map.get(SEC_FETCH_SITE);
                assert!(site.is_none_or(|site| site == "same-origin" || site == "none"));
            }
            judged.map_err(|stranger| stranger.code())
        });
    }
}
