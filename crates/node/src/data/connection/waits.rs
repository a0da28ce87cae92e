//! What a connection does between a command and its answer: who serves it is decided, replicas take more, clients are paused, a
//! key becomes ready, a script has its turns, the log takes an order.
//!
//! *Invariant:* whoever waits notices that its client has gone, and sends what was answered before.

use super::super::blocked::{self, Served, Word};
use super::super::client::Ordering;
use super::super::dispatch::{self, Waiting};
use super::super::orders;
use super::super::output::Lost;
use super::{Before, Connection};
use bytes::Buf;
use ironcache_resp::Parsed;
use ironcache_session::{Stop, Wake};
use ironcache_types::Offset;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) enum Parked {
    Retry,
    TooLong,
    Gone,
}

pub(super) enum Held {
    Retry,
    Gone,
}

impl Connection {
    /// Holds the next command back until who serves it may have changed.
    pub(super) async fn park(&mut self) -> Result<Parked, Lost> {
        let since = *self.parked_since.get_or_insert_with(Instant::now);
        let changed = Rc::clone(&self.node.changed);
        let (deadline, changed) = {
            let plane = self.node.plane.borrow();
            (since + Duration::from_millis(plane.view.state.policy.park_ms_max), changed.notified())
        };
        self.node.plane.borrow_mut().parked += 1;
        let decided = async {
            tokio::select! {
                biased;
                // First: a command whose client has gone is not executed, whatever was decided meanwhile.
                () = self.from.gone() => Parked::Gone,
                () = changed => Parked::Retry,
                () = tokio::time::sleep_until(deadline) => Parked::TooLong,
            }
        };
        let outcome = self.output.until(&mut self.to, &self.node, decided).await;
        self.node.plane.borrow_mut().parked -= 1;
        outcome
    }

    /// Holds the next command back until replicas have taken more of the stream. There is no deadline of its own: who
    /// takes nothing is not waited for much longer, and who takes something lets it go on. A change of roles ends it too.
    pub(super) async fn hold(&mut self) -> Result<Held, Lost> {
        self.parked_since = None;
        let (acked, changed) = (Rc::clone(&self.node.acked), Rc::clone(&self.node.changed));
        let (progress, change) = (acked.notified(), changed.notified());
        self.node.plane.borrow_mut().parked += 1;
        let decided = async {
            tokio::select! {
                biased;
                () = self.from.gone() => Held::Gone,
                () = progress => Held::Retry,
                () = change => Held::Retry,
            }
        };
        let outcome = self.output.until(&mut self.to, &self.node, decided).await;
        self.node.plane.borrow_mut().parked -= 1;
        outcome
    }

    /// Holds the next command back until clients are not paused any more.
    pub(super) async fn stay_paused(&mut self) -> Result<Held, Lost> {
        self.parked_since = None;
        let ended = self.node.plane.borrow().pause.ended();
        let end = ended.notified();
        // It may have ended while the replies before this were sent.
        if self.node.plane.borrow().pause.what().is_none() {
            return Ok(Held::Retry);
        }
        let decided = async {
            tokio::select! {
                biased;
                () = self.from.gone() => Held::Gone,
                () = end => Held::Retry,
            }
        };
        self.output.until(&mut self.to, &self.node, decided).await
    }

    /// Takes the held-back command out of the buffer and answers that it was not executed.
    pub(super) fn give_up_parking(&mut self) {
        self.parked_since = None;
        self.parser.reset();
        if let Ok(Parsed::Complete { consumed }) = self.parser.parse(&self.buf) {
            let name = self.parser.args(&self.buf).iter().next().unwrap_or_default();
            let mut plane = self.node.plane.borrow_mut();
            match plane.is_down() {
                Some(why) => {
                    dispatch::cluster_down(&mut plane, &mut self.client, name, &mut self.out, why);
                }
                None => {
                    let why = if plane.scripts.libraries.is_loading() {
                        "the libraries of functions are being loaded"
                    } else {
                        "the shard has no primary at the moment"
                    };
                    dispatch::try_again(&mut plane, &mut self.client, name, &mut self.out, why);
                }
            }
            drop(plane);
            self.buf.advance(consumed);
        }
    }

    /// Until what it waits for is answered.
    pub(super) async fn stay_blocked(&mut self) -> Result<(), Lost> {
        let Some(seat) = self.client.seat.clone() else { return Ok(()) };
        let ms_max = self.client.session.blocked_ms_max();
        let deadline = ms_max.map(|ms| Instant::now() + Duration::from_millis(ms));
        let (acked, changed) = (Rc::clone(&self.node.acked), Rc::clone(&self.node.changed));
        let drained = Rc::clone(&self.node.drain);
        // Acknowledgements are many, and of those who are blocked most wait for none.
        let on_replicas = self.client.session.is_blocked_on_replicas();
        let mut wake = Wake::Look;
        loop {
            // Before it looks: what happens from here on is not missed.
            let (progress, change, drain) = (acked.notified(), changed.notified(), drained.notified());
            match seat.take() {
                // It was executed: that comes before a time that is up by now.
                Some(Word::Served(served)) => {
                    self.take_served(served).await?;
                    break;
                }
                Some(Word::Unblock(by)) => wake = Wake::Unblock(by),
                None => {}
            }
            if self.node.is_draining() {
                if !on_replicas {
                    // Nothing is there for it, nor is its time up: it is to ask again where the node is, or another one.
                    self.send_the_last().await;
                    return Err(Lost);
                }
                wake = Wake::TimeIsUp;
            }
            if self.wake(wake) == Waiting::Over {
                break;
            }
            let timeout = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let happened = async {
                tokio::select! {
                    biased;
                    () = seat.told() => Ok(Wake::Look),
                    () = progress, if on_replicas => Ok(Wake::Look),
                    () = change => Ok(Wake::Look),
                    () = drain => Ok(Wake::Look),
                    () = timeout => Ok(Wake::TimeIsUp),
                    () = self.from.gone() => Err(Lost),
                }
            };
            wake = self.output.until(&mut self.to, &self.node, happened).await??;
        }
        Ok(())
    }

    /// Until the script of this client has ended. Between its turns others have theirs.
    pub(super) async fn go_on_with_the_script(&mut self) -> Result<(), Lost> {
        loop {
            let turn = async {
                tokio::select! {
                    biased;
                    () = self.from.gone() => Err(Lost),
                    () = tokio::task::yield_now() => Ok(()),
                }
            };
            let happened = self.output.until(&mut self.to, &self.node, turn).await.and_then(|turn| turn);
            if happened.is_err() {
                // Nobody is there to be told; it has written nothing.
                self.client.script = None;
                return Err(Lost);
            }
            let stop = self.give_the_script_a_turn();
            self.out_of_doubt().await?;
            if stop.is_none() {
                return Ok(());
            }
        }
    }

    /// As [`Connection::execute_buffered`] does for commands: with the lease looked at before and after.
    fn give_the_script_a_turn(&mut self) -> Option<Stop> {
        let node = Rc::clone(&self.node);
        let mut plane = node.plane.borrow_mut();
        let before = Before::of(&mut plane);
        let stop = dispatch::go_on(&mut plane, &mut self.client, &mut self.out);
        self.doubt_without_a_lease(&before, &mut plane);
        self.feed(&before, plane);
        stop
    }

    fn wake(&mut self, wake: Wake) -> Waiting {
        let mut plane = self.node.plane.borrow_mut();
        if wake == Wake::Look {
            let before = plane.offset();
            blocked::look_again(&mut plane, &self.client);
            if plane.offset() != before {
                self.node.feed.notify_waiters();
            }
        }
        let waiting = dispatch::wake(&mut plane, &mut self.client, wake, &mut self.out);
        if waiting == Waiting::Over {
            self.client.show(plane.coarse_ms);
        }
        waiting
    }

    /// What it waited for was executed, by the task of whoever made that possible. That was of a moment at which this node was
    /// the only primary, or nothing is said of it.
    async fn take_served(&mut self, served: Served) -> Result<(), Lost> {
        let Served { reply, owed, epoch } = served;
        {
            let mut plane = self.node.plane.borrow_mut();
            plane.blocked.leave(self.client.session.id());
            self.client.seat = None;
            self.client.session.served();
            self.client.show(plane.coarse_ms);
        }
        if owed.write > 0 {
            self.client.session.wrote(Offset(owed.write));
        }
        self.client.owed.write = self.client.owed.write.max(owed.write);
        self.client.owed.read = self.client.owed.read.max(owed.read);
        if self.client.session.is_mute() {
            self.client.session.dropped();
        } else {
            self.out.extend_from_slice(&reply);
        }
        self.doubt = epoch;
        self.out_of_doubt().await
    }

    /// Until what the client has ordered is carried out, or is known to be refused. If that ends its own connection too, it has
    /// had its answer.
    pub(super) async fn carry_out(&mut self) -> Result<(), Lost> {
        let Some(order) = self.client.order.take() else { return Ok(()) };
        let (account, addr) = {
            let mut info = self.client.info.borrow_mut();
            info.ordering = Ordering::Waits;
            (Rc::clone(self.client.session.account()), info.addr)
        };
        let node = Rc::clone(&self.node);
        let happened = async {
            tokio::select! {
                biased;
                outcome = orders::carry_out(&node, order, &account, addr) => Ok(outcome),
                () = self.from.gone() => Err(Lost),
            }
        };
        let outcome = self.output.until(&mut self.to, &self.node, happened).await??;
        let ordering = std::mem::replace(&mut self.client.info.borrow_mut().ordering, Ordering::Nothing);
        let start = self.out.len();
        orders::answer(&outcome, self.client.session.protocol(), &mut self.out);
        if self.client.session.is_mute() {
            self.out.truncate(start);
            self.client.session.dropped();
        }
        if ordering == Ordering::EndsOnceAnswered {
            self.hand_on()?;
            self.send_the_last().await;
            return Err(Lost);
        }
        Ok(())
    }
}
