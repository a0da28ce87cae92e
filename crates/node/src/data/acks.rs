//! Replies that wait until replicas have applied what they tell of.
//!
//! *Invariant:* a waiter is woken once: when its offset is acknowledged, or when the primary that
//! executed the command lost its role, in which case the reply is never sent.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What became of a reply that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Acknowledged,
    /// The role was lost first: nothing may be said about the command.
    Lost,
}

#[derive(Default)]
pub(crate) struct AckWaiters {
    waiting: BTreeMap<(u64, u64), Rc<Cell<State>>>,
    next: u64,
}

#[derive(Default)]
struct State {
    verdict: Option<Verdict>,
    waker: Option<Waker>,
}

impl AckWaiters {
    /// Waits for everything below `offset`.
    pub(crate) fn wait(&mut self, offset: u64) -> Ticket {
        let state = Rc::new(Cell::new(State::default()));
        self.waiting.insert((offset, self.next), Rc::clone(&state));
        self.next += 1;
        Ticket(state)
    }

    pub(crate) fn acknowledged(&mut self, offset: u64) {
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > offset {
                break;
            }
            settle(&entry.remove(), Verdict::Acknowledged);
        }
    }

    /// The lowest offset that somebody waits for.
    pub(crate) fn first(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|((offset, _), _)| *offset)
    }

    pub(crate) fn lost(&mut self) {
        for state in std::mem::take(&mut self.waiting).into_values() {
            settle(&state, Verdict::Lost);
        }
    }
}

fn settle(state: &Rc<Cell<State>>, verdict: Verdict) {
    let State { verdict: _, waker } = state.take();
    state.set(State { verdict: Some(verdict), waker: None });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A future: the verdict on one waiting reply.
pub(crate) struct Ticket(Rc<Cell<State>>);

impl std::future::Future for Ticket {
    type Output = Verdict;

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Verdict> {
        let State { verdict, waker: _ } = self.0.take();
        let waker = verdict.is_none().then(|| cx.waker().clone());
        self.0.set(State { verdict, waker });
        verdict.map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::Context;

    fn poll(ticket: &mut Ticket) -> Poll<Verdict> {
        std::pin::Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_reply_waits_for_its_own_offset() {
        let mut waiters = AckWaiters::default();
        let (mut late, mut early) = (waiters.wait(20), waiters.wait(10));
        waiters.acknowledged(10);
        assert_eq!(poll(&mut early), Poll::Ready(Verdict::Acknowledged));
        assert_eq!(poll(&mut late), Poll::Pending);
        waiters.lost();
        assert_eq!(poll(&mut late), Poll::Ready(Verdict::Lost));
        assert_eq!(waiters.first(), None);
    }
}
