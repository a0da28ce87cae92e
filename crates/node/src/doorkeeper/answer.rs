//! An answer on its way out, as far as it is kept in memory: until whoever asked has taken it.
//!
//! The rule: **who takes its answer slowly keeps of it what the port's budget has room for.** An answer of more than
//! [`FREE_BYTES`] takes its size of the budget for answers; while there is none left, whoever has been taking one for
//! longest makes room, one answer waits for that, and the next ones are refused by name.
//!
//! *Invariant:* of whole answers no more is kept than the budget, one that waits, and [`FREE_BYTES`] for each place in the door.
//! An answer that is larger than the budget goes out alone.
//! *Invariant:* it counts as taken by pieces: the library below has one or two of them, and asks for the next when the kernel
//! has taken those.
//! Answers that are read from a file as they go out have no size here, and keep a piece each.

use super::visit::{Stage, Visit};
use super::{FREE_BYTES, NotTaken};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;

/// Handed down at a time. Larger, and as much is kept beyond the budget for each connection; smaller, and an answer takes
/// more writes.
const PIECE_BYTES: usize = 16 << 10;
/// As for bodies: who makes room may have as much as is asked for, or less.
const ROOM_TRIES: u32 = 4;

/// The answer goes out; then the next request is waited for, or what an upgrade begins with.
pub(super) async fn send(visit: &Visit, answer: Response<Body>) -> Response<Body> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        visit.to(Stage::Stranger);
        visit.greeted();
        return answer;
    }
    let bytes =
        answer.body().size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let door = visit.door();
    let (answer, granted) = if bytes <= FREE_BYTES {
        (answer, None)
    } else {
        match grant(visit, bytes).await {
            Some(granted) => (answer, Some(granted)),
            None => {
                drop(answer);
                ((door.refuse)(&NotTaken::NoRoomToAnswer { bytes }), None)
            }
        }
    };
    visit.to(Stage::Sending { is_large: granted.is_some() });
    let visit = visit.clone();
    answer.map(|body| Body::new(Leaving { body, piece: Bytes::new(), visit, _granted: granted }))
}

/// Takes of the budget for answers. While there is nothing left of it, whoever is slowest makes room.
async fn grant(visit: &Visit, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let door = visit.door();
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(door.limits.large_kib);
    if let Ok(granted) = Arc::clone(&door.answers).try_acquire_many_owned(kib) {
        return Some(granted);
    }
    // It is in memory while it waits: one at a time.
    let _waits = door.waits.try_acquire().ok()?;
    let mut room = pin!(Arc::clone(&door.answers).acquire_many_owned(kib));
    for _ in 0..ROOM_TRIES {
        door.free(Stage::Sending { is_large: true });
        let wait = door.limits.patience.stranger / 2 / ROOM_TRIES;
        if let Ok(granted) = tokio::time::timeout(wait, &mut room).await {
            return granted.ok();
        }
    }
    None
}

/// An answer's body, on its way out.
struct Leaving {
    body: Body,
    /// What is left of the part that the body gave last.
    piece: Bytes,
    visit: Visit,
    _granted: Option<OwnedSemaphorePermit>,
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
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.piece.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            if polled.is_ready() {
                self.visit.goes_on();
            }
            match polled {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.piece = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return other,
            }
        } else {
            self.visit.goes_on();
        }
        let end = self.piece.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.piece.split_to(end)))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (left, rest) = (self.piece.len() as u64, self.body.size_hint());
        match rest.exact() {
            Some(exact) => SizeHint::with_exact(left + exact),
            None => {
                let mut hint = SizeHint::new();
                hint.set_lower(left + rest.lower());
                hint
            }
        }
    }
}
