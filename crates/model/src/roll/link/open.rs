//! How a link opens: what both ends say at its beginning.

use super::{Kind, Link};
use crate::roll::node::Tail;
use crate::roll::world::World;
use ironcache_replication::{Hello, KeptTail, LINK_VERSIONS, Purpose, Source, SyncBegin, SyncMode};
use ironcache_shard::Follow;
use ironcache_shard::keeper::{self, Kept};
use ironcache_types::{Level, LevelRange, Offset, ShardId};

const LEVELS: LevelRange = LevelRange { min: Level::FIRST, max: Level::FIRST };

impl World {
    pub(super) fn open_one(&mut self) -> bool {
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
        let link = Link::new(sender, taker, Kind::Follow, serial, source, at);
        self.links.push(Link { syncs, ..link });
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
        let link = Link::new(
            sender,
            taker,
            Kind::Next,
            serial,
            Source { epoch: ironcache_types::Epoch(0), incarnation: member.incarnation },
            Offset(0),
        );
        self.links.push(link);
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
        let link = Link::new(sender, taker, Kind::Keep, serial, source, from);
        self.links.push(link);
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
        let link = Link::new(sender, taker, Kind::Tail, 0, source, from);
        self.links.push(link);
        true
    }
}
