//! A request's body, as far as it is kept in memory: whole before anybody looks at it.
//!
//! *Invariant:* of a large body no more is kept than it has taken of the port's budget, in steps of [`FREE_BYTES`] as it
//! comes: whoever announces much and sends little holds little. The budget is given back when the request is answered.
//! *Invariant:* a body is large only if it said how long it is.

use super::FREE_BYTES;
use super::kept::Kept;
use super::visit::{Stage, Visit};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use std::pin::pin;
use tokio::sync::SemaphorePermit;

/// Why a body is not taken, or an answer not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("the body is larger than the {max_bytes} bytes accepted here")]
    TooLong { max_bytes: usize },
    #[error("the body broke off after {bytes} bytes: {why}")]
    BrokeOff { bytes: usize, why: String },
    #[error("a body of more than {FREE_BYTES} bytes has to say how long it is (Content-Length)")]
    NoLength,
    #[error("other large requests are coming in; try again in a moment")]
    NoBudget,
    #[error("the system has no memory for a body of {bytes} bytes: {why}")]
    NoMemory { bytes: usize, why: String },
    #[error(
        "others have not taken their large answers yet, and this one has {bytes} bytes; try again in a moment"
    )]
    NoRoomToAnswer { bytes: usize },
}

/// What the routes of a port take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub max_bytes: usize,
    /// How the port says no.
    pub refuse: fn(&NotTaken) -> Response,
}

/// A layer that takes bodies in, before the route is asked.
pub(crate) async fn receive(State(taken): State<Taken>, request: Request, next: Next) -> Response {
    // A connection has a visit. Without one nobody is in a door.
    let Some(visit) = request.extensions().get::<Visit>().cloned() else { return next.run(request).await };
    let (head, body) = request.into_parts();
    let mut granted = None;
    let body = match whole(&visit, body, taken.max_bytes, &mut granted).await {
        Ok(body) => body,
        Err(not_taken) => {
            tracing::debug!(path = head.uri.path(), why = %not_taken, "a request was not taken");
            return (taken.refuse)(&not_taken);
        }
    };
    visit.answering();
    next.run(Request::from_parts(head, Body::from(body))).await
}

/// The whole of `body`. What it takes of the budget is in `granted`.
async fn whole<'a>(
    visit: &'a Visit,
    body: Body,
    max_bytes: usize,
    granted: &mut Option<SemaphorePermit<'a>>,
) -> Result<Bytes, NotTaken> {
    let too_long = || NotTaken::TooLong { max_bytes };
    let hint = body.size_hint();
    let announced = usize::try_from(hint.lower()).map_err(|_| too_long())?;
    if announced > max_bytes {
        return Err(too_long());
    }
    let is_announced = hint.exact().is_some();
    let (mut kept, mut chunks) = (Kept::new(announced), body.into_data_stream());
    let mut mark = FREE_BYTES;
    loop {
        // Before it comes, the next piece has its place.
        let due = due_kib(kept.len(), announced)
            .saturating_sub(granted.as_ref().map_or(0, SemaphorePermit::num_permits));
        if due > 0 {
            let more = grant(visit, due).await.ok_or(NotTaken::NoBudget)?;
            match granted {
                Some(granted) => granted.merge(more),
                None => {
                    *granted = Some(more);
                    visit.is_large();
                    kept.grow(announced)
                        .map_err(|why| NotTaken::NoMemory { bytes: announced, why: why.to_string() })?;
                }
            }
        }
        let Some(chunk) = chunks.next().await else { return Ok(kept.into_bytes()) };
        let broke_off = |error| NotTaken::BrokeOff { bytes: kept.len(), why: ironcache_types::chain(&error) };
        let chunk = chunk.map_err(broke_off)?;
        let len = kept.len() + chunk.len();
        if len > max_bytes {
            return Err(too_long());
        }
        if len > FREE_BYTES && !is_announced {
            return Err(NotTaken::NoLength);
        }
        kept.push(&chunk);
        if len >= mark {
            mark = len + FREE_BYTES;
            visit.goes_on();
        }
    }
}

/// What a body of `announced` bytes, of which `kept` have come, has to have of the budget before more of it comes: a piece
/// is [`FREE_BYTES`] at most, and the first one is free.
fn due_kib(kept: usize, announced: usize) -> usize {
    kept.next_multiple_of(FREE_BYTES).min(announced.saturating_sub(FREE_BYTES)).div_ceil(1024)
}

/// For a route that takes its body as it comes, and bounds it itself.
pub(crate) async fn streams(request: Request, next: Next) -> Response {
    if let Some(visit) = request.extensions().get::<Visit>() {
        visit.to(Stage::Answering);
    }
    next.run(request).await
}

/// So often somebody makes room for one step. One who does may have as much as is asked for, or less.
const ROOM_TRIES: u32 = 4;

/// Takes of the budget for large bodies. While there is nothing left of it, whoever is slowest makes room.
async fn grant(visit: &Visit, kib: usize) -> Option<SemaphorePermit<'_>> {
    let door = visit.door();
    let kib = u32::try_from(kib).ok()?;
    if let Ok(granted) = door.large.try_acquire_many(kib) {
        return Some(granted);
    }
    let mut room = pin!(door.large.acquire_many(kib));
    for _ in 0..ROOM_TRIES {
        door.free(Stage::Receiving { is_large: true });
        // Together less than the visit itself has, so that it is told.
        let wait = door.limits.patience.stranger / 2 / ROOM_TRIES;
        if let Ok(granted) = tokio::time::timeout(wait, &mut room).await {
            return granted.ok();
        }
    }
    None
}
