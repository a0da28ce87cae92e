//! The keeper's shell: the counterpart of the product's `keeper/{desk,link,serve}`.
//!
//! *Invariant:* what may be done is decided by the engine ([`Keepers`](ironcache_shard::keeper::Keepers)); here are links and
//! files.

use crate::disk::TailFile;
use crate::links::{Ended, begin_of, say_frames};
use crate::scenario::levels;
use crate::wire::{Far, Link, Near, Word};
use crate::world::World;
use ironcache_control::Shard;
use ironcache_replication::{
    Ack, Fence, Hello, KeptTail, LINK_VERSIONS, Message, Position, Purpose, Source, SyncBegin, SyncMode,
};
use ironcache_shard::keeper::{Action, Event, NotServed};
use ironcache_types::{Epoch, Member, NodeId, Offset, ShardId};
use std::collections::BTreeMap;

const SILENCE_MS: u64 = 500;
const PING_MS: u64 = 50;
/// How often the engine is told that time passes.
const TICK_MS: u64 = 500;

/// What a process does as a keeper besides what its engine knows.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Links to primaries that are to be open.
    dials: BTreeMap<ShardId, (Member, Epoch)>,
    fences: BTreeMap<ShardId, Epoch>,
    serving_ends: Vec<ShardId>,
}

impl World {
    /// What earlier lives of the node left.
    pub(crate) fn read_back(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("it starts");
        let process = node.process.as_mut().expect("it starts");
        for ((shard, _), file) in &mut node.disk.tails {
            file.tail.cut();
            let _ = process.keepers.on(Event::Found { shard: *shard, file: file.kept() }, 0);
        }
    }

    pub(crate) fn keepers_on(&mut self, id: NodeId, event: Event) -> Vec<Action> {
        let now_ms = self.clock_ms(id);
        let process = self.process_mut(id).expect("it ticks");
        let actions = process.keepers.on(event, now_ms);
        actions.into_iter().filter_map(|action| self.perform_keeping(id, action)).collect()
    }

    pub(crate) fn keepers_tick(&mut self, id: NodeId) {
        if self.now_ms.is_multiple_of(TICK_MS) {
            let _ = self.keepers_on(id, Event::Tick);
        }
    }

    /// What only a link can do is answered.
    fn perform_keeping(&mut self, id: NodeId, action: Action) -> Option<Action> {
        let node = self.nodes.get_mut(&id).expect("it ticks");
        let process = node.process.as_mut().expect("it ticks");
        match action {
            Action::Dial { shard, primary, epoch } => {
                process.desk.dials.insert(shard, (primary, epoch));
            }
            Action::HangUp { shard } => {
                process.desk.dials.remove(&shard);
            }
            Action::Fence { shard, handover } => {
                process.desk.fences.insert(shard, handover);
            }
            Action::Lift { shard } => {
                process.desk.fences.remove(&shard);
            }
            Action::EndServing { shard } => process.desk.serving_ends.push(shard),
            Action::Remove { shard, epoch } => {
                node.disk.tails.remove(&(shard, epoch));
            }
            Action::GiveUp { .. }
            | Action::Acknowledge { .. }
            | Action::Serve { .. }
            | Action::Refuse { .. } => {
                return Some(action);
            }
        }
        None
    }

    // --- the link to a primary -------------------------------------------------------------------------------

    pub(crate) fn dial_kept(&mut self, id: NodeId, links: &mut Vec<Link>) {
        let process = self.process_mut(id).expect("it ticks");
        let (me, now_ms) = (process.me, self.now_ms);
        let process = self.process_mut(id).expect("it ticks");
        let dials = process.desk.dials.clone();
        let ends = std::mem::take(&mut process.desk.serving_ends);
        for link in links.iter_mut() {
            let is_kept = link.dialer == me && matches!(link.near, Near::Keeper(_));
            if is_kept && dials.get(&link.shard).is_none_or(|(primary, _)| *primary != link.acceptor) {
                link.hang_up(now_ms, &mut self.wire);
            }
            let is_served = link.acceptor == me && matches!(link.far, Far::Serving { .. });
            if is_served && ends.contains(&link.shard) {
                link.turn_away(now_ms, &mut self.wire);
            }
        }
        for (shard, (primary, _)) in dials {
            let is_open = |link: &Link| {
                link.dialer == me && link.shard == shard && matches!(link.near, Near::Keeper(_))
            };
            let process = self.process(id).expect("it ticks");
            let is_due = process.dial_at_ms.get(&primary).is_none_or(|at_ms| now_ms >= *at_ms);
            if !is_due || links.iter().any(is_open) {
                continue;
            }
            let hello = self.keep_hello(id, shard);
            self.redial(id, primary);
            let is_there = self.process(primary.node).is_some_and(|p| p.me == primary);
            if let (Some(hello), true) = (hello, is_there && !self.is_cut_between(id, primary.node)) {
                links.push(Link::open(hello, primary, Near::Keeper, now_ms, &mut self.wire));
            }
        }
    }

    fn keep_hello(&self, id: NodeId, shard: ShardId) -> Option<Hello> {
        let process = self.process(id)?;
        let goes_on = process.keepers.goes_on(shard);
        let file = goes_on.and_then(|kept| self.nodes[&id].disk.tails.get(&(shard, kept.epoch)));
        Some(Hello {
            versions: LINK_VERSIONS,
            cluster_id: process.view.cluster_id?,
            shard,
            member: process.me,
            purpose: Purpose::Keep,
            position: file.and_then(|file| file.tail.position()),
            levels: levels(&process.release),
        })
    }

    /// What has arrived from a primary whose tail is kept.
    pub(crate) fn keep(&mut self, link: &mut Link) {
        let (me, primary, shard) = (link.dialer, link.acceptor, link.shard);
        let kept = self.take_kept(link);
        let Err(ended) = kept else { return };
        self.redial(me.node, primary);
        let _ = self.keepers_on(me.node, Event::LinkLost { shard, primary });
        if let Ended::Refused(why) = ended {
            link.up.say(Word::Refuse(why), self.now_ms, &mut self.wire);
            self.process_mut(me.node).expect("it ticks").desk.dials.remove(&shard);
            let _ = self.keepers_on(me.node, Event::CannotKeep { shard });
        }
        link.hang_up(self.now_ms, &mut self.wire);
    }

    /// Refused: nothing can be kept.
    fn take_kept(&mut self, link: &mut Link) -> Result<(), Ended> {
        let (me, primary, shard, now_ms) = (link.dialer, link.acceptor, link.shard, self.now_ms);
        let passes = self.passes(primary.node, me.node);
        let process = self.process(me.node).expect("it ticks");
        let (_, epoch) = *process.desk.dials.get(&shard).ok_or(Ended::Silently)?;
        let source = Source { epoch, incarnation: primary.incarnation };
        let (mut says, mut grew) = (None, false);
        let said = match &link.near {
            Near::Keeper(end) => end.said,
            Near::Replica(_) | Near::Gone => None,
        };
        while let Some(word) = link.down.arrived(now_ms).filter(|_| passes) {
            match word {
                Word::Begin(begin) => says = Some(self.begin_tail(me, shard, source, primary, said, begin)?),
                Word::Frame(start, write) => {
                    let node = self.nodes.get_mut(&me.node).expect("it ticks");
                    let process = node.process.as_ref().expect("it ticks");
                    if !process.keepers.keeps(shard, primary, epoch) {
                        return Err(Ended::Silently);
                    }
                    if node.disk.is_full(now_ms) {
                        return Err(Ended::Refused("the disk is full".to_owned()));
                    }
                    let file = node.disk.tails.get_mut(&(shard, epoch)).ok_or(Ended::Silently)?;
                    let frame = Message::Effects(write.effects(*start));
                    file.tail.admit(&frame).map_err(|_| Ended::Silently)?;
                    file.writes.push(*write);
                    grew = true;
                }
                Word::Ping { .. } => says = self.whole_of(me.node, shard, epoch).or(says),
                Word::Accept => {}
                _ => return Err(Ended::Silently),
            }
            link.down.take();
            if let Near::Keeper(end) = &mut link.near {
                end.heard_ms = now_ms;
            }
        }
        if grew {
            let whole = self.whole_of(me.node, shard, epoch).ok_or(Ended::Silently)?;
            says = Action::acknowledged(&self.keepers_on(me.node, Event::Appended { shard, epoch, whole }))
                .or(says);
        }
        if let Some(applied) = says {
            link.up.say(Word::Ack(Ack { source, applied }), now_ms, &mut self.wire);
        }
        match &link.near {
            Near::Keeper(end) if now_ms > end.heard_ms + SILENCE_MS => Err(Ended::Silently),
            Near::Keeper(_) | Near::Replica(_) | Near::Gone => Ok(()),
        }
    }

    fn whole_of(&self, id: NodeId, shard: ShardId, epoch: Epoch) -> Option<Offset> {
        self.nodes[&id].disk.tails.get(&(shard, epoch)).map(|file| file.tail.whole())
    }

    /// The primary says from where on: the file goes on there, or begins there.
    fn begin_tail(
        &mut self,
        me: Member,
        shard: ShardId,
        expected: Source,
        primary: Member,
        said: Option<Position>,
        begin: &SyncBegin,
    ) -> Result<Offset, Ended> {
        let SyncBegin { source, mode, lineage } = begin;
        let (SyncMode::Partial { from }, true) = (*mode, *source == expected) else {
            return Err(Ended::Silently);
        };
        let now_ms = self.now_ms;
        let node = self.nodes.get_mut(&me.node).expect("it ticks");
        let process = node.process.as_ref().expect("it ticks");
        let name = (shard, source.epoch);
        let may_go_on = process.keepers.answered(shard, said).map_err(|_| Ended::Silently)?.is_some();
        let file = node.disk.tails.get_mut(&name).filter(|_| may_go_on);
        if file.is_none_or(|file| file.tail.go_on(*source, lineage, from).is_err()) {
            if node.disk.is_full(now_ms) {
                return Err(Ended::Refused("the disk is full".to_owned()));
            }
            let isr_epoch = process.keepers.shard(shard).map(|shard| shard.isr_epoch);
            let isr_epoch = isr_epoch.ok_or(Ended::Silently)?;
            let tail = KeptTail::new(*source, lineage.clone(), from);
            node.disk.tails.insert(name, TailFile { tail, by: me, isr_epoch, writes: Vec::new() });
        }
        let file = node.disk.tails[&name].kept();
        let actions = self.keepers_on(me.node, Event::Began { shard, primary, file });
        Action::acknowledged(&actions).ok_or(Ended::Silently)
    }

    // --- the link to a returning node ------------------------------------------------------------------------

    pub(crate) fn begin_serving(
        &mut self,
        link: &mut Link,
        hello: &Hello,
        is_late: bool,
    ) -> Result<(), Ended> {
        let id = link.acceptor.node;
        let process = self.process(id).expect("it ticks");
        if process.view.cluster_id != Some(hello.cluster_id) {
            return if is_late { Err(Ended::Silently) } else { Ok(()) };
        }
        if !hello.levels.admits(process.level()) {
            return Err(Ended::Silently);
        }
        let (shard, member, incarnation) = (hello.shard, hello.member, process.me.incarnation);
        let epoch = match self.keepers_on(id, Event::Hello { shard, member }).first() {
            Some(Action::Serve { epoch, .. }) => *epoch,
            Some(Action::Refuse { why, .. }) => {
                let may_pass = matches!(why, NotServed::UnknownShard { .. } | NotServed::OtherLife { .. });
                return if may_pass && !is_late { Ok(()) } else { Err(Ended::Refused(why.to_string())) };
            }
            Some(_) | None => return Err(Ended::Silently),
        };
        let file = self.nodes[&id].disk.tails.get(&(shard, epoch)).ok_or(Ended::Silently)?;
        let from = file.tail.serve(hello.position).map_err(|why| Ended::Refused(why.to_string()))?;
        let begin = begin_of(Source { epoch, incarnation }, from, file.tail.lineage().clone());
        link.down.say(Word::Accept, self.now_ms, &mut self.wire);
        link.down.say(Word::Begin(begin), self.now_ms, &mut self.wire);
        link.far = Far::Serving { epoch, cursor: from, fenced: None, pinged_ms: 0 };
        Ok(())
    }

    pub(crate) fn serve_kept(&mut self, link: &mut Link) -> Result<(), Ended> {
        let (id, shard, now_ms) = (link.acceptor.node, link.shard, self.now_ms);
        let passes = self.passes(link.dialer.node, id);
        while let Some(word) = link.up.arrived(now_ms).filter(|_| passes) {
            if !matches!(word, Word::Ack(_)) {
                return Err(Ended::Silently);
            }
            link.up.take();
        }
        let Far::Serving { epoch, mut cursor, mut fenced, mut pinged_ms } = link.far else { return Ok(()) };
        let World { nodes, wire, .. } = self;
        let node = nodes.get_mut(&id).expect("it ticks");
        let file = node.disk.tails.get(&(shard, epoch)).ok_or(Ended::Silently)?;
        let next = file.after(cursor);
        let handover = node.process.as_ref().and_then(|process| process.desk.fences.get(&shard).copied());
        if next.is_empty() {
            if let Some(handover_epoch) = handover.filter(|_| handover != fenced) {
                link.down.say(Word::Fence(Fence { handover_epoch, offset: cursor }), now_ms, wire);
                fenced = handover;
            }
            if now_ms >= pinged_ms + PING_MS {
                link.down.say(Word::Ping { applied_index: 0 }, now_ms, wire);
                pinged_ms = now_ms;
            }
        } else {
            say_frames(link, &mut cursor, next, now_ms, wire);
        }
        link.far = Far::Serving { epoch, cursor, fenced, pinged_ms };
        Ok(())
    }

    // --- I22 ---------------------------------------------------------------------------------------------------

    /// I22: while a node of a shard is out by plan, another member or the recorded keeper holds what is acknowledged, or the
    /// log says that the shard is exposed.
    pub(crate) fn check_kept(&self, id: ShardId, shard: &Shard) -> Result<(), String> {
        let is_out = |node: &NodeId| self.truth.nodes.get(node).is_some_and(|node| node.out.is_some());
        if !shard.nodes.iter().any(is_out) || shard.exposed || shard.in_sync.len() >= 2 {
            return Ok(());
        }
        let Some(keeper) = shard.keeper_that_counts() else {
            return Err(format!(
                "I22: shard {id} has a node out, one member and no keeper, and is not exposed"
            ));
        };
        // A life that is over is known to the log, or dropped, a moment later; what it held is not asked of it.
        let node = &self.nodes[&keeper.member.node];
        if node.process.as_ref().is_none_or(|process| process.me != keeper.member) {
            return Ok(());
        }
        let Some(file) = node.disk.tails.get(&(id, shard.epoch)) else {
            return Err(format!("I22: {} keeps nothing of shard {id}", keeper.member));
        };
        let begin = crate::stream::writes_below(file.tail.from());
        let acknowledged = self.ledger.of(id).get(begin..).unwrap_or_default();
        if file.writes.len() < acknowledged.len()
            || acknowledged.last() != acknowledged.len().checked_sub(1).map(|last| &file.writes[last])
        {
            let (end, all) = (begin + file.writes.len(), self.ledger.of(id).len());
            return Err(format!(
                "I22: {} keeps shard {id} up to {end}, and {all} writes are acknowledged",
                keeper.member
            ));
        }
        Ok(())
    }
}
