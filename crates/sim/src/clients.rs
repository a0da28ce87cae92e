//! Clients, and how a node serves them: the counterpart of the product's `data/{connection,dispatch}`.
//!
//! ```text
//!  client ─► late ─► the node: route ─► held back │ executed ─ the lease again ─► may the reply leave? ─► late, or lost ─► client
//!     ▲                  └ MOVED, TRYAGAIN: not executed ──► the same operation again, elsewhere
//!     └ no answer: nobody knows, and it is never tried again
//! ```
//! *Invariant:* an operation is executed once at most, over everything that is ever executed. Whoever was told that it was not
//! executed tries it again; who was told nothing does not.
//! *Invariant:* what was executed is answered a tick later, after another look at the lease: a process may stand still in
//! between.

use crate::ledger::Floor;
use crate::node::Process;
use crate::rng::Rng;
use crate::stream::{Write, offset_of, writes_below};
use crate::world::World;
use ironcache_control::AckMode;
use ironcache_shard::{Owed, Reply, Route};
use ironcache_types::{Epoch, NodeId, Offset, ReadFrom, ShardId, Slot};

/// Of each shard; each has one operation under way.
const CLIENTS: usize = 4;
/// Slots of a shard that are written.
const SLOTS: u64 = 3;
/// The longest way between a client and a node, in ms.
const LATE_MS: u64 = 20;
/// A client that hears nothing for this long forgets what it asked.
const PATIENCE_MS: u64 = 2_500;
/// A command that was held back for so long is answered: try again.
const PARK_MS: u64 = 600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Read,
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    number: u64,
    slot: Slot,
    kind: Kind,
    floor: Floor,
}

#[derive(Debug)]
pub(crate) struct Client {
    shard: ShardId,
    /// Some see a node that the others are cut off from.
    beside: bool,
    to: NodeId,
    waits: Option<(u64, Operation)>,
    next_at_ms: u64,
}

/// A command at a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    client: usize,
    operation: Operation,
    since_ms: u64,
}

/// It was executed, and not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Executed {
    request: Request,
    epoch: Epoch,
    owed: Owed,
    /// What it shows: the state after so many writes.
    shows: usize,
}

/// What a client is told.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Done {
        shows: usize,
        /// What it shows was acknowledged, by the ledger of that generation.
        sure: Option<u64>,
    },
    /// Not executed.
    Moved(NodeId),
    TryAgain,
    /// The connection is closed.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Clients {
    all: Vec<Client>,
    rng: Rng,
    to_nodes: Vec<(u64, NodeId, Request)>,
    to_clients: Vec<(u64, usize, u64, Answer)>,
    /// Whether an operation was executed, by its number.
    executed: Vec<bool>,
    pub reads: u64,
    pub retries: u64,
    pub unknown: u64,
}

impl Clients {
    pub(crate) fn new(shards: u16, rng: Rng) -> Self {
        let client = |shard, number: usize| Client {
            shard: ShardId(shard),
            beside: number.is_multiple_of(2),
            to: NodeId(u64::from(shard) + 1),
            waits: None,
            next_at_ms: 0,
        };
        let all = (0..shards).flat_map(|shard| (0..CLIENTS).map(move |number| client(shard, number)));
        Clients {
            all: all.collect(),
            rng,
            to_nodes: Vec::new(),
            to_clients: Vec::new(),
            executed: Vec::new(),
            reads: 0,
            retries: 0,
            unknown: 0,
        }
    }

    /// The network delivers again what is under way.
    #[cfg(test)]
    pub(crate) fn deliver_twice(&mut self) {
        self.to_nodes.extend_from_within(..);
    }

    fn answer(&mut self, request: Request, answer: Answer, now_ms: u64) {
        let at_ms = now_ms + 1 + self.rng.below(LATE_MS);
        self.to_clients.push((at_ms, request.client, request.operation.number, answer));
    }
}

/// What the clients of one process wait for.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Arrived, or held back.
    open: Vec<Request>,
    /// Executed in the last tick.
    done: Vec<Executed>,
    /// They wait for acknowledgements, up to this offset.
    owing: Vec<(u64, Executed)>,
}

impl World {
    // --- the clients' side -----------------------------------------------------------------------------------

    pub(crate) fn clients_tick(&mut self) {
        let now_ms = self.now_ms;
        let due = self.clients.to_clients.extract_if(.., |(at_ms, ..)| *at_ms <= now_ms);
        for (_, client, number, answer) in due.collect::<Vec<_>>() {
            self.hear_answer(client, number, answer);
        }
        for client in 0..self.clients.all.len() {
            let Client { waits, next_at_ms, .. } = &mut self.clients.all[client];
            if waits.take_if(|(since_ms, _)| now_ms > *since_ms + PATIENCE_MS).is_some() {
                self.clients.unknown += 1;
                self.ask_elsewhere(client);
            } else if waits.is_none() && now_ms >= *next_at_ms && self.writes_go_on() {
                let operation = self.fresh(client);
                self.submit(client, operation);
            }
        }
        let due = self.clients.to_nodes.extract_if(.., |(at_ms, ..)| *at_ms <= now_ms);
        for (_, to, request) in due.collect::<Vec<_>>() {
            let is_beside = self.clients.all[request.client].beside;
            if self.is_cut_off(to) && !is_beside {
                continue;
            }
            match self.process_mut(to) {
                Some(process) => process.requests.open.push(Request { since_ms: now_ms, ..request }),
                None => self.clients.answer(request, Answer::Closed, now_ms),
            }
        }
    }

    fn fresh(&mut self, client: usize) -> Operation {
        let shard = self.clients.all[client].shard;
        let number = self.clients.executed.len() as u64;
        self.clients.executed.push(false);
        let first = self.truth.shards[&shard].slots.0[0].start;
        let slot = Slot(first + self.clients.rng.below(SLOTS) as u16);
        let kind = if self.clients.rng.chance(1, 3) { Kind::Read } else { Kind::Write };
        Operation { number, slot, kind, floor: self.ledger.floor(shard, slot) }
    }

    fn submit(&mut self, client: usize, operation: Operation) {
        let now_ms = self.now_ms;
        let at_ms = now_ms + self.clients.rng.below(LATE_MS);
        let to = self.clients.all[client].to;
        self.clients.all[client].waits = Some((now_ms, operation));
        self.clients.to_nodes.push((at_ms, to, Request { client, operation, since_ms: now_ms }));
    }

    fn ask_elsewhere(&mut self, client: usize) {
        let nodes = &self.truth.shards[&self.clients.all[client].shard].nodes;
        let Clients { all, rng, .. } = &mut self.clients;
        all[client].to = rng.pick(nodes).unwrap_or(all[client].to);
    }

    fn hear_answer(&mut self, client: usize, number: u64, answer: Answer) {
        let Client { waits, shard, .. } = &mut self.clients.all[client];
        let shard = *shard;
        // An answer that comes too late tells nobody anything.
        let Some((_, operation)) = waits.take_if(|(_, operation)| operation.number == number) else { return };
        match answer {
            Answer::Done { shows, sure } => {
                if operation.kind == Kind::Read {
                    self.clients.reads += 1;
                    if let Err(what) = self.ledger.check_read(shard, operation.floor, shows) {
                        self.broken(what);
                    }
                }
                if let Some(generation) = sure {
                    self.ledger.heard(shard, operation.slot, generation, shows);
                }
                self.clients.all[client].next_at_ms = self.now_ms + self.clients.rng.below(LATE_MS);
            }
            Answer::Moved(to) => {
                self.clients.retries += 1;
                self.clients.all[client].to = to;
                self.submit(client, operation);
            }
            Answer::TryAgain => {
                self.clients.retries += 1;
                self.ask_elsewhere(client);
                self.submit(client, operation);
            }
            Answer::Closed => {
                self.clients.unknown += 1;
                self.ask_elsewhere(client);
                self.clients.all[client].next_at_ms = self.now_ms + LATE_MS;
            }
        }
    }

    // --- the node's side -------------------------------------------------------------------------------------

    /// Executes what has arrived.
    pub(crate) fn serve(&mut self, id: NodeId) {
        let (now_ms, now) = (self.now_ms, self.now_of(id));
        let process = self.process_mut(id).expect("it ticks");
        process.engine.look_at_lease(now.boot_ms);
        for request in std::mem::take(&mut process.requests.open) {
            let World { nodes, clients, truth, .. } = self;
            let process = nodes.get_mut(&id).and_then(|node| node.process.as_mut()).expect("it ticks");
            let Operation { slot, kind, number, .. } = request.operation;
            match process.engine.route(slot, ReadFrom::Primary) {
                Route::Execute => {}
                Route::Moved(to) => {
                    clients.answer(request, Answer::Moved(to), now_ms);
                    continue;
                }
                Route::Unowned => {
                    clients.answer(request, Answer::TryAgain, now_ms);
                    continue;
                }
                Route::Park if now_ms > request.since_ms + PARK_MS => {
                    clients.answer(request, Answer::TryAgain, now_ms);
                    continue;
                }
                Route::Park => {
                    process.requests.open.push(request);
                    continue;
                }
            }
            let (me, shard) = (process.me, process.my_shard().map(|shard| shard.id));
            let owner = shard.and_then(|shard| truth.shards[&shard].primary());
            let epoch = process.engine.primary_epoch().unwrap_or_default();
            let is_write = kind == Kind::Write;
            if is_write && !process.engine.has_enough_in_sync() {
                clients.answer(request, Answer::TryAgain, now_ms);
                continue;
            }
            if is_write && process.store.retained.is_backed_up(process.store.end()) {
                process.requests.open.push(request);
                continue;
            }
            let executed = match kind {
                Kind::Write => {
                    let was = clients.executed.get_mut(usize::try_from(number).expect("a run is short"));
                    if was.is_none_or(|was| std::mem::replace(was, true)) {
                        self.broken(format!("{me} executes operation {number} for the second time"));
                        return;
                    }
                    process.execute(request, epoch, now.ran_ms)
                }
                Kind::Read => process.read(request, epoch),
            };
            process.requests.done.push(executed);
            if owner != Some(me) {
                self.broken(format!(
                    "I14: {me} executes a command of {shard:?}, which it does not own any more"
                ));
            }
        }
    }

    /// Answers what was executed a moment ago, if this node is what it was then.
    pub(crate) fn tell(&mut self, id: NodeId) {
        let now = self.now_of(id);
        let process = self.process_mut(id).expect("it ticks");
        process.engine.look_at_lease(now.boot_ms);
        for executed in std::mem::take(&mut process.requests.done) {
            let now_ms = self.now_ms;
            let process = self.process_mut(id).expect("it ticks");
            if process.engine.primary_epoch() != Some(executed.epoch)
                || now_ms > executed.request.since_ms + 4 * PARK_MS
            {
                self.clients.answer(executed.request, Answer::Closed, now_ms);
                continue;
            }
            if !process.engine.is_leased() {
                // In doubt: once it has one again, nobody else was primary in between.
                process.requests.done.push(executed);
                continue;
            }
            match process.engine.may_reply(executed.owed) {
                Reply::Now => self.emit(id, executed),
                Reply::After(offset) => process.requests.owing.push((offset, executed)),
                Reply::Lost => self.clients.answer(executed.request, Answer::Closed, now_ms),
            }
        }
        self.settle(id);
    }

    /// Replies that waited leave, as far as they may.
    pub(crate) fn settle(&mut self, id: NodeId) {
        let clock_ms = self.clock_ms(id);
        let process = self.process_mut(id).expect("it ticks");
        process.engine.look_at_lease(clock_ms);
        let mut owing = std::mem::take(&mut process.requests.owing);
        let mut free = Vec::new();
        owing.retain(|(offset, executed)| {
            let is_free = process.engine.is_released(*offset);
            if is_free {
                free.push(*executed);
            }
            !is_free
        });
        process.requests.owing = owing;
        for executed in free {
            self.emit(id, executed);
        }
    }

    fn emit(&mut self, id: NodeId, executed: Executed) {
        let World { nodes, clients, ledger, .. } = self;
        let process = nodes.get(&id).and_then(|node| node.process.as_ref()).expect("it ticks");
        let Some(shard) = process.my_shard() else { return };
        let counts = match executed.request.operation.kind {
            Kind::Write => executed.shows,
            // What an earlier primary wrote is held by every member since this one began.
            Kind::Read if shard.mode == AckMode::InSync => executed.shows,
            Kind::Read => 0,
        };
        let acknowledged = ledger.acknowledge(shard.id, &process.store, counts);
        let shows = executed.shows;
        let sure = ledger.is_sure(shard.id, &process.store, shows);
        clients.answer(executed.request, Answer::Done { shows, sure }, self.now_ms);
        if let Err(what) = acknowledged {
            self.broken(what);
        }
    }

    /// The role is lost under which they were executed.
    pub(crate) fn lose_replies(&mut self, id: NodeId) {
        let now_ms = self.now_ms;
        let World { nodes, clients, .. } = self;
        let Some(process) = nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else { return };
        let Requests { open: _, done, owing } = &mut process.requests;
        let lost = done.drain(..).chain(owing.drain(..).map(|(_, executed)| executed));
        lost.for_each(|executed| clients.answer(executed.request, Answer::Closed, now_ms));
    }

    /// The process is over, and with it every connection.
    pub(crate) fn lose_requests(&mut self, id: NodeId) {
        self.lose_replies(id);
        let now_ms = self.now_ms;
        let World { nodes, clients, .. } = self;
        let Some(process) = nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else { return };
        let lost = process.requests.open.drain(..);
        lost.for_each(|request| clients.answer(request, Answer::Closed, now_ms));
    }
}

impl Process {
    fn execute(&mut self, request: Request, epoch: Epoch, ran_ms: u64) -> Executed {
        let Operation { slot, number, .. } = request.operation;
        self.store.push(Write::new(self.level(), epoch, slot, number));
        let end = self.store.end();
        self.engine.on_frame(end, ran_ms);
        Executed { request, epoch, owed: Owed { write: end.0, read: 0 }, shows: writes_below(end) }
    }

    fn read(&self, request: Request, epoch: Epoch) -> Executed {
        let shows = self.store.newest(request.operation.slot);
        let Offset(read) = if shows > self.store.written_from { offset_of(shows) } else { Offset(0) };
        Executed { request, epoch, owed: Owed { write: 0, read }, shows }
    }
}
