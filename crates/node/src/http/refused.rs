//! Refused attempts at the HTTP and at the peer port: counted, and logged here. The log of the cluster does not have them: a
//! stranger could fill it.
//!
//! *Invariant:* every order that is refused is counted once on each node that refuses it, whoever refuses it: a guardrail, the
//! log, a door, or the reading of the request; and so is every connection on which no key was proved, or nothing was said.
//! *Invariant:* neither counters nor lines grow with what strangers send: there are so many codes, and so many lines a second.

use super::asked::{address, known_as};
use crate::app::App;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// In the extensions of an answer: the code of the refusal.
#[derive(Clone, Debug)]
pub(crate) struct RefusedAs(pub String);

/// Codes are words of this source, fewer than this; what the words of other releases add beyond it counts as [`OTHER`].
const CODES_MAX: usize = 256;
const OTHER: &str = "other";

/// Lines a second: somebody who mistypes sees each, and somebody who floods fills no disk. What is left out is counted.
const LINES_A_SECOND: u32 = 20;

/// What this process has refused.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_code: BTreeMap<String, u64>,
    second: Option<Instant>,
    lines: u32,
}

impl Refusals {
    /// By their codes, since the process started.
    pub(crate) fn by_code(&self) -> BTreeMap<String, u64> {
        self.lock().by_code.clone()
    }

    /// Counts one; true if a line may be spent on it.
    pub(crate) fn count(&self, code: &str, now: Instant) -> bool {
        let mut inner = self.lock();
        let is_known = inner.by_code.len() < CODES_MAX || inner.by_code.contains_key(code);
        *inner.by_code.entry(if is_known { code } else { OTHER }.to_owned()).or_default() += 1;
        if inner.second.is_none_or(|second| now - second >= Duration::from_secs(1)) {
            (inner.second, inner.lines) = (Some(now), 0);
        }
        inner.lines += 1;
        inner.lines <= LINES_A_SECOND
    }

    /// A std mutex: held to look and to change, never across an await.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at what became of a request to the HTTP port. To be the outermost layer, but for who says whose it is.
pub(super) async fn note(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    noted(&app.refused, is_refusal, request, next).await
}

/// The peer port's: peers are told no by each other all the time, and only who may not ask at all is refused.
pub(crate) async fn note_peers(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    noted(&app.refused_peers, |_, status| is_shut(status), request, next).await
}

async fn noted(
    refusals: &Refusals,
    is_refusal: impl Fn(&Method, StatusCode) -> bool,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let (by, from) = (known_as(&parts), address(&parts));
    let answer = next.run(Request::from_parts(parts, body)).await;
    if is_refusal(&method, answer.status()) {
        let code = match answer.extensions().get::<RefusedAs>() {
            Some(RefusedAs(code)) => code.clone(),
            None => format!("http_{}", answer.status().as_u16()),
        };
        if refusals.count(&code, Instant::now()) {
            let from = from.unwrap_or_default();
            tracing::warn!(by, from, %method, path, code, "an attempt was refused");
        }
    }
    answer
}

/// An order that was not carried out, or whoever may not even ask. A question with a typing error in it is none.
fn is_refusal(method: &Method, status: StatusCode) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    is_shut(status) || (!reads && status.is_client_error())
}

fn is_shut(status: StatusCode) -> bool {
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::MISDIRECTED_REQUEST].contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_that_fail_and_strangers_are_refusals_and_slips_of_readers_are_none() {
        for status in [400, 401, 403, 404, 409, 413, 421] {
            assert!(is_refusal(&Method::POST, StatusCode::from_u16(status).unwrap()), "{status}");
        }
        for (status, refused) in
            [(401, true), (403, true), (421, true), (404, false), (409, false), (503, false)]
        {
            assert_eq!(is_refusal(&Method::GET, StatusCode::from_u16(status).unwrap()), refused, "{status}");
        }
        for status in [200, 500, 503] {
            assert!(!is_refusal(&Method::POST, StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }

    #[test]
    fn lines_are_rationed_by_the_second_and_counts_are_not() {
        let refusals = Refusals::default();
        let begun = Instant::now();
        let told = (0..1000).filter(|_| refusals.count("no_plan", begun)).count();
        assert_eq!(told, LINES_A_SECOND as usize);
        assert!(refusals.count("no_plan", begun + Duration::from_secs(1)), "another second");
        assert_eq!(refusals.by_code()["no_plan"], 1001);
    }

    #[test]
    fn codes_without_end_are_counted_together() {
        let refusals = Refusals::default();
        for code in 0..CODES_MAX + 7 {
            refusals.count(&format!("code-{code}"), Instant::now());
        }
        assert_eq!(refusals.by_code().len(), CODES_MAX + 1);
        assert_eq!(refusals.by_code()[OTHER], 7);
    }
}
