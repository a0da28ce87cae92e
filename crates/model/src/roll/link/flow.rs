//! What flows on a link, once it is open.

use super::{Frame, Kind, Link};
use crate::roll::broken::Broken;
use crate::roll::world::{FRAME_BYTES, World, frame_number};
use ironcache_replication::{Ack, Effects, Fence, Message, Scope, SyncEnd};
use ironcache_shard::{Now, keeper};
use ironcache_types::{Level, Offset, ShardId};

impl World {
    /// Everything is sent at once; what of it has arrived is the link's.
    pub(super) fn push(&mut self) {
        for at in 0..self.links.len() {
            let Link { sender, taker, kind, serial, ref left, .. } = self.links[at];
            if left.is_some() {
                continue;
            }
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
    pub(super) fn say(&mut self, sender: usize, taker: usize) {
        let Some(at) = self.links.iter().position(|l| (l.sender, l.taker) == (sender, taker)) else { return };
        let Link { kind, source, .. } = self.links[at];
        let Some(member) = self.member(sender) else { return };
        if kind == Kind::Follow {
            let process = self.process(taker).expect("it takes");
            self.links[at].said = process.engine.acknowledgement(member, Some(source));
        }
    }

    pub(in crate::roll) fn acknowledge_kept(&mut self, keeper: usize, shard: ShardId, whole: Offset) {
        let dialled = self.process(keeper).and_then(|p| p.dials.get(&shard)).map(|(primary, _)| *primary);
        let sender = dialled.and_then(|primary| self.at(primary));
        let link = self.links.iter_mut().find(|l| {
            l.kind == Kind::Keep && l.taker == keeper && Some(l.sender) == sender && l.left.is_none()
        });
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
    pub(in crate::roll) fn deliver(&mut self, at: usize) -> Option<()> {
        let link = self.links.get(at)?.clone();
        if link.left.is_some() {
            return None;
        }
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

    /// What the sender had sent before its process ended; then the keeper sees the end of the link.
    pub(in crate::roll) fn deliver_left(&mut self, at: usize) -> Option<()> {
        let link = &mut self.links[at];
        let left = link.left.as_mut()?;
        if left.is_empty() {
            self.close(at);
            return Some(());
        }
        let Frame { epoch, write } = left.remove(0);
        let bytes = [write];
        let frame = Effects { level: Level::FIRST, epoch, start: link.at, scope: Scope::All, bytes: &bytes };
        link.at = frame.end();
        self.append(at, &frame);
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
        let (shard, primary) = (self.shard_of(sender), self.links[at].sent_by());
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
    pub(in crate::roll) fn hear(&mut self, at: usize) -> Option<()> {
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
    pub(in crate::roll) fn pinged(&mut self, sender: usize) {
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
