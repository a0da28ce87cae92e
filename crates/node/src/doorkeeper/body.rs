//! A request's body, as far as it is kept in memory: whole before anybody looks at it.
//!
//! *Invariant:* a large body is kept only while the port's budget holds all that was announced of it; the budget is given
//! back when the request is answered.

use super::FREE_BYTES;
use super::visit::{Stage, Visit};
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::SemaphorePermit;

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("the body is larger than the {max_bytes} bytes accepted here")]
    TooLong { max_bytes: usize },
    #[error("the body broke off after {bytes} bytes: {why}")]
    BrokeOff { bytes: usize, why: String },
    #[error("other large requests are coming in; try again in a moment")]
    NoBudget,
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
) -> Result<Vec<u8>, NotTaken> {
    let too_long = || NotTaken::TooLong { max_bytes };
    let hint = body.size_hint();
    let announced = usize::try_from(hint.lower()).map_err(|_| too_long())?;
    if announced > max_bytes {
        return Err(too_long());
    }
    // Who does not say how long it is may be as long as all.
    let most = hint.exact().map_or(max_bytes, |_| announced);
    let (mut kept, mut chunks) = (Vec::with_capacity(announced.min(FREE_BYTES)), body.into_data_stream());
    let mut mark = FREE_BYTES;
    while let Some(chunk) = chunks.next().await {
        let broke_off = |error| NotTaken::BrokeOff { bytes: kept.len(), why: ironcache_types::chain(&error) };
        let chunk = chunk.map_err(broke_off)?;
        let len = kept.len() + chunk.len();
        if len > max_bytes {
            return Err(too_long());
        }
        if len > FREE_BYTES && granted.is_none() {
            *granted = Some(grant(visit, most).await.ok_or(NotTaken::NoBudget)?);
            visit.is_large();
        }
        kept.extend_from_slice(&chunk);
        if len >= mark {
            mark = len + FREE_BYTES;
            visit.goes_on();
        }
    }
    Ok(kept)
}

/// For a route that takes its body as it comes, and bounds it itself.
pub(crate) async fn streams(request: Request, next: Next) -> Response {
    if let Some(visit) = request.extensions().get::<Visit>() {
        visit.to(Stage::Answering);
    }
    next.run(request).await
}

/// Takes of the budget for large bodies. While there is nothing left of it, whoever is slowest makes room.
async fn grant(visit: &Visit, bytes: usize) -> Option<SemaphorePermit<'_>> {
    let door = visit.door();
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(door.limits.large_kib);
    if let Ok(granted) = door.large.try_acquire_many(kib) {
        return Some(granted);
    }
    door.free_large();
    // Less than the visit itself has, so that it is told.
    tokio::time::timeout(door.limits.patience.stranger / 2, door.large.acquire_many(kib)).await.ok()?.ok()
}
