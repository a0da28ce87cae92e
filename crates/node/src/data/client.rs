//! What the server knows of one client connection.

use ironcache_resp::Protocol;
use ironcache_shard::Owed;
use ironcache_types::Epoch;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

/// One connection's state, outside of the sockets and buffers.
pub(crate) struct Client {
    pub id: u64,
    pub protocol: Protocol,
    pub authenticated: bool,
    /// `READONLY`: reads on a replica are answered there.
    pub readonly: bool,
    /// Commands queued since `MULTI`.
    pub transaction: Option<Transaction>,
    /// `WATCH`ed slots, each with the offset of its last write then.
    pub watched: Vec<(u16, u64)>,
    /// The ownership epoch in which the first of them was watched. Another one's offsets say nothing about it.
    pub watched_in: Option<Epoch>,
    /// Where this client's last write ended: what `WAIT` waits for.
    pub last_write: u64,
    /// What has to be acknowledged before the replies in the buffer may be sent.
    pub owed: Owed,
    pub info: Rc<RefCell<ClientInfo>>,
}

#[derive(Default)]
pub(crate) struct Transaction {
    pub commands: Vec<Vec<Vec<u8>>>,
    /// Their arguments, with what each costs to keep.
    pub bytes: usize,
    /// A command was refused while queueing: `EXEC` answers `EXECABORT`.
    pub spoilt: bool,
}

impl Client {
    /// Shows others what this connection is doing: once a batch of commands, so that no command pays for it.
    pub(crate) fn show(&self, now_ms: u64) {
        let mut info = self.info.borrow_mut();
        info.last_active_ms = now_ms;
        info.readonly = self.readonly;
        info.queued = self.transaction.as_ref().map(|transaction| transaction.commands.len());
    }

    /// Ends `MULTI` and `WATCH`: nothing that was queued is ever executed.
    pub(crate) fn forget_transaction(&mut self) {
        self.transaction = None;
        self.watched.clear();
    }
}

/// What `CLIENT LIST` shows.
pub(crate) struct ClientInfo {
    pub id: u64,
    pub addr: SocketAddr,
    pub local_addr: SocketAddr,
    pub name: String,
    pub lib_name: String,
    pub lib_version: String,
    pub connected_at_ms: u64,
    pub last_command: &'static str,
    /// When it last sent something, to the precision of [`Plane::coarse_ms`](super::plane::Plane::coarse_ms).
    pub last_active_ms: u64,
    pub resp: u8,
    pub readonly: bool,
    /// Commands queued since `MULTI`; `None` outside of a transaction.
    pub queued: Option<usize>,
}

/// All connections, by id.
#[derive(Default)]
pub(crate) struct Clients {
    next: u64,
    list: BTreeMap<u64, Rc<RefCell<ClientInfo>>>,
    pub total: u64,
}

impl Clients {
    pub(crate) fn connect(
        &mut self,
        addr: SocketAddr,
        local_addr: SocketAddr,
        now_ms: u64,
        trusted: Trusted,
    ) -> Client {
        self.next += 1;
        self.total += 1;
        let info = Rc::new(RefCell::new(ClientInfo {
            id: self.next,
            addr,
            local_addr,
            name: String::new(),
            lib_name: String::new(),
            lib_version: String::new(),
            connected_at_ms: now_ms,
            last_command: "NULL",
            last_active_ms: now_ms,
            resp: 2,
            readonly: false,
            queued: None,
        }));
        self.list.insert(self.next, Rc::clone(&info));
        Client {
            id: self.next,
            protocol: Protocol::Resp2,
            authenticated: trusted == Trusted::Yes,
            readonly: false,
            transaction: None,
            watched: Vec::new(),
            watched_in: None,
            last_write: 0,
            owed: Owed::default(),
            info,
        }
    }

    pub(crate) fn disconnect(&mut self, id: u64) {
        self.list.remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<RefCell<ClientInfo>>> {
        self.list.values()
    }
}

/// Does a new connection count as authenticated?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trusted {
    Yes,
    /// A password is set: `AUTH` comes first.
    No,
}
