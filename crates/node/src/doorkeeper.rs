//! Who may stand in the door: connections of the peer and the HTTP port, until they have said what they want, and between
//! two requests.
//!
//! ```text
//!            5 s           5 s for each 32 KiB                          60 s without progress
//!  enter ─► Stranger ─head─► Receiving ─whole request─► Answering ─► Sending ─┬─► Idle ─head─► Receiving, …
//!              └─ 101 ─► Stranger ─hello─► a link of a member: out of the book│    └ 90 s
//!                                                                             └ (an upgrade: as on the left)
//! ```
//! The rule: **who has not finished a request may cost little, for a short time, and makes room for the next.** At most
//! [`Limits::visits_max`] connections stand in a door. When one more comes, a stranger makes room (`book` says which): one
//! that is silent, or of a crowd from one address, or has let the node wait longest. Nobody is locked out, whatever number of
//! strangers there is, who is known is not ended by them, and their descriptors are within those that clients never get
//! (`descriptors`). What they make the node compute before they are known is done on another thread (`entrance`).
//!
//! *Invariant:* what is buffered before a request is whole is at most [`FREE_BYTES`] of head, as much of body, and what
//! the port's budget for large bodies allows, for all connections together; and of answers as much (`answer`).
//! *Invariant:* nothing is said to whom the door closes on: it has not asked anything.

mod answer;
mod body;
mod book;
mod entrance;
mod kept;
mod visit;

pub(crate) use body::{NotTaken, Taken, receive, streams};
pub(crate) use book::Standing;
pub(crate) use entrance::Options;
pub(crate) use visit::{Visit, turned};

use crate::doors::Doors;
use crate::http::Refusals;
use axum::Router;
use axum::response::Response;
use book::Book;
use entrance::Arrived;
use hyper_util::rt::TokioIo;
use ironcache_host::net::Bound;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;
use tower::ServiceExt;
use visit::{Stage, Turned};

/// What is kept of a head, and of a body without asking for more. A head that is larger is an attack; of bodies almost all
/// are smaller. Larger costs as much for each connection, and twice as much for what is read from its socket.
pub(crate) const FREE_BYTES: usize = 32 << 10;
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
    /// For what is above [`FREE_BYTES`] of the bodies that are not answered, in KiB, and as much again for answers that are
    /// larger than that and not taken. At least the largest body that the port takes, or that one never comes in.
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

/// How a port says no.
pub(crate) type Refuse = fn(&NotTaken) -> Response;

/// One port's.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    limits: Limits,
    book: Mutex<Book>,
    large: Semaphore,
    answers: Arc<Semaphore>,
    /// Of the one answer that may wait for room.
    waits: Semaphore,
    /// That one more was looked at of those that were handed on.
    looked: Notify,
    refuse: Refuse,
    /// Connections that came to nothing.
    refused: Arc<Refusals>,
}

/// A port that somebody comes to.
#[derive(Debug)]
pub(crate) struct Port {
    door: Arc<Doorkeeper>,
    doors: Arc<Doors>,
    arrived: mpsc::UnboundedReceiver<Arrived>,
}

impl Port {
    /// Lets in whoever comes to `bound`, until this is dropped.
    ///
    /// # Errors
    /// The thread of the entrance cannot be made.
    pub(crate) fn open(bound: Bound, options: &Options) -> io::Result<Port> {
        let door = Doorkeeper::new(options.limits, options.refuse, Arc::clone(&options.refused));
        let arrived = entrance::open(bound, &door, options)?;
        Ok(Port { door, doors: Arc::clone(&options.doors), arrived })
    }

    /// Answers them here, for ever.
    pub(crate) async fn serve(mut self, router: Router) {
        while let Some(arrived) = self.arrived.recv().await {
            let (door, doors, router) = (Arc::clone(&self.door), Arc::clone(&self.doors), router.clone());
            tokio::spawn(async move { door.serve(arrived, router, doors).await });
        }
    }
}

impl Doorkeeper {
    fn new(limits: Limits, refuse: Refuse, refused: Arc<Refusals>) -> Arc<Self> {
        let budget = || Semaphore::new(limits.large_kib as usize);
        let (large, answers, waits) = (budget(), Arc::new(budget()), Semaphore::new(1));
        Arc::new(Self {
            limits,
            book: Mutex::default(),
            large,
            answers,
            waits,
            looked: Notify::new(),
            refuse,
            refused,
        })
    }

    /// Serves the requests of one connection: until it ends, its time is up, or its key is revoked.
    async fn serve(self: &Arc<Self>, arrived: Arrived, router: Router, doors: Arc<Doors>) {
        let Arrived { opened, visit, remote } = arrived;
        let (stream, caller) = match opened.enter(&doors).await {
            Ok(opened) => opened,
            Err(error) => {
                visit.looked_at();
                return tracing::debug!(%error, "a connection came to nothing");
            }
        };
        let mut revocation = doors.revocation(caller.key());
        let (of_requests, known_by) = (visit.clone(), Arc::clone(&doors));
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (visit, router, caller) = (of_requests.clone(), router.clone(), caller.clone());
            let known_by = Arc::clone(&known_by);
            async move {
                let mut request = request.map(axum::body::Body::new);
                let standing = caller.standing(&known_by);
                if let Some(standing) = standing {
                    visit.stands(standing);
                }
                visit.asked(&request);
                request.extensions_mut().insert(visit.clone());
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(remote);
                let answer = router.oneshot(request).await?;
                if standing.is_none() && answer.status().is_success() {
                    visit.stands(Standing::Known);
                }
                Ok::<_, std::convert::Infallible>(answer::send(&visit, answer).await)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .max_buf_size(FREE_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        // Its request may have come with it. Until that is looked at it is the node's turn.
        if let Poll::Ready(ended) = futures_util::poll!(&mut connection) {
            visit.looked_at();
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended badly");
            }
            return;
        }
        visit.looked_at();
        tokio::select! {
            biased;
            ended = &mut connection => if let Err(error) = ended {
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

    /// Has whoever has been in `stage` for longest, and for longer than a good one takes, make room: one that sends a large
    /// body, or takes a large answer.
    fn free(&self, stage: Stage) {
        let now = Instant::now();
        let mut book = self.book();
        let large = book
            .entries
            .iter()
            .filter(|(_, entry)| entry.stage == stage && now - entry.since >= self.limits.patience.stranger);
        if let Some(id) = large.min_by_key(|(_, entry)| entry.since).map(|(id, _)| *id) {
            book.turn_away(id);
        }
    }
}

#[cfg(test)]
mod tests;
