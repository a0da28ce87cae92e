//! One client connection: read, execute what has arrived, wait for what the replies depend on, write.
//!
//! ```text
//!  read ─► parse ─► dispatch ─► out ─┬─ owed? ─► wait for acknowledgement ─► write
//!                      │             └─ lost role ─► close, nothing is said
//!                      └─ Park, Hold: the command stays in the buffer, unexecuted
//! ```
//!
//! *Invariant:* replies leave in the order of the commands, and none before what it tells of may be
//! acknowledged.
//! *Invariant:* a primary's lease is looked at before a batch is executed and after it; if it ended in between, the connection
//! closes, and nothing is said of what the batch came to.
//! *Invariant:* a command that was answered `MOVED`, `TRYAGAIN` or `CLUSTERDOWN` was not executed, and never will be.

use super::DataNode;
use super::acks::{Ticket, Verdict};
use super::client::{Client, Owed, Trusted};
use super::dispatch::{self, COMMAND_BYTES_MAX, Turn};
use super::plane::Reply;
use crate::clock::unix_ms;
use bytes::{Buf, BytesMut};
use ironcache_host::net::{TcpStream, gone, read_arrived};
use ironcache_resp::{CommandParser, Limits, Parsed, Trust, Writer};
use ironcache_types::{Epoch, Offset};
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// Read at a time. Sixteen pipelined commands of 100 bytes fit many times; more would cost idle memory.
const READ_BYTES: usize = 16 << 10;
/// Replies are sent on when this much is waiting, so that a long pipeline does not grow without bound.
const SEND_BYTES: usize = 256 << 10;
/// Buffers above this are given back after use.
const KEEP_BYTES: usize = 64 << 10;

/// Serves one client until it leaves, errs, or the node drains.
pub(super) async fn serve(node: Rc<DataNode>, stream: TcpStream, addr: SocketAddr) {
    let local = stream.local_addr().unwrap_or(addr);
    // Without it a reply can wait 40 ms for the client's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%addr, %error, "a client left before it was served");
        return;
    }
    let client = {
        let mut plane = node.plane.borrow_mut();
        let trusted = if plane.requirepass.is_empty() { Trusted::Yes } else { Trusted::No };
        plane.clients.connect(addr, local, unix_ms(), trusted)
    };
    let id = client.id;
    let drain = Rc::clone(&node.drain);
    let mut drained = std::pin::pin!(drain.notified());
    let mut connection = Connection {
        parser: CommandParser::new(Limits::default()),
        node: Rc::clone(&node),
        stream,
        client,
        buf: BytesMut::with_capacity(READ_BYTES),
        out: Vec::with_capacity(1024),
        parked_since: None,
        doubt: None,
    };
    let end = connection.run(drained.as_mut()).await;
    if end == End::Drained {
        connection.leave().await;
    }
    node.plane.borrow_mut().clients.disconnect(id);
}

struct Connection {
    node: Rc<DataNode>,
    stream: TcpStream,
    client: Client,
    parser: CommandParser,
    buf: BytesMut,
    out: Vec<u8>,
    /// When the command at the start of `buf` was first held back.
    parked_since: Option<Instant>,
    /// The lease ended while something was executed, as the primary of this ownership epoch.
    doubt: Option<Epoch>,
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
            if self.out_of_doubt().await.is_err() {
                return End::Closed;
            }
            let replies = !self.out.is_empty() || !self.client.owed.is_nothing();
            if self.send().await.is_err() {
                return End::Closed;
            }
            match turn {
                Batch::NeedMore(bytes) => {
                    self.buf.reserve(bytes.clamp(READ_BYTES, 1 << 20));
                    if self.node.is_draining() {
                        // What has arrived is answered; what comes later is not.
                        match read_arrived(&mut self.stream, &mut self.buf) {
                            Ok(1..) => continue,
                            Ok(0) | Err(_) => return End::Drained,
                        }
                    }
                    let read = tokio::select! {
                        biased;
                        read = self.stream.read_buf(&mut self.buf) => read,
                        () = drained.as_mut() => continue,
                    };
                    match read {
                        Ok(0) | Err(_) => return End::Closed,
                        Ok(_) => {}
                    }
                }
                Batch::Sent => {}
                // Roles may have changed while the replies were sent: park only on what is so now.
                Batch::Parked | Batch::Held if replies => {}
                Batch::Parked => match self.park().await {
                    Parked::Retry => {}
                    Parked::TooLong => self.give_up_parking(),
                    Parked::Gone => return End::Closed,
                },
                Batch::Held => match self.hold().await {
                    Held::Retry => {}
                    Held::Gone => return End::Closed,
                },
                Batch::Wait { replicas, timeout_ms, offset } => {
                    if self.wait_for_replicas(replicas, timeout_ms, offset).await.is_err() {
                        return End::Closed;
                    }
                }
                Batch::Close => return End::Closed,
            }
        }
    }

    /// Executes complete commands from the buffer until one has to wait.
    fn execute_buffered(&mut self) -> Batch {
        let mut consumed_total = 0;
        let node = Rc::clone(&self.node);
        let mut plane = node.plane.borrow_mut();
        let end_before = plane.offset();
        plane.look_at_lease();
        let leased = plane.is_leased();
        let batch = loop {
            if plane.is_sealed() && plane.primary().is_some() {
                // The checkpoint would lack what is executed now. A replica only says where to go.
                break Batch::Close;
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
                    Writer::new(&mut self.out, self.client.protocol).error(&format!("ERR {error}"));
                    break Batch::Close;
                }
            };
            let args: SmallVec<[&[u8]; 8]> = self.parser.args(input).iter().collect();
            if args.is_empty() {
                consumed_total += consumed;
                continue;
            }
            if consumed > COMMAND_BYTES_MAX {
                let text = format!("ERR a command of {consumed} bytes; {COMMAND_BYTES_MAX} are the most");
                Writer::new(&mut self.out, self.client.protocol).error(&text);
                consumed_total += consumed;
                continue;
            }
            match dispatch::run(&mut plane, &mut self.client, &args, &mut self.out) {
                Turn::Done => {}
                Turn::Park => {
                    if plane.parked < plane.config.park_commands_max {
                        break Batch::Parked;
                    }
                    let why = "too many commands wait for a handover already";
                    dispatch::try_again(&mut plane, &mut self.client, args[0], &mut self.out, why);
                }
                Turn::Hold => break Batch::Held,
                Turn::Wait { replicas, timeout_ms, offset } => {
                    consumed_total += consumed;
                    break Batch::Wait { replicas, timeout_ms, offset };
                }
                Turn::Close => {
                    consumed_total += consumed;
                    break Batch::Close;
                }
            }
            self.parked_since = None;
            consumed_total += consumed;
        };
        let trust = if self.client.authenticated { Trust::Authenticated } else { Trust::Unauthenticated };
        self.parser.set_trust(trust);
        if consumed_total > 0 {
            self.client.show(plane.coarse_ms);
        }
        let wrote = plane.offset() != end_before;
        // What was executed is of a moment at which this node was the only primary, or nothing is said of it.
        if leased && consumed_total > 0 {
            plane.look_at_lease();
            self.doubt = plane.primary_epoch().filter(|_| !plane.is_leased());
        }
        drop(plane);
        if wrote {
            self.node.feed.notify_waiters();
        }
        self.buf.advance(consumed_total);
        if self.buf.is_empty() && self.buf.capacity() > KEEP_BYTES {
            self.buf = BytesMut::with_capacity(READ_BYTES);
        }
        batch
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

    /// Sends the replies, once what they tell of may be acknowledged.
    async fn send(&mut self) -> Result<(), Lost> {
        if !self.client.owed.is_nothing() {
            let owed = std::mem::take(&mut self.client.owed);
            let ticket = {
                let mut plane = self.node.plane.borrow_mut();
                match plane.may_reply(owed) {
                    Reply::Now => None,
                    Reply::After(offset) => Some(plane.waiters.wait(offset)),
                    Reply::Lost => return Err(Lost),
                }
            };
            if let Some(ticket) = ticket
                && self.acknowledged(ticket).await == Verdict::Lost
            {
                return Err(Lost);
            }
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let sent = self.stream.write_all(&self.out).await;
        self.out.clear();
        if self.out.capacity() > SEND_BYTES {
            self.out = Vec::with_capacity(1024);
        }
        sent.map_err(|_| Lost)
    }

    /// What becomes of a reply that has to wait. What was executed and is not acknowledged while the cluster is down may
    /// be lost or not: nobody can tell, and the connection is closed instead of kept waiting for ever.
    async fn acknowledged(&self, mut ticket: Ticket) -> Verdict {
        let park_max = Duration::from_millis(self.node.plane.borrow().view.state.policy.park_ms_max);
        loop {
            tokio::select! {
                biased;
                verdict = &mut ticket => return verdict,
                () = tokio::time::sleep(park_max) => {
                    if self.node.plane.borrow().is_down().is_some() {
                        return Verdict::Lost;
                    }
                }
            }
        }
    }

    /// Holds the next command back until who serves it may have changed.
    async fn park(&mut self) -> Parked {
        let since = *self.parked_since.get_or_insert_with(Instant::now);
        let changed = Rc::clone(&self.node.changed);
        let (deadline, changed) = {
            let plane = self.node.plane.borrow();
            (since + Duration::from_millis(plane.view.state.policy.park_ms_max), changed.notified())
        };
        self.node.plane.borrow_mut().parked += 1;
        let outcome = tokio::select! {
            biased;
            // First: a command whose client has gone is not executed, whatever was decided meanwhile.
            () = gone(&self.stream) => Parked::Gone,
            () = changed => Parked::Retry,
            () = tokio::time::sleep_until(deadline) => Parked::TooLong,
        };
        self.node.plane.borrow_mut().parked -= 1;
        outcome
    }

    /// Holds the next command back until replicas have taken more of the stream. There is no deadline of its own: who
    /// takes nothing is not waited for much longer, and who takes something lets it go on. A change of roles ends it too.
    async fn hold(&mut self) -> Held {
        self.parked_since = None;
        let (acked, changed) = (Rc::clone(&self.node.acked), Rc::clone(&self.node.changed));
        let (progress, change) = (acked.notified(), changed.notified());
        self.node.plane.borrow_mut().parked += 1;
        let outcome = tokio::select! {
            biased;
            () = gone(&self.stream) => Held::Gone,
            () = progress => Held::Retry,
            () = change => Held::Retry,
        };
        self.node.plane.borrow_mut().parked -= 1;
        outcome
    }

    /// Takes the held-back command out of the buffer and answers that it was not executed.
    fn give_up_parking(&mut self) {
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
                    let why = "the shard has no primary at the moment";
                    dispatch::try_again(&mut plane, &mut self.client, name, &mut self.out, why);
                }
            }
            drop(plane);
            self.buf.advance(consumed);
        }
    }

    /// `WAIT`: answers how many replicas have applied this client's last write. Nobody tells any more once the role
    /// is lost: then it answers how many were known to, as at a timeout.
    async fn wait_for_replicas(
        &mut self,
        replicas: usize,
        timeout_ms: u64,
        offset: Offset,
    ) -> Result<(), Lost> {
        let deadline = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        let (acked, changed) = (Rc::clone(&self.node.acked), Rc::clone(&self.node.changed));
        let epoch = self.node.plane.borrow().primary_epoch();
        let mut holders = 0;
        loop {
            let (progress, change) = (acked.notified(), changed.notified());
            {
                let plane = self.node.plane.borrow();
                match plane.primary() {
                    Some(primary) if Some(primary.epoch) == epoch => holders = primary.gate.holders(offset),
                    Some(_) | None => break,
                }
            }
            if holders >= replicas || self.node.is_draining() {
                break;
            }
            let timeout = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = progress => {}
                () = change => {}
                () = timeout => break,
                () = gone(&self.stream) => return Err(Lost),
            }
        }
        Writer::new(&mut self.out, self.client.protocol).count(holders);
        self.client.owed = Owed::default();
        Ok(())
    }

    /// The node stops: everything received was answered. Closing with unread input would reset the
    /// connection under the client's reading of those answers, so: no more from us, then read to its end.
    async fn leave(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let deadline = self.node.drain_deadline();
        let mut sink = [0u8; 4096];
        let read_out = async { while let Ok(1..) = self.stream.read(&mut sink).await {} };
        // At the deadline the client has had its time; whatever it sends now was never executed.
        let _ = tokio::time::timeout_at(deadline, read_out).await;
    }
}

enum Batch {
    /// The buffer holds no complete command; about so many bytes are missing.
    NeedMore(usize),
    /// Send what there is, then go on.
    Sent,
    Parked,
    Held,
    Wait {
        replicas: usize,
        timeout_ms: u64,
        offset: Offset,
    },
    Close,
}

enum Parked {
    Retry,
    TooLong,
    Gone,
}

enum Held {
    Retry,
    Gone,
}

/// The connection cannot be answered any more.
struct Lost;
