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
//! *Invariant:* a replica serves reads alone, of whom it may answer: keys become ready there where its primary's effects are applied.

mod book;

use super::client::Client;
use super::plane::Plane;
use crate::clock::wall_ms;
use book::{Book, Ticket};
use ironcache_command::{Context, Ready, Served as Got, Spec, Waits, Wanted, serve as serve_of};
use ironcache_keyspace::{Effect, StreamChange};
use ironcache_replication::Scope;
use ironcache_resp::Protocol;
use ironcache_session::Unblock;
use ironcache_shard::{Owed, Route};
use ironcache_types::{Epoch, Level, ReadFrom, Slot};
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
    /// How many wait for what a group was not given: they are told also that a key is gone.
    of_groups: usize,
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
    /// Where it may be served.
    read: ReadFrom,
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
            self.forget(ticket);
        }
    }

    fn forget(&mut self, ticket: Ticket) {
        if let Some(waiter) = self.book.leave(ticket) {
            self.of_groups -= usize::from(waiter.is_of_a_group());
        }
    }

    /// Has a client go on; false if it is not blocked.
    pub(super) fn unblock(&mut self, client: u64, by: Unblock) -> bool {
        let Some(seat) = self.seats.get(&client) else { return false };
        let is_told = seat.word.borrow().is_some();
        if !is_told {
            // Nothing is executed for it any more.
            let (seat, ticket) = (Rc::clone(seat), seat.ticket);
            if let Some(ticket) = ticket {
                self.forget(ticket);
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
            Effect::Rename { key, to } => {
                self.book.written(to);
                self.book.written(key);
            }
            Effect::Clear => self.book.all_written(),
            Effect::Stream { key, change } => {
                if makes_ready(change) {
                    self.book.written(key);
                }
            }
            other => {
                if let Some(key) = other.key() {
                    self.book.written(key);
                }
            }
        }
    }

    /// The same of effects that were applied.
    #[cold]
    pub(super) fn note_bytes(&mut self, mut bytes: &[u8], level: Level) {
        while let Ok((effect, rest)) = Effect::decode(bytes, level) {
            self.note(&effect);
            bytes = rest;
        }
    }

    /// The whole dataset is another one.
    pub(super) fn note_all(&mut self) {
        self.book.all_written();
    }

    #[inline]
    pub(super) fn has_ready(&self) -> bool {
        self.book.has_ready()
    }
}

impl Waiter {
    fn is_of_a_group(&self) -> bool {
        self.waits.for_what == Wanted::OfGroup
    }
}

/// As in Redis, who waits for a stream is not concerned by what an administrator sets, nor by what others acknowledge.
fn makes_ready(change: &StreamChange<'_>) -> bool {
    match change {
        StreamChange::Add { .. } | StreamChange::Block { .. } | StreamChange::RemoveGroup { .. } => true,
        StreamChange::Head(_)
        | StreamChange::Delete { .. }
        | StreamChange::Trim { .. }
        | StreamChange::Group { .. }
        | StreamChange::Consumer { .. }
        | StreamChange::RemoveConsumer { .. }
        | StreamChange::Pend { .. }
        | StreamChange::Acknowledge { .. } => false,
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
    let read = client.session.block_on(spec, slot, waits.timeout_ms);
    let keys = args[waits.keys.clone()].iter().copied();
    let bytes = args.iter().map(|arg| arg.len()).sum::<usize>()
        + keys.clone().map(|key| key.len() + KEY_BYTES).sum::<usize>();
    let waiter = Waiter {
        client: client.session.id(),
        spec,
        args: args.iter().map(|arg| Box::from(*arg)).collect(),
        waits,
        slot,
        read,
        protocol: client.session.protocol(),
        epoch: plane.primary_epoch(),
    };
    plane.blocked.of_groups += usize::from(waiter.is_of_a_group());
    let ticket = plane.blocked.book.wait(keys, waiter);
    let seat = Seat::new(Some(ticket), bytes);
    plane.blocked.seats.insert(client.session.id(), Rc::clone(&seat));
    client.seat = Some(seat);
}

/// Another primary may have written what this client waits for, while nobody here was told: a new start as primary looks. A
/// replica looks whenever something about it has changed: what it applied while it was none of the in-sync set served nobody.
pub(super) fn look_again(plane: &mut Plane, client: &Client) {
    let Some(ticket) = client.seat.as_ref().and_then(|seat| seat.ticket) else { return };
    plane.look_at_lease();
    let epoch = plane.primary_epoch();
    let Some(waiter) = plane.blocked.book.get(ticket) else { return };
    if !is_served_here(plane, waiter) {
        return;
    }
    let Some(waiter) = plane.blocked.book.get_mut(ticket) else { return };
    if std::mem::replace(&mut waiter.epoch, epoch) != epoch || epoch.is_none() {
        plane.blocked.book.look_at_all(ticket);
        serve(plane);
    }
}

fn is_served_here(plane: &Plane, waiter: &Waiter) -> bool {
    plane.route(waiter.slot, waiter.read) == Route::Execute
}

/// Serves who waits for keys that have become ready, in order of arrival, and then for what that made ready.
#[cold]
pub(super) fn serve(plane: &mut Plane) {
    while let Some(key) = plane.blocked.book.next_ready() {
        let mut last = None;
        while let Some(ticket) = plane.blocked.book.first_after(&key, last) {
            last = Some(ticket);
            let held = plane.keyspace.live(&key, wall_ms()).map(|entry| entry.value().kind());
            if held.is_none() && plane.blocked.of_groups == 0 {
                break;
            }
            let fits = |waiter: &Waiter| waiter.waits.fits(held) && is_served_here(plane, waiter);
            if plane.blocked.book.get(ticket).is_some_and(fits) {
                serve_one(plane, ticket, &key);
            }
        }
    }
}

fn serve_one(plane: &mut Plane, ticket: Ticket, key: &[u8]) {
    let (random, expiry) = (plane.random(), plane.expiry());
    let Plane { blocked, keyspace, effects, .. } = plane;
    let Some(waiter) = blocked.book.get(ticket) else { return };
    let context = Context { now_ms: wall_ms(), random, expiry, protocol: waiter.protocol };
    let (slot, client, spec) = (waiter.slot, waiter.client, waiter.spec);
    let args: Vec<&[u8]> = waiter.args.iter().map(|arg| &**arg).collect();
    let ready = Ready { spec: waiter.spec, args: &args, waits: &waiter.waits, key };
    let mut reply = Vec::new();
    let got = serve_of(ready, keyspace, &context, &mut reply, effects);
    plane.tell_of_keys();
    let write = if plane.effects.is_empty() { 0 } else { plane.commit(Scope::Slot(slot)).0 };
    if got == Got::No {
        // It waits on, in its place.
        return;
    }
    let is_read_of_a_primary = write == 0 && plane.primary().is_some();
    let read = if is_read_of_a_primary { plane.written(Some(slot)) } else { 0 };
    let epoch = plane.primary_epoch();
    plane.blocked.forget(ticket);
    if reply.first() == Some(&b'-') {
        plane.statistics.tally.failed(spec, &reply);
    }
    if let Some(seat) = plane.blocked.seats.get(&client) {
        seat.tell(Word::Served(Served { reply, owed: Owed { write, read }, epoch }));
    }
}
