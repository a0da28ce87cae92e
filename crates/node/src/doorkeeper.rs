//! Who may stand in the door: connections of the peer and the HTTP port, until they have said what they want, and between
//! two requests.
//!
//! ```text
//!            5 s           5 s for each 64 KiB                          60 s without progress
//!  enter ─► Stranger ─head─► Receiving ─whole request─► Answering ─► Sending ─┬─► Idle ─head─► Receiving, …
//!              └─ 101 ─► Stranger ─hello─► a link of a member: out of the book│    └ 90 s
//!                                                                             └ (an upgrade: as on the left)
//! ```
//! The rule: **who has not finished a request may cost little, for a short time, and makes room for the next.** At most
//! [`Limits::visits_max`] connections stand in a door. When one more comes, whoever has let the node wait longest goes: a
//! peer or an operator asks at once, a stranger that is silent or slow is always older, also one that takes its answer slowly. So nobody is locked out, whatever
//! number of strangers there is, and their descriptors are within those that clients never get (`descriptors`).
//!
//! *Invariant:* what is buffered before a request is whole is at most [`FREE_BYTES`] of head, as much of body, and what
//! the port's budget for large bodies allows, for all connections together.
//! *Invariant:* nothing is said to whom the door closes on: it has not asked anything.

mod body;
mod visit;

pub(crate) use body::{NotTaken, Taken, receive, streams};
pub(crate) use visit::{Visit, turned};

use crate::doors::{self, Doors};
use crate::http::Refusals;
use axum::Router;
use hyper_util::rt::TokioIo;
use ironcache_host::net::TcpStream;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::ServiceExt;
use visit::{Entry, Stage};

/// What is kept of a head, and of a body without asking for more. A head that is larger is an attack; of bodies almost all
/// are smaller. Larger costs as much for each connection.
pub(crate) const FREE_BYTES: usize = 64 << 10;
/// How long a connection may let the node wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the head of the first request, for a hello, and for each [`FREE_BYTES`] of a body.
    pub stranger: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For whoever does not take its answer.
    pub stuck: Duration,
}

const PATIENCE: Patience = Patience {
    // A packet that is lost twice comes within 3 s; more is a longer turn for whoever only holds a place.
    stranger: Duration::from_secs(5),
    // Nodes and the command line close after 30 s themselves: with less than that a request crosses the end.
    idle: Duration::from_secs(90),
    // A link that takes nothing for so long is none.
    stuck: Duration::from_secs(60),
};

/// How much a port has for those who have not said what they want.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// More, and they need descriptors that are reserved for nobody; fewer, and the idle connections of a large cluster's
    /// nodes push each other out.
    pub visits_max: usize,
    /// For what is above [`FREE_BYTES`] of the bodies that are not answered, in KiB. At least the largest body that the
    /// port takes, or that one never comes in.
    pub large_kib: u32,
    pub patience: Patience,
}

/// Sixteen nodes with half a dozen each. A large body is a snapshot of the log's state: some hundred KiB for a hundred
/// nodes; one that has the largest size of all comes in alone.
pub(crate) const PEER: Limits = Limits { visits_max: 96, large_kib: 16 << 10, patience: PATIENCE };
/// Operators, probes, and the nodes that pass requests on. A layout of 10,000 nodes is a quarter of the largest body.
pub(crate) const HTTP: Limits = Limits { visits_max: 64, large_kib: 8 << 10, patience: PATIENCE };

/// In the extensions of a request: the other end of its connection, if the kernel still knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub Option<SocketAddr>);

/// One port's.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    limits: Limits,
    book: Mutex<Book>,
    large: Semaphore,
    /// Connections that came to nothing.
    refused: Arc<Refusals>,
}

/// Who is in.
#[derive(Debug, Default)]
struct Book {
    next: u64,
    entries: BTreeMap<u64, Entry>,
    /// Since the start: those that others had to make room for, and those whose time was up.
    turned_away: u64,
}

impl Doorkeeper {
    pub(crate) fn new(limits: Limits, refused: Arc<Refusals>) -> Arc<Self> {
        let large = Semaphore::new(limits.large_kib as usize);
        Arc::new(Self { limits, book: Mutex::default(), large, refused })
    }

    /// Lets a connection in; if there is no place, whoever has let the node wait longest makes one.
    pub(crate) fn enter(self: &Arc<Self>) -> Visit {
        let now = Instant::now();
        let (id, told) = {
            let mut book = self.book();
            while book.entries.len() >= self.limits.visits_max {
                let longest =
                    book.entries.iter().min_by_key(|(_, entry)| entry.rank(now, self.limits.patience));
                let Some(longest) = longest.map(|(id, _)| *id) else { break };
                book.turn_away(longest);
            }
            let id = book.next;
            book.next += 1;
            let entry = Entry::new(now);
            let told = Arc::clone(&entry.told);
            book.entries.insert(id, entry);
            (id, told)
        };
        Visit::new(Arc::clone(self), id, told)
    }

    /// Serves the requests of one connection: until it ends, its time is up, or its key is revoked. What it has until its
    /// first head is asked for covers the proof of its key.
    pub(crate) async fn serve(self: &Arc<Self>, stream: TcpStream, router: Router, doors: Arc<Doors>) {
        let (visit, remote) = (self.enter(), Remote(stream.peer_addr().ok()));
        let opened = tokio::select! {
            biased;
            opened = doors::open(stream, &doors) => opened,
            why = visit.turned() => return self.refuse(remote, why.code(), &why),
        };
        let (stream, caller) = match opened {
            Ok(opened) => opened,
            Err(error) => match error.code() {
                Some(code) => return self.refuse(remote, code, &error),
                None => return tracing::debug!(%error, "a connection came to nothing"),
            },
        };
        let mut revocation = doors.revocation(caller.key());
        let of_requests = visit.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (visit, router, caller) = (of_requests.clone(), router.clone(), caller.clone());
            async move {
                let mut request = request.map(axum::body::Body::new);
                visit.asked(&request);
                request.extensions_mut().insert(visit.clone());
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(remote);
                let answer = router.oneshot(request).await;
                answer.map(|answer| visit.sends(answer))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .max_buf_size(FREE_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::select! {
            biased;
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended badly");
            },
            why = visit.turned() => tracing::debug!(%why, "a connection was closed"),
            () = revocation.revoked() => tracing::info!("a connection was closed: the log no longer names its key"),
        }
    }

    /// Counts a connection on which nothing was asked.
    fn refuse(&self, Remote(from): Remote, code: &'static str, why: &dyn std::fmt::Display) {
        if self.refused.count(code, Instant::now()) {
            let from = from.map(|from| from.to_string()).unwrap_or_default();
            tracing::warn!(from, code, %why, "a connection was refused");
        }
    }

    /// How many were turned away since the start.
    #[cfg(test)]
    fn turned_away(&self) -> u64 {
        self.book().turned_away
    }

    /// A std mutex: held to look and to change, never across an await.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has whoever has been sending a large body for longest, and for longer than a good one takes, make room.
    fn free_large(&self) {
        let now = Instant::now();
        let mut book = self.book();
        let large = book.entries.iter().filter(|(_, entry)| {
            matches!(entry.stage, Stage::Receiving { is_large: true })
                && now - entry.since >= self.limits.patience.stranger
        });
        if let Some(id) = large.min_by_key(|(_, entry)| entry.since).map(|(id, _)| *id) {
            book.turn_away(id);
        }
    }
}

impl Book {
    fn turn_away(&mut self, id: u64) {
        if let Some(entry) = self.entries.remove(&id) {
            self.turned_away += 1;
            entry.told.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
