//! One connection in the door: how far it is, and until when it may be there.

use super::{Doorkeeper, Patience, Standing};
use axum::body::{Body, HttpBody};
use axum::http::Request;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What the node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The first head, or a hello.
    Stranger,
    /// Nothing: it has said something, and the node has not looked at it yet.
    Handed,
    /// The body. `is_large`: it has taken of the budget.
    Receiving { is_large: bool },
    /// Nothing: it is the node's turn.
    Answering,
    /// That the answer is taken. `is_large`: it has taken of the budget.
    Sending { is_large: bool },
    /// The next request.
    Idle,
}

impl Stage {
    /// How long it may stay so without progress; the node itself may take its time.
    fn lasts_at_most(self, patience: Patience) -> Option<Duration> {
        match self {
            Stage::Stranger | Stage::Receiving { .. } => Some(patience.stranger),
            Stage::Handed | Stage::Answering => None,
            Stage::Sending { .. } => Some(patience.stuck),
            Stage::Idle => Some(patience.idle),
        }
    }

    /// Who has asked a whole question goes last, for as long as it takes the answer no slower than a stranger may ask.
    pub(super) fn is_served(self, without_progress: Duration, patience: Patience) -> bool {
        match self {
            Stage::Handed | Stage::Answering => true,
            Stage::Sending { .. } => without_progress < patience.stranger,
            Stage::Stranger | Stage::Receiving { .. } | Stage::Idle => false,
        }
    }
}

/// Why a connection is closed that would have stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Another one came, and it was the next to go.
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
            Turned::MadeRoom => f.write_str("another one came, and it had let this node wait longest"),
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
        self.door.looked.notify_one();
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
        self.0.door.book().to(self.0.id, stage, Instant::now());
    }

    /// Its first byte is here.
    pub(crate) fn speaks(&self) {
        self.0.door.book().speaks(self.0.id);
    }

    /// Its hello of TLS is here.
    pub(crate) fn greeted(&self) {
        self.0.door.book().greeted(self.0.id, Instant::now());
    }

    pub(super) fn handed(&self) {
        self.0.door.book().handed(self.0.id);
    }

    pub(super) fn looked_at(&self) {
        self.0.door.book().looked_at(self.0.id);
        self.0.door.looked.notify_one();
    }

    pub(super) fn stands(&self, standing: Standing) {
        self.0.door.book().stands(self.0.id, standing, Instant::now());
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
}
