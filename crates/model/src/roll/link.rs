//! Links between nodes: what is under way on them, and when they open and close.
//!
//! A link opens as soon as both ends would have it, and closes as soon as one would not. What was sent arrives in order, each
//! frame and each acknowledgement by an event of its own; with the link it is gone.

use super::broken::Broken;
use super::node::Tail;
use super::world::{FRAME_BYTES, World, frame_number};
use ironcache_replication::{
    Ack, Effects, Fence, Hello, KeptTail, LINK_VERSIONS, Message, Purpose, Scope, Source, SyncBegin, SyncEnd,
    SyncMode,
};
use ironcache_shard::keeper::{self, Kept};
use ironcache_shard::{Follow, Now};
use ironcache_types::{Level, LevelRange, Offset, ShardId};

const LEVELS: LevelRange = LevelRange { min: Level::FIRST, max: Level::FIRST };

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A replica follows its primary.
    Follow,
    /// It may follow the sender one day.
    Next,
    /// A keeper takes the sender's stream.
    Keep,
    /// A node that came back takes what the sender has kept.
    Tail,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub sender: usize,
    pub taker: usize,
    pub kind: Kind,
    /// At the sender's engine.
    pub serial: u64,
    pub source: Source,
    /// The dataset is still to come.
    pub syncs: bool,
    /// It takes longer than anybody waits.
    pub stalled: bool,
    /// The taker has everything below.
    pub at: Offset,
    /// Sent behind everything.
    pub fence: Option<Fence>,
    /// Of a keeper's link: the recovery whose fence was sent.
    pub fenced: Option<ironcache_types::Epoch>,
    /// An acknowledgement under way, and the one that arrived last.
    pub said: Option<Ack>,
    pub heard: Option<Ack>,
}

impl World {
    /// Opens and closes until everything is as both ends want it.
    pub(super) fn wire(&mut self) {
        // Each round does one thing; what closes is not opened again by the same states.
        for _ in 0..64 {
            if !(self.close_one() || self.open_one()) {
                break;
            }
        }
        self.push();
    }

    fn close_one(&mut self) -> bool {
        let Some(at) = (0..self.links.len()).find(|at| !self.is_wanted(&self.links[*at])) else {
            return false;
        };
        self.close(at);
        true
    }

    /// The link is gone, and what was under way on it.
    pub(super) fn close(&mut self, at: usize) {
        let Link { sender, taker, kind, serial, .. } = self.links.remove(at);
        let (sends, takes) = (self.member(sender), self.member(taker));
        if let Some(takes) = takes
            && kind != Kind::Tail
            && let Some(process) = self.process_mut(sender)
        {
            process.engine.detach(takes, serial);
            self.reply(sender);
        }
        let Some(sends) = sends else {
            self.unfollow_dead(taker, kind, sender);
            return;
        };
        match kind {
            Kind::Follow | Kind::Tail => {
                if let Some(process) = self.process_mut(taker) {
                    process.engine.unfollow(sends);
                }
            }
            Kind::Next => {}
            Kind::Keep => self.lost_by_keeper(taker, sends),
        }
    }

    /// The other end's process has ended.
    fn unfollow_dead(&mut self, taker: usize, kind: Kind, sender: usize) {
        let member = self.last_member(sender);
        match kind {
            Kind::Follow | Kind::Tail => {
                if let Some(process) = self.process_mut(taker) {
                    process.engine.unfollow(member);
                }
            }
            Kind::Next => {}
            Kind::Keep => self.lost_by_keeper(taker, member),
        }
    }

    fn lost_by_keeper(&mut self, taker: usize, primary: ironcache_types::Member) {
        let Some(process) = self.process(taker) else { return };
        for shard in process.dials.keys().copied().collect::<Vec<_>>() {
            self.keeper_event(taker, keeper::Event::LinkLost { shard, primary });
        }
    }

    fn is_wanted(&self, link: &Link) -> bool {
        let (Some(sender), Some(taker)) = (self.process(link.sender), self.process(link.taker)) else {
            return false;
        };
        let is_attached = || sender.engine.is_attached(link.source, taker.me, link.serial);
        match link.kind {
            Kind::Follow => {
                let follows = taker.engine.is_followed(sender.me, Some(link.source));
                let source = self.cursor_source(link.taker);
                follows && source == Some(link.source) && is_attached()
            }
            Kind::Next => taker.engine.sources().contains(&sender.me) && sender.engine.primary().is_none(),
            Kind::Keep => {
                let dials = taker.dials.values().any(|(primary, _)| *primary == sender.me);
                (dials || self.broken == Some(Broken::KeeperTakesOldEpoch)) && is_attached()
            }
            Kind::Tail => {
                let served =
                    sender.keepers.shard(self.shard_of(link.taker)).and_then(|s| s.keeper_that_counts());
                let is_served = served.is_some_and(|k| k.member == sender.me && k.epoch == link.source.epoch);
                let follows = taker.engine.is_followed(sender.me, Some(link.source));
                is_served && follows && self.cursor_source(link.taker) == Some(link.source)
            }
        }
    }

    fn cursor_source(&self, at: usize) -> Option<Source> {
        match self.process(at)?.engine.role() {
            ironcache_shard::Role::Replica(replica) => replica.cursor().source(),
            ironcache_shard::Role::Loading | ironcache_shard::Role::Primary(_) => None,
        }
    }

    fn has_link(&self, sender: usize, taker: usize) -> bool {
        self.links.iter().any(|link| (link.sender, link.taker) == (sender, taker))
    }

    fn open_one(&mut self) -> bool {
        for taker in 0..self.nodes.len() {
            let Some(process) = self.process(taker) else { continue };
            for to in process.engine.sources() {
                if let Some(sender) = self.at(to)
                    && !self.has_link(sender, taker)
                    && self.introduce(sender, taker)
                {
                    return true;
                }
            }
            let dials: Vec<_> = self.process(taker).map(|p| p.dials.clone()).into_iter().flatten().collect();
            for (shard, (primary, epoch)) in dials {
                if let Some(sender) = self.at(primary)
                    && !self.has_link(sender, taker)
                    && self.process(sender).and_then(|p| p.engine.primary_epoch()) == Some(epoch)
                    && self.keep(shard, sender, taker)
                {
                    return true;
                }
            }
        }
        false
    }

    /// Says hello. Answers whether a link came of it.
    fn introduce(&mut self, sender: usize, taker: usize) -> bool {
        let (Some(source), Some(process)) = (self.process(sender), self.process(taker)) else { return false };
        let Ok(Some(hello)) = process.engine.introduce(source.me, LEVELS) else { return false };
        if self.shard_of(sender) != self.shard_of(taker) || self.is_witness(sender) {
            return hello.purpose == Purpose::Follow && self.be_served(&hello, sender, taker);
        }
        match hello.purpose {
            Purpose::Follow => self.follow(&hello, sender, taker),
            Purpose::NextSource => self.stand_by(sender, taker),
            Purpose::Keep => false,
        }
    }

    fn follow(&mut self, hello: &Hello, sender: usize, taker: usize) -> bool {
        let primary = self.process(sender).expect("it is linked to");
        let engine = &self.process(taker).expect("it links").engine;
        let named = engine.my_shard().map(|shard| shard.epoch);
        if primary.engine.primary_epoch().is_none() || primary.engine.primary_epoch() != named {
            return false;
        }
        // Who follows it already has its link.
        let Some(resync) = primary.engine.resync(hello.position, LEVELS, Offset(0), None) else {
            return false;
        };
        let mode = resync.mode();
        let (member, to) = (hello.member, primary.me);
        let in_sync = engine.my_shard().is_some_and(|shard| shard.in_sync.contains(&member));
        if mode == SyncMode::Full && in_sync {
            return false;
        }
        let now = primary.now();
        let primary = self.process_mut(sender).expect("it is linked to");
        let serial = primary.engine.register(member, now);
        let attached = primary.engine.attach(member, serial, mode, now);
        let Ok((attached, actions)) = attached else {
            self.process_mut(sender).expect("it is linked to").engine.detach(member, serial);
            return false;
        };
        self.perform(sender, actions);
        let begin = attached.begin;
        let process = self.process_mut(taker).expect("it links");
        let syncs = match process.engine.follow(to, &begin) {
            Ok(Follow::Continue { .. }) => false,
            Ok(Follow::Discard { .. }) => {
                process.data.clear();
                true
            }
            Ok(Follow::NotYet | Follow::Sealed) | Err(_) => {
                self.process_mut(sender).expect("it is linked to").engine.detach(member, serial);
                return false;
            }
        };
        let (source, at) = (begin.source, attached.from);
        self.links.push(Link {
            sender,
            taker,
            kind: Kind::Follow,
            serial,
            source,
            syncs,
            stalled: false,
            at,
            fence: None,
            fenced: None,
            said: None,
            heard: None,
        });
        self.say(sender, taker);
        true
    }

    fn stand_by(&mut self, sender: usize, taker: usize) -> bool {
        let member = self.member(taker).expect("it links");
        let next = self.process_mut(sender).expect("it is linked to");
        if next.engine.primary().is_some() {
            return false;
        }
        let now = next.now();
        let serial = next.engine.register(member, now);
        self.links.push(Link {
            sender,
            taker,
            kind: Kind::Next,
            serial,
            source: Source { epoch: ironcache_types::Epoch(0), incarnation: member.incarnation },
            syncs: false,
            stalled: false,
            at: Offset(0),
            fence: None,
            fenced: None,
            said: None,
            heard: None,
        });
        true
    }

    fn keep(&mut self, shard: ShardId, sender: usize, taker: usize) -> bool {
        let keeper = self.process(taker).expect("it links");
        let member = keeper.me;
        let file = keeper.keepers.goes_on(shard);
        let position = file
            .and_then(|file| self.nodes[taker].tails.get(&(shard, file.epoch)))
            .and_then(|tail| tail.kept.position());
        let cluster_id = self.state_of(taker).cluster_id.expect("it is a cluster");
        let purpose = Purpose::Keep;
        let hello =
            Hello { versions: LINK_VERSIONS, cluster_id, shard, member, purpose, position, levels: LEVELS };
        let primary = self.process_mut(sender).expect("it is linked to");
        let (now, to) = (primary.now(), primary.me);
        let Ok(mode) = primary.engine.attach_keeper(&hello, Offset(0)) else { return false };
        let serial = primary.engine.register(member, now);
        let Ok((attached, actions)) = primary.engine.attach(member, serial, mode, now) else {
            self.process_mut(sender).expect("it is linked to").engine.detach(member, serial);
            return false;
        };
        self.perform(sender, actions);
        let SyncBegin { source, lineage, .. } = attached.begin;
        let from = attached.from;
        let name = (shard, source.epoch);
        let isr_epoch = self.state_of(taker).shards[&shard].isr_epoch;
        let node = self.node_mut(taker);
        let goes_on = file.is_some()
            && node.tails.get_mut(&name).is_some_and(|tail| tail.kept.go_on(source, &lineage, from).is_ok());
        if !goes_on {
            let kept = KeptTail::new(source, lineage, from);
            let file = Kept { epoch: source.epoch, by: member, isr_epoch, from, whole: from };
            node.tails.insert(name, Tail { kept, file, data: Vec::new() });
        }
        let file = node.tails[&name].file;
        self.links.push(Link {
            sender,
            taker,
            kind: Kind::Keep,
            serial,
            source,
            syncs: false,
            stalled: false,
            at: from,
            fence: None,
            fenced: None,
            said: None,
            heard: None,
        });
        self.keeper_event(taker, keeper::Event::Began { shard, primary: to, file });
        true
    }

    /// A node that came back asks a keeper.
    fn be_served(&mut self, hello: &Hello, sender: usize, taker: usize) -> bool {
        let (shard, member) = (hello.shard, hello.member);
        let keeper = self.process_mut(sender).expect("it is linked to");
        let me = keeper.me;
        let served = keeper.keepers.on(keeper::Event::Hello { shard, member }, 0);
        let Some(keeper::Action::Serve { epoch, .. }) = served.first() else { return false };
        let Some(tail) = self.nodes[sender].tails.get(&(shard, *epoch)) else { return false };
        let Ok(from) = tail.kept.serve(hello.position) else { return false };
        let source = Source { epoch: *epoch, incarnation: me.incarnation };
        let lineage = tail.kept.lineage().clone();
        let begin = SyncBegin { source, mode: SyncMode::Partial { from }, lineage };
        let process = self.process_mut(taker).expect("it links");
        let Ok(Follow::Continue { .. }) = process.engine.follow(me, &begin) else { return false };
        self.links.push(Link {
            sender,
            taker,
            kind: Kind::Tail,
            serial: 0,
            source,
            syncs: false,
            stalled: false,
            at: from,
            fence: None,
            fenced: None,
            said: None,
            heard: None,
        });
        true
    }

    // --- what flows ------------------------------------------------------------------------------------------

    /// Everything is sent at once; what of it has arrived is the link's.
    fn push(&mut self) {
        for at in 0..self.links.len() {
            let Link { sender, taker, kind, serial, .. } = self.links[at];
            match kind {
                Kind::Follow | Kind::Keep => {
                    let Some(member) = self.member(taker) else { continue };
                    let Some(end) = self.process(sender).and_then(|p| p.engine.end()) else { continue };
                    let primary = self.process_mut(sender).expect("it sends");
                    if let Some(fence) = primary.engine.sent(member, serial, end) {
                        self.links[at].fence = Some(fence);
                    }
                    self.tell_applied(sender, taker, kind);
                }
                Kind::Tail => {
                    let shard = self.shard_of(taker);
                    let fence = self.process(sender).and_then(|p| p.fences.get(&shard)).copied();
                    if let Some(handover_epoch) = fence.filter(|_| fence != self.links[at].fenced) {
                        let end = self.end_of_tail(at);
                        let own = self.links[at].at.max(end);
                        let offset = if self.broken == Some(Broken::FenceAtKeepersEnd) { end } else { own };
                        self.links[at].fence = Some(Fence { handover_epoch, offset });
                        self.links[at].fenced = fence;
                    }
                }
                Kind::Next => self.say_next(at),
            }
        }
    }

    /// The primary says on the link how far it has applied the log.
    fn tell_applied(&mut self, sender: usize, taker: usize, kind: Kind) {
        let applied = self.process(sender).map_or(0, |p| p.applied as u64);
        let Some(known) = self.process(taker).and_then(|p| p.engine.told_applied()) else { return };
        if kind == Kind::Follow
            && known < applied
            && let Some(process) = self.process_mut(taker)
        {
            process.engine.primary_applied(applied);
            self.agent(taker);
        }
    }

    fn say_next(&mut self, at: usize) {
        let Link { sender, taker, said, heard, .. } = self.links[at];
        let Some(member) = self.member(sender) else { return };
        let Some(ack) = self.process(taker).and_then(|p| p.engine.acknowledgement(member, None)) else {
            return;
        };
        if said.or(heard) != Some(ack) {
            self.links[at].said = Some(ack);
        }
    }

    /// The taker acknowledges what it has.
    fn say(&mut self, sender: usize, taker: usize) {
        let Some(at) = self.links.iter().position(|l| (l.sender, l.taker) == (sender, taker)) else { return };
        let Link { kind, source, .. } = self.links[at];
        let Some(member) = self.member(sender) else { return };
        if kind == Kind::Follow {
            let process = self.process(taker).expect("it takes");
            self.links[at].said = process.engine.acknowledgement(member, Some(source));
        }
    }

    pub(super) fn acknowledge_kept(&mut self, keeper: usize, shard: ShardId, whole: Offset) {
        let dialled = self.process(keeper).and_then(|p| p.dials.get(&shard)).map(|(primary, _)| *primary);
        let sender = dialled.and_then(|primary| self.at(primary));
        let link = self
            .links
            .iter_mut()
            .find(|l| l.kind == Kind::Keep && l.taker == keeper && Some(l.sender) == sender);
        if let Some(link) = link {
            link.said = Some(Ack { source: link.source, applied: whole });
        }
    }

    fn end_of_tail(&self, at: usize) -> Offset {
        let Link { sender, taker, source, .. } = self.links[at];
        let tail = self.nodes[sender].tails.get(&(self.shard_of(taker), source.epoch));
        let Some(tail) = tail else { return Offset(0) };
        let Offset(whole) = tail.kept.whole();
        match self.broken {
            Some(Broken::TailCutShort) => Offset(whole.saturating_sub(FRAME_BYTES).max(tail.kept.from().0)),
            Some(_) | None => Offset(whole),
        }
    }

    /// The next thing on the link arrives. `None` if there is nothing.
    pub(super) fn deliver(&mut self, at: usize) -> Option<()> {
        let link = self.links.get(at)?.clone();
        let sender = self.process(link.sender)?;
        let end = match link.kind {
            Kind::Follow | Kind::Keep => sender.engine.end()?,
            Kind::Tail => self.end_of_tail(at),
            Kind::Next => return None,
        };
        if link.syncs {
            return self.deliver_dataset(at);
        }
        if link.at >= end {
            return self.deliver_fence(at);
        }
        let (data, lineage) = match link.kind {
            Kind::Tail => {
                let tail = &self.nodes[link.sender].tails[&(self.shard_of(link.taker), link.source.epoch)];
                let index = frame_number(Offset(link.at.0 - tail.kept.from().0));
                (tail.data[index], tail.kept.lineage().clone())
            }
            Kind::Follow | Kind::Keep | Kind::Next => {
                let primary = sender.engine.primary()?;
                (sender.data[frame_number(link.at)], primary.lineage().clone())
            }
        };
        let epoch = lineage.epoch_of_frame_at(link.at).unwrap_or(link.source.epoch);
        let bytes = [data];
        let frame = Effects { level: Level::FIRST, epoch, start: link.at, scope: Scope::All, bytes: &bytes };
        self.links[at].at = frame.end();
        match link.kind {
            Kind::Keep => self.append(at, &frame),
            Kind::Follow | Kind::Tail | Kind::Next => self.take(at, &frame),
        }
        Some(())
    }

    fn take(&mut self, at: usize, frame: &Effects<'_>) {
        let Link { sender, taker, source, .. } = self.links[at];
        let process = self.process_mut(taker).expect("it takes");
        let taken = process.engine.stream().map(|cursor| {
            let admitted = cursor.accept(source, frame)?;
            cursor.applied(admitted)
        });
        match taken {
            Some(Ok(())) => {
                process.data.push(frame.bytes[0]);
                self.say(sender, taker);
            }
            Some(Err(_)) | None => self.close(at),
        }
    }

    fn append(&mut self, at: usize, frame: &Effects<'_>) {
        let Link { sender, taker, source, .. } = self.links[at];
        let (shard, primary) = (self.shard_of(sender), self.member(sender).expect("it sends"));
        let mut epoch = source.epoch;
        let keeps = self.process(taker).is_some_and(|p| p.keepers.keeps(shard, primary, epoch));
        if !keeps {
            if self.broken != Some(Broken::KeeperTakesOldEpoch) {
                return self.close(at);
            }
            let newest = self.nodes[taker].tails.keys().rev().find(|(of, _)| *of == shard);
            epoch = newest.map_or(epoch, |(_, epoch)| *epoch);
        }
        let node = self.node_mut(taker);
        let Some(tail) = node.tails.get_mut(&(shard, epoch)) else { return self.close(at) };
        let as_its_own = Effects { epoch, ..*frame };
        let frame = if keeps { frame } else { &as_its_own };
        if tail.kept.admit(&Message::Effects(*frame)).is_err() {
            return self.close(at);
        }
        tail.data.push(frame.bytes[0]);
        let (whole, number) = (tail.kept.whole(), frame_number(frame.start));
        tail.file.whole = whole;
        let owner_epoch = tail.kept.lineage().epoch_of_frame_at(frame.start).unwrap_or(epoch);
        self.check_content(owner_epoch, number, frame.bytes[0]);
        self.keeper_event(taker, keeper::Event::Appended { shard, epoch, whole });
    }

    fn deliver_dataset(&mut self, at: usize) -> Option<()> {
        let Link { sender, taker, source, .. } = self.links[at];
        let primary = self.process(sender)?;
        let (lineage, offset) = (primary.engine.primary()?.lineage().clone(), primary.engine.end()?);
        let data = primary.data.clone();
        let process = self.process_mut(taker)?;
        let synced =
            process.engine.stream().map(|cursor| cursor.on_sync_end(source, &SyncEnd { lineage, offset }));
        if !matches!(synced, Some(Ok(()))) {
            self.close(at);
            return Some(());
        }
        process.data = data;
        let (member, link) = (self.member(taker)?, &mut self.links[at]);
        (link.syncs, link.at) = (false, offset);
        let serial = self.links[at].serial;
        self.process_mut(sender)?.engine.synced(member, serial);
        self.say(sender, taker);
        Some(())
    }

    fn deliver_fence(&mut self, at: usize) -> Option<()> {
        let fence = self.links[at].fence.take()?;
        let Link { taker, source, .. } = self.links[at];
        let process = self.process_mut(taker)?;
        let now = process.now();
        match process.engine.on_fence(source, &fence, now) {
            Ok(actions) => self.perform(taker, actions),
            Err(_) => self.close(at),
        }
        Some(())
    }

    /// The acknowledgement under way arrives.
    pub(super) fn hear(&mut self, at: usize) -> Option<()> {
        let said = self.links.get_mut(at)?.said.take()?;
        let Link { sender, taker, kind, serial, .. } = self.links[at];
        self.links[at].heard = Some(said);
        let member = self.member(taker)?;
        let now = self.process(sender)?.now();
        self.acknowledge(at, kind, member, serial, said, now);
        Some(())
    }

    fn acknowledge(
        &mut self,
        at: usize,
        kind: Kind,
        member: ironcache_types::Member,
        serial: u64,
        said: Ack,
        now: Now,
    ) {
        let sender = self.links[at].sender;
        let engine = &mut self.process_mut(sender).expect("it is told").engine;
        let done = match kind {
            Kind::Next => Ok(engine.note_ack(member, serial, said, now)),
            // How late it is says nothing here.
            Kind::Follow | Kind::Keep => engine.on_ack(member, serial, said, u64::MAX, now),
            Kind::Tail => Ok(Vec::new()),
        };
        match done {
            Ok(actions) => {
                self.perform(sender, actions);
                self.reply(sender);
            }
            Err(_) => self.close(at),
        }
    }

    /// Everybody who is linked to this primary says that it is there.
    pub(super) fn pinged(&mut self, sender: usize) {
        for at in 0..self.links.len() {
            let Link { sender: of, taker, kind, serial, heard, stalled, .. } = self.links[at];
            if of == sender
                && !stalled
                && matches!(kind, Kind::Follow | Kind::Keep)
                && let (Some(member), Some(ack), Some(process)) =
                    (self.member(taker), heard, self.process_mut(sender))
            {
                let now = process.now();
                // What it says is what it said.
                let _ = process.engine.on_ack(member, serial, ack, u64::MAX, now);
            }
        }
    }
}
