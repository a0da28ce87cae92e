//! What the server knows of one client connection.

use super::Door;
use super::blocked::Seat;
use super::inbox::Inbox;
use super::output::Excess;
use super::scripts::Script;
use super::tracking::Changed;
use ironcache_resp::Protocol;
use ironcache_session::{
    Account, Audience, Class, Counts, Evictable, Listening, Listens, Message, Notice, Order, Profile,
    Registry, Session, ShownTracking, Touches, Tracking, TrackingTable, broken_redirect, form,
};
use ironcache_settings::{OutputLimit, OutputLimits};
use ironcache_shard::Owed;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// One connection's state, outside of the sockets and buffers.
pub(crate) struct Client {
    pub session: Session,
    /// What has to be acknowledged before the replies in the buffer may be sent.
    pub owed: Owed,
    /// Which port of other nodes it is sent to.
    pub door: Door,
    /// What it has ordered, and waits for.
    pub order: Option<Order>,
    /// Messages that answer none of its commands, once it listens to something.
    pub inbox: Option<Rc<Inbox>>,
    /// While it is blocked.
    pub seat: Option<Rc<Seat>>,
    /// It has ended itself (`CLIENT KILL`): its connection closes when that is answered.
    pub leaves: bool,
    /// One of its own that is slow: it waits while others have their turn.
    pub script: Option<Box<Script>>,
    pub info: Rc<RefCell<ClientInfo>>,
}

impl Client {
    /// Shows others what this connection is doing: once a batch of commands, so that no command pays for it.
    pub(crate) fn show(&self, now_ms: u64) {
        let (mut info, session) = (self.info.borrow_mut(), &self.session);
        info.last_active_ms = now_ms;
        info.last_command = session.last_command();
        info.protocol = session.protocol();
        info.readonly = session.is_readonly();
        info.listens = session.listens();
        info.subscribed = session.subscriptions().counts();
        if let Some(inbox) = &self.inbox {
            inbox.speak(session.protocol());
        }
        info.evictable = session.evictable();
        info.touches = session.touches();
        info.queued_bytes = session.queued_bytes();
        info.is_known |= session.is_known();
        info.queued = session.queued();
        info.blocked = session.is_blocked();
        if !Rc::ptr_eq(&info.account, session.account()) {
            info.account = Rc::clone(session.account());
        }
        if !Rc::ptr_eq(&info.profile, session.profile()) {
            info.profile = Rc::clone(session.profile());
        }
    }
}

/// Below this a client that has said nothing yet may be about to: a packet that is lost twice comes within 3 s.
const STRANGER_MS: u64 = 5_000;

/// What `CLIENT LIST` shows.
pub(crate) struct ClientInfo {
    pub id: u64,
    pub addr: SocketAddr,
    pub local_addr: SocketAddr,
    pub profile: Rc<Profile>,
    /// Of the user that it acts for.
    pub account: Rc<Account>,
    pub ordering: Ordering,
    pub connected_at_ms: u64,
    pub last_command: &'static str,
    /// Has it sent a whole command, past the password if there is one?
    pub is_known: bool,
    /// When it last sent something, to the precision of [`Plane::coarse_ms`](super::plane::Plane::coarse_ms).
    pub last_active_ms: u64,
    pub protocol: Protocol,
    pub readonly: bool,
    pub listens: Listens,
    pub subscribed: Counts,
    pub evictable: Evictable,
    pub touches: Touches,
    pub tracking: Option<ShownTracking>,
    /// It is to be told something, and does not know by which inbox yet.
    pub summons: Rc<Summons>,
    /// Of the socket; -1 where there is none.
    pub descriptor: i32,
    /// Arguments of the command that was shown last, in bytes.
    pub args_bytes: usize,
    pub queued_bytes: usize,
    /// Commands queued since `MULTI`; `None` outside of a transaction.
    pub queued: Option<usize>,
    /// Does it wait for a reply that only comes when something happens?
    pub blocked: bool,
    pub kept: Kept,
    pub ending: Rc<Ending>,
}

/// Does it wait for what it has ordered (`ACL SETUSER` and the like)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordering {
    Nothing,
    Waits,
    /// What it has ordered ends its own connection too, once that is answered.
    EndsOnceAnswered,
}

impl ClientInfo {
    pub(crate) fn class(&self) -> Class {
        if self.subscribed.total() > 0 { Class::PubSub } else { Class::Normal }
    }

    fn limit(&self, limits: OutputLimits) -> OutputLimit {
        match self.class() {
            Class::Normal => limits.normal,
            Class::PubSub => limits.pubsub,
        }
    }
}

/// What is kept for one client, beyond what every connection takes to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Replies that wait, with what each costs to keep.
    pub output_bytes: usize,
    pub output_chunks: usize,
    /// Commands that have not all arrived, or are queued since `MULTI`.
    pub input_bytes: usize,
    /// The buffers that every connection has, in part or whole: what they hold, and what else they could.
    pub buffers: Buffers,
}

/// Of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buffers {
    /// What came and is no whole command yet.
    pub query: usize,
    pub query_free: usize,
    /// For replies.
    pub reply: usize,
    /// What the last replies took of it.
    pub replied: usize,
}

impl Kept {
    pub(crate) fn bytes(self) -> usize {
        self.output_bytes + self.input_bytes
    }
}

/// Tells a connection's task that it is to end.
#[derive(Default)]
pub(crate) struct Ending {
    why: Cell<Option<Closing>>,
    told: Notify,
}

impl Ending {
    fn end(&self, why: Closing) {
        self.why.set(Some(self.why.get().unwrap_or(why)));
        self.told.notify_one();
    }

    pub(crate) fn is_told(&self) -> bool {
        self.why.get().is_some()
    }

    pub(crate) async fn ends(&self) -> Closing {
        loop {
            if let Some(why) = self.why.get() {
                return why;
            }
            self.told.notified().await;
        }
    }
}

/// Why the node closes a client that would have stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// `client-output-buffer-limit`.
    Output(Excess),
    /// `maxmemory-clients`: of all it took most.
    TookMost { bytes: usize, of_bytes: usize },
    /// `timeout`.
    Silent { for_s: u64 },
    /// `CLIENT KILL`, of another one.
    Killed { by: u64 },
    /// `ACL DELUSER`, or an ACL file that does not name it.
    UserGone,
    /// `ACL SETUSER`, or an ACL file: it listens to what its user may not listen to any more.
    ChannelsGone,
    /// `maxclients`: others came, and it had said nothing.
    Stranger { for_ms: u64 },
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Closing::Output(excess) => write!(f, "{excess} of client-output-buffer-limit"),
            Closing::TookMost { bytes, of_bytes } => write!(
                f,
                "clients take {of_bytes} bytes, above maxmemory-clients, and this one takes most, {bytes}"
            ),
            Closing::Killed { by } => write!(f, "client {by} asked for it (CLIENT KILL)"),
            Closing::Stranger { for_ms } => write!(
                f,
                "it has sent no command for {for_ms} ms since it came, and maxclients others are here or want to be"
            ),
            Closing::UserGone => f.write_str("the user that it acted for was deleted"),
            Closing::ChannelsGone => {
                f.write_str("the user that it acts for may not listen to its channels any more")
            }
            Closing::Silent { for_s } => write!(f, "it has sent nothing for {for_s} s, longer than timeout"),
        }
    }
}

/// Gives an idle connection an inbox that somebody else made for it.
#[derive(Default)]
pub(crate) struct Summons {
    inbox: RefCell<Option<Rc<Inbox>>>,
    told: Notify,
}

impl Summons {
    fn call(&self, inbox: &Rc<Inbox>) {
        *self.inbox.borrow_mut() = Some(Rc::clone(inbox));
        self.told.notify_one();
    }

    pub(super) fn take(&self) -> Option<Rc<Inbox>> {
        self.inbox.take()
    }

    /// Until there is one.
    pub(super) async fn called(&self) -> Rc<Inbox> {
        loop {
            if let Some(inbox) = self.take() {
                return inbox;
            }
            self.told.notified().await;
        }
    }
}

/// A client was left a message, and so much waits for it now.
struct Told {
    client: u64,
    bytes: usize,
}

/// All connections, by id.
#[derive(Default)]
pub(crate) struct Clients {
    next: u64,
    list: BTreeMap<u64, Rc<RefCell<ClientInfo>>>,
    /// Of all that ever listened to anything.
    inboxes: BTreeMap<u64, Rc<Inbox>>,
    monitors: BTreeMap<u64, Rc<Inbox>>,
    channels: Registry<Rc<Inbox>>,
    tracking: TrackingTable,
    pub total: u64,
    /// Of all that are not told to end.
    kept_bytes: usize,
}

impl Clients {
    /// One more client, if there are fewer than `most` or one that has said nothing makes room for it.
    pub(crate) fn admit(
        &mut self,
        most: usize,
        addr: SocketAddr,
        local_addr: SocketAddr,
        now_ms: u64,
        everybody: &Rc<Account>,
        door: Door,
    ) -> Option<Client> {
        if self.list.len() >= most && self.make_room(now_ms) == Room::None {
            return None;
        }
        Some(self.connect(addr, local_addr, now_ms, everybody, door))
    }

    pub(crate) fn connect(
        &mut self,
        addr: SocketAddr,
        local_addr: SocketAddr,
        now_ms: u64,
        everybody: &Rc<Account>,
        door: Door,
    ) -> Client {
        self.next += 1;
        self.total += 1;
        let session = Session::new(self.next, everybody);
        let info = Rc::new(RefCell::new(ClientInfo {
            id: self.next,
            addr,
            local_addr,
            profile: Rc::clone(session.profile()),
            account: Rc::clone(session.account()),
            ordering: Ordering::Nothing,
            connected_at_ms: now_ms,
            last_command: session.last_command(),
            is_known: false,
            last_active_ms: now_ms,
            protocol: session.protocol(),
            readonly: false,
            listens: session.listens(),
            subscribed: Counts::default(),
            evictable: session.evictable(),
            touches: session.touches(),
            tracking: None,
            summons: Rc::default(),
            descriptor: -1,
            args_bytes: 0,
            queued_bytes: 0,
            queued: None,
            blocked: false,
            kept: Kept::default(),
            ending: Rc::default(),
        }));
        self.list.insert(self.next, Rc::clone(&info));
        Client {
            session,
            owed: Owed::default(),
            door,
            order: None,
            inbox: None,
            seat: None,
            leaves: false,
            script: None,
            info,
        }
    }

    /// Has a client sent what it listens to from now on.
    pub(crate) fn listen(&mut self, client: &mut Client, to: Listening) {
        let id = client.session.id();
        match to {
            Listening::Nothing(left) => {
                self.monitors.remove(&id);
                self.channels.forget(id, &left);
                self.track(client);
            }
            Listening::Tracked => self.track(client),
            Listening::Monitor => {
                let inbox = self.inbox(client);
                self.monitors.insert(id, inbox);
            }
            Listening::Topics(changes) => {
                let inbox = self.inbox(client);
                changes.into_iter().for_each(|change| self.channels.change(id, &inbox, change));
                client.info.borrow_mut().subscribed = client.session.subscriptions().counts();
            }
        }
    }

    fn inbox(&mut self, client: &mut Client) -> Rc<Inbox> {
        let (id, protocol) = (client.session.id(), client.session.protocol());
        let inbox = self.inboxes.entry(id).or_insert_with(|| Rc::new(Inbox::new(id, protocol)));
        Rc::clone(client.inbox.get_or_insert_with(|| Rc::clone(inbox)))
    }

    /// What a client has tracked may have changed.
    fn track(&mut self, client: &mut Client) {
        let tracking = client.session.tracking();
        self.tracking.set(client.session.id(), tracking);
        client.info.borrow_mut().tracking = tracking.map(Tracking::shown);
        if tracking.is_some() {
            self.inbox(client);
        }
    }

    /// Is there a client that keeps what it has read?
    #[inline]
    pub(crate) fn is_tracked(&self) -> bool {
        self.tracking.is_in_use()
    }

    pub(crate) fn tracking(&self) -> &TrackingTable {
        &self.tracking
    }

    pub(super) fn remember<'k>(
        &mut self,
        client: u64,
        keys: impl Iterator<Item = &'k [u8]>,
        most: usize,
        limits: OutputLimits,
        most_bytes: u64,
    ) {
        let notices = self.tracking.remember(client, keys, most);
        self.notify(&notices, limits, most_bytes);
    }

    pub(super) fn tell_of_changed(
        &mut self,
        changed: &Changed,
        by: Option<u64>,
        limits: OutputLimits,
        most_bytes: u64,
    ) {
        if changed.all {
            self.tell_of_all(limits, most_bytes);
        }
        let notices = self.tracking.changed(changed.keys.iter().map(|key| &**key), by);
        self.notify(&notices, limits, most_bytes);
    }

    /// Nothing that anybody keeps may be so any longer.
    pub(super) fn tell_of_all(&mut self, limits: OutputLimits, most_bytes: u64) {
        let notices = self.tracking.all_changed();
        self.notify(&notices, limits, most_bytes);
    }

    fn notify(&mut self, notices: &[Notice], limits: OutputLimits, most_bytes: u64) {
        let mut told = Vec::new();
        for notice in notices {
            let Notice { client, redirect, broken, keys: _ } = notice;
            let is_redirected = *redirect != 0;
            let reader = if is_redirected { *redirect } else { *client };
            if let Some(info) = self.list.get(&reader).map(Rc::clone) {
                let is_subscribed = info.borrow().subscribed.total() > 0;
                if let Some(form) = form(self.protocol_of(&info), is_redirected, is_subscribed) {
                    let bytes = self.inbox_of(&info).push_bytes(&notice.bytes(form));
                    told.push(Told { client: reader, bytes });
                }
                continue;
            }
            broken.set(true);
            let Some(info) = self.list.get(client).map(Rc::clone) else { continue };
            if self.protocol_of(&info) == Protocol::Resp3 {
                let bytes = self.inbox_of(&info).push_bytes(&broken_redirect(*redirect));
                told.push(Told { client: *client, bytes });
            }
        }
        self.bound(told, limits, most_bytes);
    }

    /// In which it is told now.
    fn protocol_of(&self, info: &RefCell<ClientInfo>) -> Protocol {
        let info = info.borrow();
        self.inboxes.get(&info.id).map_or(info.protocol, |inbox| inbox.protocol())
    }

    /// Of a client that may have none yet.
    fn inbox_of(&mut self, info: &RefCell<ClientInfo>) -> Rc<Inbox> {
        let info = info.borrow();
        let inbox = self.inboxes.entry(info.id).or_insert_with(|| {
            let inbox = Rc::new(Inbox::new(info.id, info.protocol));
            info.summons.call(&inbox);
            inbox
        });
        Rc::clone(inbox)
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.list.contains_key(&id)
    }

    /// Who listens to which channels.
    pub(crate) fn channels(&self) -> &Registry<Rc<Inbox>> {
        &self.channels
    }

    #[inline]
    pub(crate) fn is_monitored(&self) -> bool {
        !self.monitors.is_empty()
    }

    /// A message for each monitor.
    pub(crate) fn tell_monitors(&mut self, message: &[u8], limits: OutputLimits, most_bytes: u64) {
        let told: Vec<Told> = self
            .monitors
            .values()
            .map(|inbox| Told { client: inbox.client(), bytes: inbox.push_bytes(message) })
            .collect();
        self.bound(told, limits, most_bytes);
    }

    /// A message for each that listens to the channel; answers how many those are.
    pub(crate) fn publish(
        &mut self,
        audience: Audience,
        channel: &[u8],
        payload: &[u8],
        limits: OutputLimits,
        most_bytes: u64,
    ) -> usize {
        let mut told = Vec::new();
        let count = self.channels.publish(audience, channel, payload, |inbox, message| {
            told.push(Told { client: inbox.client(), bytes: inbox.push(message) });
        });
        self.bound(told, limits, most_bytes);
        count
    }

    /// This node does not serve its shard any more: nobody listens to channels of it here.
    pub(crate) fn end_shard(&mut self, limits: OutputLimits, most_bytes: u64) {
        let mut told = Vec::new();
        self.channels.end_shard(|inbox: &Rc<Inbox>, message: &Message| {
            inbox.lose_shard();
            told.push(Told { client: inbox.client(), bytes: inbox.push(message) });
        });
        for Told { client, .. } in &told {
            if let Some(info) = self.list.get(client) {
                info.borrow_mut().subscribed.shard = 0;
            }
        }
        self.bound(told, limits, most_bytes);
    }

    /// Notes what waits for clients that were told something, and ends those for whom it is too much.
    fn bound(&mut self, told: Vec<Told>, limits: OutputLimits, most_bytes: u64) {
        for Told { client, bytes } in told {
            let Some(info) = self.list.get(&client).map(Rc::clone) else { continue };
            if info.borrow().ending.is_told() {
                continue;
            }
            self.kept_bytes = self.kept_bytes + bytes - info.borrow().kept.output_bytes;
            info.borrow_mut().kept.output_bytes = bytes;
            let hard_bytes = info.borrow().limit(limits).hard_bytes;
            if hard_bytes > 0 && bytes as u64 > hard_bytes {
                self.end(&info.borrow(), Closing::Output(Excess::Hard { bytes }));
            }
        }
        self.bound_all(most_bytes);
    }

    /// Ends whoever leaves more unread than it may for longer than it may: such a client does nothing by itself.
    pub(crate) fn end_excess(&mut self, limits: OutputLimits, now: Instant) {
        let inboxes: Vec<Rc<Inbox>> = self.inboxes.values().map(Rc::clone).collect();
        for inbox in inboxes {
            let Some(info) = self.list.get(&inbox.client()).map(Rc::clone) else { continue };
            let limit = info.borrow().limit(limits);
            if let Some(excess) = inbox.excess(limit, now)
                && !info.borrow().ending.is_told()
            {
                self.end(&info.borrow(), Closing::Output(excess));
            }
        }
    }

    /// A client that may have listened to something is gone.
    pub(crate) fn leave(&mut self, client: &Client) {
        let id = client.session.id();
        self.channels.forget(id, client.session.subscriptions());
        self.disconnect(id);
    }

    /// A client that has said nothing yet is gone.
    pub(crate) fn disconnect(&mut self, id: u64) {
        self.monitors.remove(&id);
        self.tracking.set(id, None);
        self.inboxes.remove(&id);
        if let Some(info) = self.list.remove(&id) {
            self.forget(&info.borrow());
        }
    }

    fn forget(&mut self, info: &ClientInfo) {
        if !info.ending.is_told() {
            self.kept_bytes -= info.kept.bytes();
        }
    }

    /// Notes what is kept for a client now. Above `most_bytes` of all of them (0: no bound) whoever takes most is ended.
    pub(crate) fn account(&mut self, client: &Client, kept: Kept, most_bytes: u64) {
        let mut info = client.info.borrow_mut();
        let before = std::mem::replace(&mut info.kept, kept);
        if before == kept || info.ending.is_told() {
            return;
        }
        self.kept_bytes = self.kept_bytes + kept.bytes() - before.bytes();
        drop(info);
        self.bound_all(most_bytes);
    }

    fn bound_all(&mut self, most_bytes: u64) {
        while most_bytes > 0 && self.kept_bytes as u64 > most_bytes {
            let may_end = |info: &ClientInfo| !info.ending.is_told() && info.evictable == Evictable::Yes;
            let open = self.list.values().filter(|info| may_end(&info.borrow()));
            let Some(most) = open.max_by_key(|info| info.borrow().kept.bytes()) else { return };
            let most = Rc::clone(most);
            let info = most.borrow();
            let (bytes, of_bytes) = (info.kept.bytes(), self.kept_bytes);
            self.end(&info, Closing::TookMost { bytes, of_bytes });
        }
    }

    /// What is kept for all of them.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// The most that is kept for one of them: of what came, and of what goes.
    pub(crate) fn most_kept(&self) -> (usize, usize) {
        let most = |of: fn(&Kept) -> usize| self.list.values().map(|info| of(&info.borrow().kept)).max();
        (most(|kept| kept.input_bytes).unwrap_or(0), most(|kept| kept.output_bytes).unwrap_or(0))
    }

    /// Ends every client that is not blocked, and has sent nothing for `for_s` seconds (0: none).
    pub(crate) fn end_silent(&mut self, now_ms: u64, for_s: u64) {
        if for_s == 0 {
            return;
        }
        // Who is blocked has nothing to say.
        let is_silent =
            |info: &ClientInfo| !info.blocked && now_ms.saturating_sub(info.last_active_ms) / 1000 >= for_s;
        let silent: Vec<_> =
            self.list.values().filter(|info| is_silent(&info.borrow())).map(Rc::clone).collect();
        for info in silent {
            self.end(&info.borrow(), Closing::Silent { for_s });
        }
    }

    /// Ends the client that has been here longest without a command, if any has for [`STRANGER_MS`]: a place for one more.
    pub(crate) fn make_room(&mut self, now_ms: u64) -> Room {
        let here_ms = |info: &ClientInfo| now_ms.saturating_sub(info.connected_at_ms);
        // In the order in which they came.
        let stranger = self.list.values().find(|info| {
            let info = info.borrow();
            !info.is_known && !info.ending.is_told() && here_ms(&info) >= STRANGER_MS
        });
        let Some(stranger) = stranger.map(Rc::clone) else { return Room::None };
        let info = stranger.borrow();
        self.end(&info, Closing::Stranger { for_ms: here_ms(&info) });
        Room::Made
    }

    /// Ends every client that acts for one of these.
    pub(crate) fn end_of_users(&mut self, gone: &[Rc<Account>]) {
        let acts = |info: &ClientInfo| gone.iter().any(|account| Rc::ptr_eq(account, &info.account));
        let theirs: Vec<_> = self.list.values().filter(|info| acts(&info.borrow())).map(Rc::clone).collect();
        theirs.iter().for_each(|info| self.end_once_answered(info, Closing::UserGone));
    }

    /// Of those who act for one of these, ends every client that listens to what it may not.
    pub(crate) fn end_of_listeners(&mut self, narrowed: &[Rc<Account>]) {
        if narrowed.is_empty() {
            return;
        }
        let beyond = self.channels.beyond(|id, kind, topic| {
            let account = self.list.get(&id).map(|info| Rc::clone(&info.borrow().account));
            let is_theirs = |one: &Rc<Account>| narrowed.iter().any(|account| Rc::ptr_eq(account, one));
            account.filter(is_theirs).is_none_or(|account| account.may_listen_to(kind, topic))
        });
        let theirs: Vec<_> = beyond.iter().filter_map(|id| self.list.get(id)).map(Rc::clone).collect();
        theirs.iter().for_each(|info| self.end_once_answered(info, Closing::ChannelsGone));
    }

    /// Ends a client; one that ordered what ends it hears what became of that first.
    fn end_once_answered(&mut self, info: &RefCell<ClientInfo>, why: Closing) {
        if info.borrow().ordering == Ordering::Nothing {
            self.end(&info.borrow(), why);
        } else {
            info.borrow_mut().ordering = Ordering::EndsOnceAnswered;
        }
    }

    /// Its connection ends as soon as its task runs; what is kept for it does not count any more.
    pub(crate) fn end(&mut self, info: &ClientInfo, why: Closing) {
        self.forget(info);
        if let Some(inbox) = self.inboxes.get(&info.id) {
            inbox.close();
        }
        info.ending.end(why);
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

/// Is there a place for one more?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    None,
    Made,
}
