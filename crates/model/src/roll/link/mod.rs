//! Links between nodes: what is under way on them, and when they open and close.
//!
//! A link opens as soon as both ends would have it, and closes as soon as one would not. What was sent arrives in order, each
//! frame and each acknowledgement by an event of its own; with the link it is gone.

mod flow;
mod open;

use super::broken::Broken;
use super::node::Process;
use super::print::{Kind as Number, Pen, Print};
use super::world::{FRAME_BYTES, World, frame_number};
use ironcache_replication::{Ack, Fence, Source};
use ironcache_shard::keeper;
use ironcache_types::{Epoch, Member, Offset};

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
    /// Of a sender whose process has ended: what it had sent, and was under way for long.
    pub left: Option<Vec<Frame>>,
}

/// A frame of one write, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub epoch: Epoch,
    pub write: u8,
}

impl Link {
    /// The life that sends, of a link whose source that is.
    fn sent_by(&self) -> Member {
        Member { node: super::founded::id(self.sender), incarnation: self.source.incarnation }
    }

    fn new(sender: usize, taker: usize, kind: Kind, serial: u64, source: Source, at: Offset) -> Link {
        Link {
            sender,
            taker,
            kind,
            serial,
            source,
            syncs: false,
            stalled: false,
            at,
            fence: None,
            fenced: None,
            said: None,
            heard: None,
            left: None,
        }
    }

    /// What tells it from another one.
    pub(in crate::roll) fn print(&self) -> Print {
        let Link {
            sender,
            taker,
            kind,
            serial,
            source,
            syncs,
            stalled,
            at,
            fence,
            fenced,
            said,
            heard,
            left,
        } = self;
        let mut pen = Pen::default();
        pen.plain((sender, taker, kind, syncs, stalled, at.0));
        pen.number(Number::Serial(*sender), *serial);
        let of = |pen: &mut Pen, source: &Source| {
            pen.number(Number::Epoch, source.epoch.0);
            let life = source.incarnation.0;
            pen.number(Number::Life(super::founded::node_of(life)), life);
        };
        of(&mut pen, source);
        pen.plain((fence.map(|fence| fence.offset.0), fenced.is_some()));
        let recoveries = [fence.map(|fence| fence.handover_epoch), *fenced];
        recoveries.into_iter().flatten().for_each(|epoch| pen.number(Number::Epoch, epoch.0));
        for ack in [said, heard] {
            pen.plain(ack.map(|ack| ack.applied.0));
            ack.iter().for_each(|ack| of(&mut pen, &ack.source));
        }
        pen.plain(left.as_ref().map(|left| left.iter().map(|frame| frame.write).collect::<Vec<_>>()));
        left.iter().flatten().for_each(|frame| pen.number(Number::Epoch, frame.epoch.0));
        pen.print()
    }
}
impl World {
    /// Opens and closes until everything is as both ends want it.
    pub(in crate::roll) fn wire(&mut self) {
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
    pub(in crate::roll) fn close(&mut self, at: usize) {
        let link = self.links.remove(at);
        if link.left.is_some() {
            self.lost_by_keeper(link.taker, link.sent_by());
            return;
        }
        let Link { sender, taker, kind, serial, .. } = link;
        // Its other end sees that a process has ended, too: the link's socket closes.
        let (sends, takes) = (self.member(sender), self.last_member(taker));
        if kind != Kind::Tail
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

    /// The process ends: what it has sent to a keeper, and takes long, arrives all the same.
    pub(in crate::roll) fn leave_under_way(&mut self, sender: usize) {
        let Some(process) = self.process(sender) else { return };
        let Some(primary) = process.engine.primary() else { return };
        let (lineage, data) = (primary.lineage().clone(), process.data.clone());
        let is_long = |link: &&mut Link| {
            link.sender == sender && link.kind == Kind::Keep && link.stalled && link.left.is_none()
        };
        for link in self.links.iter_mut().filter(is_long) {
            let frame = |(number, write): (usize, &u8)| {
                let start = Offset(number as u64 * FRAME_BYTES);
                Frame { epoch: lineage.epoch_of_frame_at(start).unwrap_or(link.source.epoch), write: *write }
            };
            let sent = data.iter().enumerate().skip(frame_number(link.at));
            (link.left, link.said) = (Some(sent.map(frame).collect()), None);
        }
    }

    fn is_wanted(&self, link: &Link) -> bool {
        if link.left.is_some() {
            let sent_by = link.sent_by();
            let dials = |process: &Process| process.dials.values().any(|(primary, _)| *primary == sent_by);
            let takes_all = self.broken == Some(Broken::KeeperTakesOldEpoch);
            return self.process(link.taker).is_some_and(|process| takes_all || dials(process));
        }
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
                dials && is_attached()
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
        self.links.iter().any(|link| (link.sender, link.taker) == (sender, taker) && link.left.is_none())
    }
}
