//! One client connection: read, execute what has arrived, and send the replies as soon as they may go and the client takes
//! them. Reading does not wait for that.
//!
//! ```text
//!  read ─► parse ─► dispatch ─► out ─┬─ may go, and the socket takes it ─► sent
//!    ▲                 │             ├─ owed, or the socket is full ─────► Output, sent while the next is read
//!    └─────────────────┤             └─ lost role ─► close, nothing is said
//!                      ├─ Park, Hold, Pause: the command stays in the buffer, unexecuted
//!                      └─ Blocked: it is taken, and answered when something happens
//! ```
//!
//! *Invariant:* replies leave in the order of the commands, and none before what it tells of may be
//! acknowledged.
//! *Invariant:* a primary's lease is looked at before a batch is executed and after it; if it ended in between, the connection
//! closes, and nothing is said of what the batch came to.
//! *Invariant:* a command that was answered `MOVED`, `TRYAGAIN` or `CLUSTERDOWN` was not executed, and never will be.

mod waits;

use self::waits::{Held, Parked};
use super::client::{Buffers, Client, Closing, Kept, Summons};
use super::dispatch;
use super::inbox::Inbox;
use super::output::{Lost, Output};
use super::plane::Plane;
use super::tls::{Incoming, NotMade, Outgoing, shake_hands};
use super::{DataNode, Entrance};
use bytes::{Buf, BytesMut};
use ironcache_host::net::TcpStream;
use ironcache_keyspace::FETCHED_KEYS;
use ironcache_resp::{CommandParser, FirstArguments, Limits, Parsed, Protocol, Trust, Writer};
use ironcache_session::{COMMAND_BYTES_MAX, Stop, Trusted};
use ironcache_shard::Reply;
use ironcache_types::{Epoch, Offset, chain};
use smallvec::SmallVec;
use std::cell::RefMut;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// Read at a time. Sixteen pipelined commands of 100 bytes fit many times; more would cost idle memory.
const READ_BYTES: usize = 16 << 10;
/// What is read into before there was a command. Its first one fits; more is what a thousand who say nothing cost a node.
const FIRST_BYTES: usize = 1 << 10;
/// Replies are handed on when this much has come together, so that a buffer does not grow with a pipeline.
const SEND_BYTES: usize = 256 << 10;
/// Buffers above this are given back after use.
const KEEP_BYTES: usize = 64 << 10;

/// Serves one client until it leaves, errs, or the node drains.
pub(super) async fn serve(
    node: Rc<DataNode>,
    stream: TcpStream,
    addr: SocketAddr,
    client: Client,
    entrance: Entrance,
) {
    let id = client.session.id();
    let ending = Rc::clone(&client.info.borrow().ending);
    let drain = Rc::clone(&node.drain);
    let mut drained = std::pin::pin!(drain.notified());
    let opened = tokio::select! {
        biased;
        opened = open(&node, stream, entrance) => opened,
        why = ending.ends() => {
            tracing::warn!(id, %addr, %why, "a client was closed");
            return node.plane.borrow_mut().clients.disconnect(id);
        }
    };
    let (from, to) = match opened {
        Ok(halves) => halves,
        Err(why) => {
            tracing::debug!(%addr, why = chain(&why), "no connection by TLS was made");
            return node.plane.borrow_mut().clients.disconnect(id);
        }
    };
    let mut connection = Connection {
        parser: CommandParser::new(Limits::default()),
        node: Rc::clone(&node),
        from,
        to,
        client,
        buf: BytesMut::with_capacity(FIRST_BYTES),
        out: Vec::new(),
        output: Output::default(),
        replied: 0,
        parked_since: None,
        doubt: None,
    };
    let served = async {
        if connection.run(drained.as_mut()).await == End::Drained {
            connection.leave().await;
        }
    };
    tokio::select! {
        biased;
        () = served => {}
        why = ending.ends() => tracing::warn!(id, %addr, %why, "a client was closed"),
    }
    connection.to.farewell();
    let mut plane = node.plane.borrow_mut();
    plane.blocked.leave(id);
    plane.clients.leave(&connection.client);
}

/// The two halves of a connection that commands may come by.
async fn open(
    node: &DataNode,
    stream: TcpStream,
    entrance: Entrance,
) -> Result<(Incoming, Outgoing), NotMade> {
    match entrance {
        Entrance::Plain => {
            let (from, to) = stream.into_split();
            Ok((Incoming::Plain(from), Outgoing::Plain(to)))
        }
        Entrance::Tls(_place) => {
            let server = node.plane.borrow().tls.server();
            shake_hands(stream, server, &node.places, &node.turns).await
        }
    }
}

struct Connection {
    node: Rc<DataNode>,
    from: Incoming,
    to: Outgoing,
    client: Client,
    parser: CommandParser,
    buf: BytesMut,
    /// Replies to what is executed now.
    out: Vec<u8>,
    /// What the last of them took.
    replied: usize,
    /// Those before them that could not be sent yet.
    output: Output,
    /// When the command at the start of `buf` was first held back.
    parked_since: Option<Instant>,
    /// The lease ended while something was executed, as the primary of this ownership epoch.
    doubt: Option<Epoch>,
}

/// How things stood before something was executed.
struct Before {
    end: Offset,
    leased: bool,
}

impl Before {
    fn of(plane: &mut Plane) -> Self {
        let end = plane.offset();
        plane.look_at_lease();
        Self { end, leased: plane.is_leased() }
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Drained,
}

impl Connection {
    async fn run(&mut self, mut drained: Pin<&mut Notified<'_>>) -> End {
        loop {
            let turn = self.execute_buffered();
            // Roles may change while that is waited for: park only on what is so afterwards.
            let waited = self.doubt.is_some();
            if self.out_of_doubt().await.is_err() || self.hand_on().is_err() {
                return End::Closed;
            }
            self.account();
            match turn {
                Batch::NeedMore(bytes) => {
                    self.make_room(bytes);
                    if self.node.is_draining() {
                        // What has arrived is answered; what comes later is not.
                        match self.from.read_arrived(&mut self.buf) {
                            Ok(bytes @ 1..) => {
                                self.node.plane.borrow_mut().stats.received(bytes);
                                continue;
                            }
                            Ok(0) | Err(_) => return End::Drained,
                        }
                    }
                    match self.read(drained.as_mut()).await {
                        Ok(Read::Some | Read::Draining) => {}
                        Ok(Read::End) => {
                            self.send_the_last().await;
                            return End::Closed;
                        }
                        Err(Lost) => return End::Closed,
                    }
                }
                // Others have their turn before the next part of a long pipeline.
                Batch::Sent => tokio::task::consume_budget().await,
                Batch::Stopped(Stop::Park | Stop::Hold | Stop::Pause) if waited => {}
                Batch::Stopped(Stop::Park) => match self.park().await {
                    Ok(Parked::Retry) => {}
                    Ok(Parked::TooLong) => self.give_up_parking(),
                    Ok(Parked::Gone) | Err(Lost) => return End::Closed,
                },
                Batch::Stopped(Stop::Hold) => match self.hold().await {
                    Ok(Held::Retry) => {}
                    Ok(Held::Gone) | Err(Lost) => return End::Closed,
                },
                Batch::Stopped(Stop::Pause) => match self.stay_paused().await {
                    Ok(Held::Retry) => {}
                    Ok(Held::Gone) | Err(Lost) => return End::Closed,
                },
                Batch::Stopped(Stop::Blocked) => {
                    if self.stay_blocked().await.is_err() {
                        return End::Closed;
                    }
                }
                Batch::Stopped(Stop::Slow) => {
                    if self.go_on_with_the_script().await.is_err() {
                        return End::Closed;
                    }
                }
                Batch::Stopped(Stop::Order) => {
                    if self.carry_out().await.is_err() {
                        return End::Closed;
                    }
                }
                Batch::Stopped(Stop::Close) => {
                    self.send_the_last().await;
                    return End::Closed;
                }
            }
        }
    }

    /// For what is read next, when `bytes` are missing at least. Whoever has sent no command yet has room for what is missing
    /// now, and no more.
    fn make_room(&mut self, bytes: usize) {
        if self.client.session.is_known() {
            self.buf.reserve(bytes.clamp(READ_BYTES, 1 << 20));
        } else {
            self.buf.reserve(bytes.min(READ_BYTES));
        }
    }

    /// Reads, and sends meanwhile. Sending comes first: whoever takes replies is not given more of them than it takes.
    async fn read(&mut self, mut drained: Pin<&mut Notified<'_>>) -> Result<Read, Lost> {
        loop {
            let limit = self.node.plane.borrow().config.output_limit(self.client.session.class());
            let look_again = self.output.look_again_at(limit);
            // Only such a client can be told of keys that another one keeps without having listened before.
            let may_be_called =
                self.client.inbox.is_none() && self.client.session.protocol() == Protocol::Resp3;
            let summons = may_be_called.then(|| Rc::clone(&self.client.info.borrow().summons));
            let moved = tokio::select! {
                biased;
                moved = self.output.advance(&mut self.to, &self.node), if !self.output.is_idle() => moved,
                read = self.from.read_buf(&mut self.buf) => return Ok(match read {
                    Ok(bytes @ 1..) => {
                        self.node.plane.borrow_mut().stats.received(bytes);
                        Read::Some
                    }
                    Ok(0) | Err(_) => Read::End,
                }),
                () = drained.as_mut() => return Ok(Read::Draining),
                inbox = called(summons.as_deref()), if summons.is_some() => {
                    self.output.listen(&inbox);
                    self.client.inbox = Some(inbox);
                    Ok(())
                }
                () = tokio::time::sleep_until(look_again.unwrap_or_else(Instant::now)), if look_again.is_some() => Ok(()),
            };
            moved?;
            self.account();
        }
    }

    /// Executes complete commands from the buffer until one has to wait.
    fn execute_buffered(&mut self) -> Batch {
        let mut consumed_total = 0;
        let node = Rc::clone(&self.node);
        let mut plane = node.plane.borrow_mut();
        let before = Before::of(&mut plane);
        plane.statistics.stopwatch.begin();
        let mut fetched: usize = 0;
        let knows_no_users = plane.knows_no_users();
        let batch = loop {
            if plane.engine.is_sealed() && plane.primary().is_some() {
                // The checkpoint would lack what is executed now. A replica only says where to go.
                break Batch::Stopped(Stop::Close);
            }
            if self.out.len() >= SEND_BYTES {
                break Batch::Sent;
            }
            let input = &self.buf[consumed_total..];
            let consumed = match self.parser.parse(input) {
                Ok(Parsed::Complete { consumed }) => consumed,
                Ok(Parsed::Incomplete { needed_bytes_at_least }) => {
                    break Batch::NeedMore(needed_bytes_at_least);
                }
                Err(error) => {
                    Writer::new(&mut self.out, self.client.session.protocol()).error(&format!("ERR {error}"));
                    break Batch::Stopped(Stop::Close);
                }
            };
            let args: SmallVec<[&[u8]; 8]> = self.parser.args(input).iter().collect();
            if args.is_empty() {
                consumed_total += consumed;
                continue;
            }
            if knows_no_users {
                break Batch::Stopped(Stop::Park);
            }
            if consumed > COMMAND_BYTES_MAX {
                let text = format!("ERR a command of {consumed} bytes; {COMMAND_BYTES_MAX} are the most");
                Writer::new(&mut self.out, self.client.session.protocol()).error(&text);
                consumed_total += consumed;
                continue;
            }
            if let Some(inbox) = &self.client.inbox {
                inbox.catch_up(&mut self.client.session, &mut self.out);
            }
            if fetched == 0 && consumed < input.len() {
                // Another whole batch if nothing can be told of the next: to look again at each would cost.
                fetched = match plane.keyspace.fetch(FirstArguments::of(input)) {
                    0 => FETCHED_KEYS,
                    keys => keys,
                };
            }
            fetched = fetched.saturating_sub(1);
            match dispatch::run(&mut plane, &mut self.client, &args, &mut self.out) {
                None => {}
                Some(Stop::Park) => {
                    if plane.parked < plane.config.park_commands_max {
                        break Batch::Stopped(Stop::Park);
                    }
                    let why = "too many commands wait for a handover already";
                    dispatch::try_again(&mut plane, &mut self.client, args[0], &mut self.out, why);
                }
                Some(stop @ (Stop::Hold | Stop::Pause)) => break Batch::Stopped(stop),
                Some(stop @ (Stop::Blocked | Stop::Order | Stop::Slow | Stop::Close)) => {
                    consumed_total += consumed;
                    break Batch::Stopped(stop);
                }
            }
            self.parked_since = None;
            consumed_total += consumed;
        };
        self.parser.set_trust(match self.client.session.trusted() {
            Trusted::Yes => Trust::Authenticated,
            Trusted::No => Trust::Unauthenticated,
        });
        if consumed_total > 0 {
            self.client.show(plane.coarse_ms);
            self.doubt_without_a_lease(&before, &mut plane);
        }
        self.feed(&before, plane);
        self.buf.advance(consumed_total);
        if self.buf.is_empty() && self.buf.capacity() > KEEP_BYTES {
            self.buf = BytesMut::with_capacity(READ_BYTES);
        }
        batch
    }

    /// What was executed is of a moment at which this node was the only primary, or nothing is said of it.
    fn doubt_without_a_lease(&mut self, before: &Before, plane: &mut Plane) {
        if before.leased {
            plane.look_at_lease();
            self.doubt = plane.primary_epoch().filter(|_| !plane.is_leased());
        }
    }

    /// Links send what was written since.
    fn feed(&self, before: &Before, plane: RefMut<'_, Plane>) {
        let wrote = plane.offset() != before.end;
        drop(plane);
        if wrote {
            self.node.feed.notify_waiters();
        }
    }

    /// A command may take longer than a lease runs, and this thread takes no answer of the leader meanwhile. Once it has
    /// one, and still owns the shard by the same start, nobody else was primary in between: the replies are true. If it does
    /// not come to that, nothing is said of what was executed.
    async fn out_of_doubt(&mut self) -> Result<(), Lost> {
        let Some(epoch) = self.doubt.take() else { return Ok(()) };
        let park_ms_max = self.node.plane.borrow().view.state.policy.park_ms_max;
        let deadline = Instant::now() + Duration::from_millis(park_ms_max);
        loop {
            let changed = Rc::clone(&self.node.changed);
            let change = changed.notified();
            {
                let mut plane = self.node.plane.borrow_mut();
                if plane.primary_epoch() != Some(epoch) {
                    return Err(Lost);
                }
                plane.look_at_lease();
                if plane.is_leased() {
                    return Ok(());
                }
            }
            if tokio::time::timeout_at(deadline, change).await.is_err() {
                return Err(Lost);
            }
        }
    }

    /// Sends the replies if they may go and nothing is before them; else they are sent when they can be.
    fn hand_on(&mut self) -> Result<(), Lost> {
        if self.client.inbox.is_none() {
            self.client.inbox = self.client.info.borrow().summons.take();
        }
        if let Some(inbox) = &self.client.inbox {
            self.output.listen(inbox);
        }
        let owed = std::mem::take(&mut self.client.owed);
        let after = if owed.is_nothing() {
            None
        } else {
            let mut plane = self.node.plane.borrow_mut();
            match plane.may_reply(owed) {
                Reply::Now => None,
                Reply::After(offset) => Some(plane.waiters.wait(offset)),
                Reply::Lost => return Err(Lost),
            }
        };
        self.replied = self.out.len();
        if self.out.is_empty() {
            return Ok(());
        }
        let mut sent = 0;
        if after.is_none() && self.output.is_empty() {
            match self.to.write_at_once(&self.out) {
                Ok(written) => {
                    sent = written;
                    self.node.plane.borrow_mut().stats.sent(written);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Lost),
            }
        }
        if sent < self.out.len() {
            self.output.push(&mut self.out, sent, after);
        }
        self.out.clear();
        if self.out.capacity() > SEND_BYTES {
            self.out = Vec::with_capacity(1024);
        }
        Ok(())
    }

    /// Says what is kept for this client, and ends it if that is too much.
    fn account(&mut self) {
        let mut plane = self.node.plane.borrow_mut();
        let plane = &mut *plane;
        let kept = Kept {
            output_bytes: self.output.bytes(),
            output_chunks: self.output.chunks(),
            input_bytes: self.buf.capacity().saturating_sub(KEEP_BYTES)
                + self.client.session.queued_bytes()
                + self.client.seat.as_ref().map_or(0, |seat| seat.bytes)
                + self.client.session.subscriptions().bytes(),
            buffers: Buffers {
                query: self.buf.len(),
                query_free: self.buf.capacity() - self.buf.len(),
                reply: self.out.capacity(),
                replied: self.replied,
            },
        };
        plane.clients.account(&self.client, kept, plane.config.maxmemory_clients);
        if !self.output.is_idle()
            && let Some(excess) =
                self.output.excess(plane.config.output_limit(self.client.session.class()), Instant::now())
        {
            plane.clients.end(&self.client.info.borrow(), Closing::Output(excess));
        }
    }

    /// What was executed is answered before the connection ends, if the client still takes it. It may have said all it had
    /// to say, and read on; it may be gone, and only replies that wait for an acknowledgement would find out.
    async fn send_the_last(&mut self) {
        let park_max = Duration::from_millis(self.node.plane.borrow().view.state.policy.park_ms_max);
        // Whoever is gone, or takes nothing for so long, has had its time.
        let _ = tokio::time::timeout(park_max, self.output.flush(&mut self.to, &self.node)).await;
    }

    /// The node stops: everything received was answered. Closing with unread input would reset the
    /// connection under the client's reading of those answers, so: no more from us, then read to its end.
    async fn leave(&mut self) {
        let deadline = self.node.drain_deadline();
        let sent = tokio::time::timeout_at(deadline, self.output.flush(&mut self.to, &self.node)).await;
        if !matches!(sent, Ok(Ok(()))) || self.to.shutdown().await.is_err() {
            return;
        }
        // No part of what every connection takes.
        let mut sink = vec![0; 4096];
        let read_out = async { while let Ok(1..) = self.from.read(&mut sink).await {} };
        // At the deadline the client has had its time; whatever it sends now was never executed.
        let _ = tokio::time::timeout_at(deadline, read_out).await;
    }
}

/// Until somebody calls; for ever, if nobody can.
async fn called(summons: Option<&Summons>) -> Rc<Inbox> {
    match summons {
        Some(summons) => summons.called().await,
        None => std::future::pending().await,
    }
}

enum Batch {
    /// The buffer holds no complete command; about so many bytes are missing.
    NeedMore(usize),
    /// Hand on what there is, then go on.
    Sent,
    Stopped(Stop),
}

/// What came of reading.
enum Read {
    Some,
    End,
    /// The node stops.
    Draining,
}
