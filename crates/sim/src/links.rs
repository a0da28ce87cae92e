//! The links of replicas: the counterpart of the product's `data/follower` (the dialler's end) and `data/source` (the other).
//!
//! *Invariant:* nothing is decided here: whom a node follows, what it tells whom, and whom it attaches the engine says.

use crate::scenario::levels;
use crate::stream::{Store, Write};
use crate::wire::{Far, Link, Near, Receiving, Sending, Word};
use crate::world::World;
use ironcache_replication::{
    ChunkAct, Purpose, ReplicaCursor, Source, SyncBegin, SyncChunk, SyncEnd, SyncMode,
};
use ironcache_shard::{Attached, Follow, Now, StandBy};
use ironcache_types::{Level, Member, NodeId, Slot};

/// As the product's, for simulated machines, on which everything is over in seconds.
const PING_MS: u64 = 50;
/// The product gives a link up after 10 s of silence; runs have faults of up to 6 s in all, in 15.
const SILENCE_MS: u64 = 1_000;
/// How long something may be ahead of a node's view.
const VIEW_MS: u64 = 500;
/// A link is dialled again within this.
const RETRY_MS: u64 = 100;
/// Writes sent at a time: a replica lags in between.
pub(crate) const COPY: usize = 40;
/// How long a full sync takes at most.
const SYNC_MS: u64 = 60;

/// Why a link ends; the other end sees only that it did, unless it is told.
pub(crate) enum Ended {
    Silently,
    Refused(String),
}

impl World {
    /// Does what its links ask of a node.
    pub(crate) fn links_tick(&mut self, id: NodeId) {
        let mut links = std::mem::take(&mut self.links);
        self.dial(id, &mut links);
        self.dial_kept(id, &mut links);
        for link in &mut links {
            if link.dialer.node == id {
                self.near_tick(link);
            }
            if link.acceptor.node == id {
                self.far_tick(link);
            }
        }
        links.retain(|link| !link.is_over());
        self.links = links;
    }

    /// The ends of processes that are gone.
    pub(crate) fn close_dead_links(&mut self) {
        let mut links = std::mem::take(&mut self.links);
        for link in &mut links {
            let is_there = |member: Member| self.process(member.node).is_some_and(|p| p.me == member);
            let (dials, accepts) = (is_there(link.dialer), is_there(link.acceptor));
            if !dials && !matches!(link.near, Near::Gone) {
                link.hang_up(self.now_ms, &mut self.wire);
            }
            if !accepts && !matches!(link.far, Far::Gone) {
                link.turn_away(self.now_ms, &mut self.wire);
            }
        }
        links.retain(|link| !link.is_over());
        self.links = links;
    }

    // --- the replica's end -----------------------------------------------------------------------------------

    fn dial(&mut self, id: NodeId, links: &mut Vec<Link>) {
        let (now_ms, process) = (self.now_ms, self.process(id).expect("it ticks"));
        let me = process.me;
        let wanted = process.engine.sources();
        let is_mine = |link: &Link| link.dialer == me && matches!(link.near, Near::Replica(_));
        for link in links.iter_mut().filter(|link| is_mine(link) && !wanted.contains(&link.acceptor)) {
            self.unfollow(link);
        }
        for to in wanted {
            let process = self.process(id).expect("it ticks");
            let is_due = process.dial_at_ms.get(&to).is_none_or(|at_ms| now_ms >= *at_ms);
            if !is_due || links.iter().any(|link| is_mine(link) && link.acceptor == to) {
                continue;
            }
            let hello = process.engine.introduce(to, levels(&process.release));
            self.redial(id, to);
            let is_there =
                self.process(to.node).is_some_and(|p| p.me == to) && !self.is_cut_between(id, to.node);
            if let (Ok(Some(hello)), true) = (hello, is_there) {
                links.push(Link::open(hello, to, Near::Replica, now_ms, &mut self.wire));
            }
        }
    }

    pub(crate) fn redial(&mut self, id: NodeId, to: Member) {
        let at_ms = self.now_ms + self.wire.below(RETRY_MS);
        if let Some(process) = self.process_mut(id) {
            process.dial_at_ms.insert(to, at_ms);
        }
    }

    /// This end of a link closes.
    fn unfollow(&mut self, link: &mut Link) {
        link.hang_up(self.now_ms, &mut self.wire);
        let (me, member) = (link.dialer, link.acceptor);
        self.redial(me.node, member);
        if let Some(process) = self.process_mut(me.node) {
            process.engine.unfollow(member);
        }
    }

    fn near_tick(&mut self, link: &mut Link) {
        match &link.near {
            Near::Replica(_) => {
                if self.receive(link).is_err() {
                    self.unfollow(link);
                }
            }
            Near::Keeper(_) => self.keep(link),
            Near::Gone => {}
        }
    }

    /// What has arrived from a source, and what is said to it.
    fn receive(&mut self, link: &mut Link) -> Result<(), Ended> {
        let (me, member, now_ms) = (link.dialer, link.acceptor, self.now_ms);
        let passes = self.passes(member.node, me.node);
        let Near::Replica(end) = &mut link.near else { return Ok(()) };
        let process = self.process_mut(me.node).expect("it ticks");
        if !process.engine.is_followed(member, end.source) {
            return Err(Ended::Silently);
        }
        let mut pinged = false;
        while let Some(word) = link.down.arrived(now_ms).filter(|_| passes) {
            end.heard_ms = now_ms;
            let now = self.now_of(me.node);
            let process = self.process_mut(me.node).expect("it ticks");
            let is_ahead = |level: Level| level > process.level();
            match word {
                Word::Begin(begin) => match process.engine.follow(member, begin) {
                    Ok(Follow::NotYet) => {
                        if has_waited(end, now_ms) {
                            return Err(Ended::Silently);
                        }
                        break;
                    }
                    Ok(Follow::Sealed) | Err(_) => return Err(Ended::Silently),
                    Ok(Follow::Continue { source, .. }) => (end.source, pinged) = (Some(source), true),
                    Ok(Follow::Discard { source }) => {
                        process.store.clear();
                        (end.source, pinged) = (Some(source), true);
                    }
                },
                Word::Frame(_, write) if is_ahead(write.level) => {
                    if has_waited(end, now_ms) {
                        return Err(Ended::Silently);
                    }
                    break;
                }
                Word::Keyspace(writes) if writes.iter().any(|write| is_ahead(write.level)) => {
                    if has_waited(end, now_ms) {
                        return Err(Ended::Silently);
                    }
                    break;
                }
                Word::Frame(start, write) => {
                    let (start, write) = (*start, *write);
                    let (cursor, source) = following(process, end)?;
                    let admitted =
                        cursor.accept(source, &write.effects(start)).map_err(|_| Ended::Silently)?;
                    cursor.applied(admitted).map_err(|_| Ended::Silently)?;
                    process.store.push(write);
                }
                Word::Keyspace(writes) => {
                    let writes = writes.clone();
                    let (cursor, source) = following(process, end)?;
                    let chunk = SyncChunk { level: Level::FIRST, slot: Slot(0), bytes: &[] };
                    match cursor.on_sync_chunk(source, &chunk).map_err(|_| Ended::Silently)? {
                        ChunkAct::Replace => process.store.load(writes),
                        ChunkAct::Append => process.store.writes.extend(writes),
                    }
                }
                Word::End(sync_end) => {
                    let sync_end = sync_end.clone();
                    let (cursor, source) = following(process, end)?;
                    cursor.on_sync_end(source, &sync_end).map_err(|_| Ended::Silently)?;
                    process.store.reset_backlog();
                    if process.store.end() != sync_end.offset {
                        let held = process.store.end();
                        self.broken(format!(
                            "I15: a full sync of {me} ends at {}, and it holds {held}",
                            sync_end.offset
                        ));
                    }
                    pinged = true;
                }
                Word::Fence(fence) => {
                    let fence = *fence;
                    let source = end.source.ok_or(Ended::Silently)?;
                    let actions =
                        process.engine.on_fence(source, &fence, now).map_err(|_| Ended::Silently)?;
                    self.perform(me.node, actions);
                }
                Word::Promoted(promoted) => {
                    let _ = process.engine.hint(member, *promoted);
                }
                Word::Ping { applied_index } => {
                    process.engine.primary_applied(*applied_index);
                    pinged = true;
                }
                Word::Accept => end.accepted = true,
                Word::Refuse(_) | Word::Closed => return Err(Ended::Silently),
                Word::Hello(_) | Word::Ack(_) => {
                    self.broken(format!("{member} says to {me} what only a replica says"));
                }
            }
            end.waits_since_ms = None;
            link.down.take();
        }
        let is_silent = now_ms > end.heard_ms + SILENCE_MS;
        if is_silent && (end.source.is_some() || !end.accepted) {
            return Err(Ended::Silently);
        }
        let process = self.process(me.node).expect("it ticks");
        let said = process.engine.acknowledgement(member, end.source).filter(|_| end.accepted);
        if let Some(ack) = said.filter(|ack| pinged || end.acked != Some(*ack)) {
            end.acked = Some(ack);
            link.up.say(Word::Ack(ack), now_ms, &mut self.wire);
        }
        Ok(())
    }

    // --- the source's end ------------------------------------------------------------------------------------

    fn far_tick(&mut self, link: &mut Link) {
        let ended = match &link.far {
            Far::Gone => return,
            Far::Asked { .. } => self.answer(link),
            Far::Standing { .. } => self.stand_by(link),
            Far::Sending(_) => self.send_stream(link),
            Far::Serving { .. } => self.serve_kept(link),
        };
        let Err(ended) = ended else { return };
        if let Ended::Refused(why) = ended {
            link.down.say(Word::Refuse(why), self.now_ms, &mut self.wire);
        }
        self.detach(link);
    }

    fn detach(&mut self, link: &mut Link) {
        let serial = match &link.far {
            Far::Asked { serial, .. } => *serial,
            Far::Standing { serial } | Far::Sending(Sending { serial, .. }) => Some(*serial),
            Far::Serving { .. } | Far::Gone => None,
        };
        let process = self.process_mut(link.acceptor.node).expect("it ticks");
        if let Some(serial) = serial {
            process.engine.detach(link.dialer, serial);
        }
        link.turn_away(self.now_ms, &mut self.wire);
        self.settle(link.acceptor.node);
    }

    /// The next word of the dialler, if it has arrived.
    fn next_word(&mut self, link: &mut Link) -> Option<Word> {
        let passes = self.passes(link.dialer.node, link.acceptor.node);
        link.up.arrived(self.now_ms).filter(|_| passes)?;
        link.up.take()
    }

    fn answer(&mut self, link: &mut Link) -> Result<(), Ended> {
        let id = link.acceptor.node;
        while let Some(word) = self.next_word(link) {
            match (word, &mut link.far) {
                (Word::Hello(said), Far::Asked { hello, .. }) => *hello = Some(said),
                (Word::Closed, _) => return Err(Ended::Silently),
                // Acknowledged to an earlier source while this one had not answered.
                _ => {}
            }
        }
        let Far::Asked { hello: Some(hello), serial, since_ms } = &link.far else { return Ok(()) };
        let (hello, serial, is_late) = (*hello, *serial, self.now_ms > since_ms + VIEW_MS);
        let process = self.process(id).expect("it ticks");
        let is_mine = process.my_shard().is_some_and(|shard| shard.id == hello.shard);
        if !is_mine && hello.purpose == Purpose::Follow {
            return self.begin_serving(link, &hello, is_late);
        }
        if let Some(why) = process.engine.objection(&hello, process.level()) {
            return if is_late { Err(Ended::Refused(why.to_string())) } else { Ok(()) };
        }
        let now = self.now_of(id);
        let serial = match serial {
            Some(serial) => serial,
            None => {
                let serial = self.process_mut(id).expect("it ticks").engine.register(hello.member, now);
                link.down.say(Word::Accept, now_ms(self), &mut self.wire);
                if let Far::Asked { serial: of_link, since_ms, .. } = &mut link.far {
                    (*of_link, *since_ms) = (Some(serial), now_ms(self));
                }
                serial
            }
        };
        let process = self.process_mut(id).expect("it ticks");
        let start = process.store.backlog_start();
        let mode = match hello.purpose {
            Purpose::NextSource => {
                link.far = Far::Standing { serial };
                return Ok(());
            }
            Purpose::Follow => {
                let oldest = hello.position.and_then(|at| process.store.level_at(at.offset));
                match process.engine.resync(hello.position, hello.levels, start, oldest) {
                    Some(resync) => resync.mode(),
                    None if is_late => return Err(Ended::Refused("not primary".to_owned())),
                    None => return Ok(()),
                }
            }
            Purpose::Keep => match process.engine.attach_keeper(&hello, start) {
                Ok(mode) => mode,
                Err(why) if is_late => return Err(Ended::Refused(why.to_string())),
                // Some of it passes, and what does not is refused a moment later.
                Err(_) => return Ok(()),
            },
        };
        self.attach(link, serial, mode, now)
    }

    fn attach(&mut self, link: &mut Link, serial: u64, mode: SyncMode, now: Now) -> Result<(), Ended> {
        let (id, now_ms) = (link.acceptor.node, self.now_ms);
        let process = self.process_mut(id).expect("it ticks");
        let attached = process.engine.attach(link.dialer, serial, mode, now);
        let (Attached { source, begin, from }, actions) =
            attached.map_err(|why| Ended::Refused(why.to_string()))?;
        let all = matches!(mode, SyncMode::Full).then(|| process.store.writes.clone());
        link.down.say(Word::Begin(begin), now_ms, &mut self.wire);
        let mut sync_until_ms = None;
        if let Some(writes) = all {
            link.down.say(Word::Keyspace(writes), now_ms, &mut self.wire);
            sync_until_ms = Some(now_ms + self.wire.below(SYNC_MS));
        }
        let sending = Sending { serial, source, cursor: from, sync_until_ms, told_index: 0, pinged_ms: 0 };
        link.far = Far::Sending(sending);
        self.perform(id, actions);
        Ok(())
    }

    fn stand_by(&mut self, link: &mut Link) -> Result<(), Ended> {
        let (id, member) = (link.acceptor.node, link.dialer);
        let Far::Standing { serial } = link.far else { return Ok(()) };
        while let Some(word) = self.next_word(link) {
            match word {
                Word::Ack(ack) => {
                    let now = self.now_of(id);
                    let process = self.process_mut(id).expect("it ticks");
                    let actions = process.engine.note_ack(member, serial, ack, now);
                    self.perform(id, actions);
                }
                _ => return Err(Ended::Silently),
            }
        }
        match self.process(id).expect("it ticks").engine.stand_by(member, serial) {
            StandBy::Wait => Ok(()),
            StandBy::Replaced => Err(Ended::Silently),
            StandBy::PrimaryAlready => Err(Ended::Refused("say hello again".to_owned())),
            StandBy::Promoted { told, from } => {
                link.down.say(Word::Promoted(told), self.now_ms, &mut self.wire);
                let from = from.ok_or_else(|| Ended::Refused("promoted elsewhere".to_owned()))?;
                let now = self.now_of(id);
                self.attach(link, serial, SyncMode::Partial { from }, now)
            }
        }
    }

    fn send_stream(&mut self, link: &mut Link) -> Result<(), Ended> {
        let (id, member, now_ms) = (link.acceptor.node, link.dialer, self.now_ms);
        while let Some(word) = self.next_word(link) {
            let Far::Sending(Sending { serial, .. }) = &link.far else { return Ok(()) };
            let serial = *serial;
            let now = self.now_of(id);
            let process = self.process_mut(id).expect("it ticks");
            match word {
                Word::Ack(ack) => {
                    let acked = process.engine.on_ack(member, serial, ack, PING_MS, now);
                    let actions = acked.map_err(|_| Ended::Silently)?;
                    self.settle(id);
                    self.perform(id, actions);
                }
                Word::Refuse(why) => {
                    process.engine.keeper_gave_up(member, &why);
                    return Err(Ended::Silently);
                }
                _ => return Err(Ended::Silently),
            }
        }
        let now = self.now_of(id);
        let World { nodes, wire, .. } = self;
        let process = nodes.get_mut(&id).and_then(|node| node.process.as_mut()).expect("it ticks");
        let Far::Sending(sending) = &mut link.far else { return Ok(()) };
        let Sending { serial, source, cursor, sync_until_ms, told_index, pinged_ms } = sending;
        if !process.engine.is_attached(*source, member, *serial) {
            return Err(Ended::Silently);
        }
        if !link.down.has_room() {
            return Ok(());
        }
        let count = if wire.chance(1, 8) { 0 } else { COPY };
        let next = process.store.after(*cursor, count).ok_or(Ended::Silently)?;
        for write in next {
            link.down.say(Word::Frame(*cursor, *write), now_ms, wire);
            *cursor = write.effects(*cursor).end();
        }
        process.engine.moved(member, *serial, now);
        if sync_until_ms.is_some_and(|until_ms| now_ms >= until_ms) && *cursor == process.store.end() {
            let primary = process.engine.primary().ok_or(Ended::Silently)?;
            let end = SyncEnd { lineage: primary.lineage().clone(), offset: *cursor };
            link.down.say(Word::End(end), now_ms, wire);
            *sync_until_ms = None;
            process.engine.synced(member, *serial);
        }
        if let Some(fence) = process.engine.sent(member, *serial, *cursor) {
            link.down.say(Word::Fence(fence), now_ms, wire);
        }
        let applied_index = process.applied as u64;
        if applied_index > *told_index || now_ms >= *pinged_ms + PING_MS {
            link.down.say(Word::Ping { applied_index }, now_ms, wire);
            (*told_index, *pinged_ms) = (applied_index, now_ms);
        }
        Ok(())
    }

    /// What is kept of the stream, and whether writes wait.
    pub(crate) fn retain(&mut self, id: NodeId) {
        let now = self.now_of(id);
        let process = self.process_mut(id).expect("it ticks");
        let retained = process.engine.retention(Store::backlog_bytes(), now);
        process.store.retain(retained);
    }
}

fn now_ms(world: &World) -> u64 {
    world.now_ms
}

fn has_waited(end: &mut Receiving, now_ms: u64) -> bool {
    now_ms > *end.waits_since_ms.get_or_insert(now_ms) + VIEW_MS
}

fn following<'a>(
    process: &'a mut crate::node::Process,
    end: &Receiving,
) -> Result<(&'a mut ReplicaCursor, Source), Ended> {
    process.engine.stream().zip(end.source).ok_or(Ended::Silently)
}

/// What a keeper or a primary begins with.
pub(crate) fn begin_of(
    source: Source,
    from: ironcache_types::Offset,
    lineage: ironcache_replication::Lineage,
) -> SyncBegin {
    SyncBegin { source, mode: SyncMode::Partial { from }, lineage }
}

/// The frames of a tail that is served.
pub(crate) fn say_frames(
    link: &mut Link,
    cursor: &mut ironcache_types::Offset,
    writes: &[Write],
    now_ms: u64,
    rng: &mut crate::rng::Rng,
) {
    for write in writes.iter().take(COPY) {
        link.down.say(Word::Frame(*cursor, *write), now_ms, rng);
        *cursor = write.effects(*cursor).end();
    }
}
