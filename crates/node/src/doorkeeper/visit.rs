//! One connection in the door: how far it is, and until when it may be there.

use super::{Doorkeeper, Patience};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, StatusCode};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What the node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The first head, or a hello.
    Stranger,
    /// The body. `is_large`: it has taken of the budget.
    Receiving { is_large: bool },
    /// Nothing: it is the node's turn.
    Answering,
    /// That the answer is taken.
    Sending,
    /// The next request.
    Idle,
}

impl Stage {
    /// How long it may stay so without progress; the node itself may take its time.
    fn lasts_at_most(self, patience: Patience) -> Option<Duration> {
        match self {
            Stage::Stranger | Stage::Receiving { .. } => Some(patience.stranger),
            Stage::Answering => None,
            Stage::Sending => Some(patience.stuck),
            Stage::Idle => Some(patience.idle),
        }
    }

    /// Who has asked a whole question goes last, for as long as it takes the answer no slower than a stranger may ask.
    fn is_served(self, without_progress: Duration, patience: Patience) -> bool {
        match self {
            Stage::Answering => true,
            Stage::Sending => without_progress < patience.stranger,
            Stage::Stranger | Stage::Receiving { .. } | Stage::Idle => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub stage: Stage,
    /// When it came to this stage.
    pub since: Instant,
    pub progress: Instant,
    /// That it has to go.
    pub told: Arc<Notify>,
}

impl Entry {
    pub(super) fn new(now: Instant) -> Self {
        Entry { stage: Stage::Stranger, since: now, progress: now, told: Arc::default() }
    }

    /// The lowest makes room first.
    pub(super) fn rank(&self, now: Instant, patience: Patience) -> (bool, Instant) {
        (self.stage.is_served(now - self.progress, patience), self.since)
    }
}

/// Why a connection is closed that would have stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Others came, and it had let the node wait longest.
    MadeRoom,
    /// It let the node wait for too long.
    Late { ms: u64 },
}

impl Turned {
    /// For counters.
    pub(super) fn code(self) -> &'static str {
        match self {
            Turned::MadeRoom => "made_room",
            Turned::Late { ms: _ } => "too_slow",
        }
    }
}

impl fmt::Display for Turned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Turned::MadeRoom => f.write_str("others came, and it had let this node wait longest"),
            Turned::Late { ms } => write!(f, "it let this node wait for {ms} ms"),
        }
    }
}

/// Returns when a connection has to go; never for one that stands in no door.
pub(crate) async fn turned(visit: Option<&Visit>) -> Turned {
    match visit {
        Some(visit) => visit.turned().await,
        None => std::future::pending().await,
    }
}

/// A place in the door, for as long as one of its clones lives.
#[derive(Clone, Debug)]
pub(crate) struct Visit(Arc<Place>);

#[derive(Debug)]
struct Place {
    door: Arc<Doorkeeper>,
    id: u64,
    told: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.book().entries.remove(&self.id);
    }
}

impl Visit {
    pub(super) fn new(door: Arc<Doorkeeper>, id: u64, told: Arc<Notify>) -> Self {
        Visit(Arc::new(Place { door, id, told }))
    }

    pub(super) fn door(&self) -> &Doorkeeper {
        &self.0.door
    }

    /// Returns when the connection has to go.
    pub(crate) async fn turned(&self) -> Turned {
        let patience = self.0.door.limits.patience;
        loop {
            let now = Instant::now();
            // The next stage may be shorter than this one: looked at again within the shortest.
            let mut look = now + patience.stranger;
            {
                let mut book = self.0.door.book();
                let Some(entry) = book.entries.get(&self.0.id) else { return Turned::MadeRoom };
                if let Some(most) = entry.stage.lasts_at_most(patience) {
                    if entry.progress + most <= now {
                        book.turn_away(self.0.id);
                        return Turned::Late { ms: u64::try_from(most.as_millis()).unwrap_or(u64::MAX) };
                    }
                    look = look.min(entry.progress + most);
                }
            }
            tokio::select! {
                biased;
                () = self.0.told.notified() => {}
                () = tokio::time::sleep_until(look) => {}
            }
        }
    }

    pub(super) fn to(&self, stage: Stage) {
        let now = Instant::now();
        if let Some(entry) = self.0.door.book().entries.get_mut(&self.0.id) {
            (entry.stage, entry.since, entry.progress) = (stage, now, now);
        }
    }

    pub(super) fn goes_on(&self) {
        if let Some(entry) = self.0.door.book().entries.get_mut(&self.0.id) {
            entry.progress = Instant::now();
        }
    }

    /// Its body takes of the budget for large ones. It is as old as before.
    pub(super) fn is_large(&self) {
        if let Some(entry) = self.0.door.book().entries.get_mut(&self.0.id) {
            entry.stage = Stage::Receiving { is_large: true };
        }
    }

    /// The head of a request has come; without a body, that is all of it.
    pub(super) fn asked(&self, request: &Request<Body>) {
        self.to(if request.body().is_end_stream() {
            Stage::Answering
        } else {
            Stage::Receiving { is_large: false }
        });
    }

    /// The whole request has come.
    pub(super) fn answering(&self) {
        self.to(Stage::Answering);
    }

    /// The answer goes out; then the next request is waited for, or what an upgrade begins with.
    pub(super) fn sends(&self, answer: Response<Body>) -> Response<Body> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.to(Stage::Stranger);
            return answer;
        }
        self.to(Stage::Sending);
        answer.map(|body| Body::new(Leaving { body, visit: self.clone() }))
    }
}

/// An answer's body, on its way out.
struct Leaving {
    body: Body,
    visit: Visit,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.visit.to(Stage::Idle);
    }
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.visit.goes_on();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
