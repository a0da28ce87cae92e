//! Clients that wait: for what replicas acknowledge, or for keys that hold something for them.
//!
//! ```text
//!  BLPOP finds nothing ──► Book, in order of arrival ◄── commit: which keys were written
//!                             │
//!  the command or EXEC is over ──► serve: the first who waits executes ──► its Seat ──► its connection: the reply
//!                                    └─ what that writes may make further keys ready
//! ```
//! *Invariant:* who waits is served by whoever made the key ready, before that one's next command, and never in the middle of a
//! transaction: keys become ready where effects enter the stream, and somebody is served after that.
//! *Invariant:* nothing is executed for a client whose connection has ended: it leaves the book before anything else runs.
//! *Invariant:* what was executed for one who waited is told under the same conditions as any write: see `Connection::take_served`.

mod book;

use super::client::Client;
use super::plane::Plane;
use crate::clock::wall_ms;
use book::{Book, Ticket};
use ironcache_command::{Context, Spec, Waits, attempt};
use ironcache_keyspace::Effect;
use ironcache_replication::Scope;
use ironcache_resp::Protocol;
use ironcache_session::Unblock;
use ironcache_shard::Owed;
use ironcache_types::{Epoch, Slot};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::sync::Notify;

/// What a key that somebody waits for costs, besides its bytes.
const KEY_BYTES: usize = 128;

/// Every client that is blocked.
#[derive(Default)]
pub(crate) struct BlockedClients {
    seats: BTreeMap<u64, Rc<Seat>>,
    book: Book<Waiter>,
}

/// Where a blocked client's connection is told what became of it.
pub(crate) struct Seat {
    ticket: Option<Ticket>,
    /// What is kept for it meanwhile.
    pub bytes: usize,
    word: RefCell<Option<Word>>,
    told: Notify,
}

/// What it is told.
pub(crate) enum Word {
    Served(Served),
    Unblock(Unblock),
}

/// What it waited for was executed.
pub(crate) struct Served {
    pub reply: Vec<u8>,
    pub owed: Owed,
    /// Of the primary that did.
    pub epoch: Option<Epoch>,
}

/// A command that waits for keys.
struct Waiter {
    client: u64,
    spec: &'static Spec,
    args: Vec<Box<[u8]>>,
    waits: Waits,
    slot: Slot,
    protocol: Protocol,
    /// In which it has looked at its keys.
    epoch: Option<Epoch>,
}

impl Seat {
    fn new(ticket: Option<Ticket>, bytes: usize) -> Rc<Self> {
        Rc::new(Self { ticket, bytes, word: RefCell::default(), told: Notify::new() })
    }

    fn tell(&self, word: Word) {
        *self.word.borrow_mut() = Some(word);
        self.told.notify_one();
    }

    pub(crate) fn take(&self) -> Option<Word> {
        self.word.take()
    }

    /// Until there is a word. Of one task at a time.
    pub(crate) async fn told(&self) {
        while self.word.borrow().is_none() {
            self.told.notified().await;
        }
    }
}

impl BlockedClients {
    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    /// A client waits, and for no key.
    pub(super) fn seat(&mut self, client: &mut Client) {
        let seat = Seat::new(None, 0);
        self.seats.insert(client.session.id(), Rc::clone(&seat));
        client.seat = Some(seat);
    }

    /// A client waits no more, or has gone.
    pub(super) fn leave(&mut self, client: u64) {
        if let Some(seat) = self.seats.remove(&client)
            && let Some(ticket) = seat.ticket
        {
            self.book.leave(ticket);
        }
    }

    /// Has a client go on; false if it is not blocked.
    pub(super) fn unblock(&mut self, client: u64, by: Unblock) -> bool {
        let Some(seat) = self.seats.get(&client) else { return false };
        let is_told = seat.word.borrow().is_some();
        if !is_told {
            // Nothing is executed for it any more.
            if let Some(ticket) = seat.ticket {
                self.book.leave(ticket);
            }
            seat.tell(Word::Unblock(by));
        }
        !is_told
    }

    /// Does anybody wait for a key?
    #[inline]
    pub(super) fn waits_for_keys(&self) -> bool {
        !self.book.is_empty()
    }

    pub(super) fn note(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::Rename { key: _, to } => self.book.written(to),
            other => {
                if let Some(key) = other.key() {
                    self.book.written(key);
                }
            }
        }
    }

    #[inline]
    pub(super) fn has_ready(&self) -> bool {
        self.book.has_ready()
    }
}

/// A client's command has found nothing, and waits.
pub(super) fn wait(
    plane: &mut Plane,
    client: &mut Client,
    spec: &'static Spec,
    args: &[&[u8]],
    waits: Waits,
    slot: Slot,
) {
    client.session.block_on(slot, waits.timeout_ms);
    let keys = args[waits.keys.clone()].iter().copied();
    let bytes = args.iter().map(|arg| arg.len()).sum::<usize>()
        + keys.clone().map(|key| key.len() + KEY_BYTES).sum::<usize>();
    let waiter = Waiter {
        client: client.session.id(),
        spec,
        args: args.iter().map(|arg| Box::from(*arg)).collect(),
        waits,
        slot,
        protocol: client.session.protocol(),
        epoch: plane.primary_epoch(),
    };
    let ticket = plane.blocked.book.wait(keys, waiter);
    let seat = Seat::new(Some(ticket), bytes);
    plane.blocked.seats.insert(client.session.id(), Rc::clone(&seat));
    client.seat = Some(seat);
}

/// Another primary may have written what this client waits for, while nobody here was told: a new start as primary looks.
pub(super) fn look_again(plane: &mut Plane, client: &Client) {
    let Some(ticket) = client.seat.as_ref().and_then(|seat| seat.ticket) else { return };
    plane.look_at_lease();
    if !plane.is_serving() {
        return;
    }
    let epoch = plane.primary_epoch();
    let Some(waiter) = plane.blocked.book.get_mut(ticket) else { return };
    if std::mem::replace(&mut waiter.epoch, epoch) != epoch {
        plane.blocked.book.look_at_all(ticket);
        serve(plane);
    }
}

/// Serves who waits for keys that have become ready, in order of arrival, and then for what that made ready.
#[cold]
pub(super) fn serve(plane: &mut Plane) {
    while let Some(key) = plane.blocked.book.next_ready() {
        let mut last = None;
        while let Some(ticket) = plane.blocked.book.first_after(&key, last) {
            last = Some(ticket);
            let Some(entry) = plane.keyspace.live(&key, wall_ms()) else { break };
            let kind = entry.value().kind();
            let fits = |waiter: &Waiter| waiter.waits.kind == kind;
            if plane.blocked.book.get(ticket).is_some_and(fits) {
                serve_one(plane, ticket, &key);
            }
        }
    }
}

fn serve_one(plane: &mut Plane, ticket: Ticket, key: &[u8]) {
    let (random, expiry) = (plane.random(), plane.expiry());
    let Some(waiter) = plane.blocked.book.get(ticket) else { return };
    let context = Context { now_ms: wall_ms(), random, expiry, protocol: waiter.protocol };
    let (spec, slot, client) = (waiter.spec, waiter.slot, waiter.client);
    let args: Vec<&[u8]> = waiter.args.iter().map(|arg| &**arg).collect();
    let args = waiter.waits.narrowed(spec, &args, key);
    let mut reply = Vec::new();
    let attempted = attempt(spec, &args, &mut plane.keyspace, &context, &mut reply, &mut plane.effects);
    let write = if plane.effects.is_empty() { 0 } else { plane.commit(Scope::Slot(slot)).0 };
    if attempted.is_err() {
        // It waits on, in its place.
        return;
    }
    let read = if write > 0 { 0 } else { plane.written(Some(slot)) };
    let epoch = plane.primary_epoch();
    plane.blocked.book.leave(ticket);
    if let Some(seat) = plane.blocked.seats.get(&client) {
        seat.tell(Word::Served(Served { reply, owed: Owed { write, read }, epoch }));
    }
}
