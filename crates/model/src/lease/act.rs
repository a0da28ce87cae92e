//! What can happen next.

use super::LeaseModel;
use super::broken::Broken;
use super::world::{Asking, Entry, LEASE_MS, LIVES, SHARD, Stage, TIMERS, What, World};
use ironcache_shard::{Deposing, Grant, Round};
use ironcache_types::{Incarnation, Member};

/// One event. A life is 0 or 1; a leader is counted from the oldest that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Tick,
    /// A tick that the clock of a life misses.
    TickMissed {
        life: usize,
    },
    /// A tick that the newest leader's clock counts twice.
    TickTwice,
    Ask {
        life: usize,
        leader: usize,
    },
    ReadIndex {
        life: usize,
    },
    Confirm {
        life: usize,
    },
    Grant {
        life: usize,
    },
    Hear {
        life: usize,
    },
    Apply {
        life: usize,
    },
    /// Somebody else is elected, with so many of the uncommitted entries of the newest leader, or of the one before if the
    /// newest has committed nothing.
    Elect {
        of: usize,
        adopts: usize,
    },
    Commit,
    /// A leader applies what is committed.
    Follow {
        leader: usize,
    },
    /// It decides to depose the owner that it knows.
    Depose {
        leader: usize,
    },
    /// What it decided is appended in its own term.
    Append {
        leader: usize,
    },
    /// What it decided is appended later, when it, or somebody else, leads the newest term.
    AppendLater {
        leader: usize,
    },
    /// The owner wants to hand over, and the log takes it.
    Begin {
        life: usize,
    },
    Abort,
    /// A candidate proposes its promotion.
    Propose {
        life: usize,
    },
    /// That proposal arrives.
    Arrive {
        life: usize,
    },
    /// An owner says where it began, or changes its set.
    Change {
        life: usize,
    },
    Kill {
        life: usize,
    },
    /// The node of a killed process registers its next life.
    Register {
        life: usize,
    },
}

impl World {
    /// All that might; [`World::play`] says what can.
    pub(super) fn acts(&self, acts: &mut Vec<Act>) {
        if self.ticks_left != Some(0) {
            acts.push(Act::Tick);
            if self.left.skews > 0 {
                acts.extend([Act::TickMissed { life: 0 }, Act::TickMissed { life: 1 }, Act::TickTwice]);
            }
        }
        for life in 0..2 {
            acts.extend((0..self.leaders.len()).map(|leader| Act::Ask { life, leader }));
            acts.extend([
                Act::ReadIndex { life },
                Act::Confirm { life },
                Act::Grant { life },
                Act::Hear { life },
                Act::Apply { life },
                Act::Begin { life },
                Act::Propose { life },
                Act::Arrive { life },
                Act::Change { life },
                Act::Kill { life },
                Act::Register { life },
            ]);
        }
        for (leader, of) in self.leaders.iter().enumerate() {
            acts.extend([
                Act::Follow { leader },
                Act::Depose { leader },
                Act::Append { leader },
                Act::AppendLater { leader },
            ]);
            if self.left.elections > 0 {
                acts.extend((0..=of.appended.len()).map(|adopts| Act::Elect { of: leader, adopts }));
            }
        }
        acts.extend([Act::Commit, Act::Abort]);
    }

    /// `None` if it cannot be, or changes nothing.
    pub(super) fn play(&mut self, model: &LeaseModel, act: Act) -> Option<()> {
        match act {
            // Nothing that this one does is seen, or seen any more.
            Act::Apply { life } if !self.matters(life) => return None,
            Act::Tick => self.tick(),
            Act::TickMissed { life } => {
                self.tick();
                self.left.skews = self.left.skews.checked_sub(1)?;
                self.lives[life].late += 1;
            }
            Act::TickTwice => {
                self.tick();
                self.left.skews = self.left.skews.checked_sub(1)?;
                self.newest().early += 1;
            }
            Act::Ask { life, leader } => self.ask(life, leader)?,
            Act::ReadIndex { life } => self.read_index(life)?,
            Act::Confirm { life } => self.confirm(model, life)?,
            Act::Grant { life } => self.grant(model, life)?,
            Act::Hear { life } => self.hear(model, life)?,
            Act::Apply { life } => self.apply(model, life)?,
            Act::Elect { of, adopts } => {
                self.left.elections = self.left.elections.checked_sub(1)?;
                // Entries of the one before live on in a group whose newest leader has committed nothing.
                let newest = self.leaders.len() - 1;
                if of != newest && self.leaders[newest].first.is_some() {
                    return None;
                }
                let adopted = self.leaders[of].appended[..adopts].to_vec();
                self.elect(&adopted);
            }
            Act::Commit => self.commit(model.broken)?,
            Act::Follow { leader } => self.follow(model, leader)?,
            Act::Depose { leader } => self.depose(model, leader)?,
            Act::Append { leader } => {
                let what = self.leaders[leader].decided.take()?;
                let term = self.leaders[leader].term;
                self.leaders[leader].appended.push(Entry { term, what });
            }
            Act::AppendLater { leader } => {
                if leader + 1 == self.leaders.len() {
                    return None;
                }
                let what = self.leaders[leader].decided.take()?;
                self.append(what);
            }
            Act::Begin { life } => self.begin(life)?,
            Act::Abort => {
                let handover = self.shard(self.log.len()).handover?.epoch;
                self.append_once(What::Abort { handover })?;
            }
            Act::Propose { life } => self.propose(life)?,
            Act::Arrive { life } => {
                let what = self.lives[life].proposed.take()?;
                self.append(what);
            }
            Act::Change { life } => self.change(life)?,
            Act::Kill { life } => {
                if !self.lives[life].alive {
                    return None;
                }
                self.left.kills = self.left.kills.checked_sub(1)?;
                let dead = &mut self.lives[life];
                (dead.alive, dead.asking, dead.proposed) = (false, None, None);
            }
            Act::Register { life } => {
                if self.lives[life].alive {
                    return None;
                }
                let member = Member { incarnation: Incarnation(2), ..LIVES[life] };
                self.append_once(What::Register { member })?;
            }
        }
        self.forget(model);
        Some(())
    }

    fn tick(&mut self) {
        self.now += 1;
        self.ticks_left = self.ticks_left.map(|left| left.saturating_sub(1));
    }

    /// What became of a question that cannot be answered any more, or would be too late.
    fn forget(&mut self, model: &LeaseModel) {
        if model.broken.is_some() {
            return;
        }
        for life in 0..2 {
            let now_ms = self.clock_ms(life);
            let newest = self.leaders.last().map(|leader| leader.term);
            let hopeless = |asking: &Asking| {
                let unconfirmed = matches!(asking.stage, Stage::Asked | Stage::Read { .. });
                now_ms >= asking.asked_ms + LEASE_MS || (unconfirmed && Some(asking.term) != newest)
            };
            self.lives[life].asking = self.lives[life].asking.filter(|asking| !hopeless(asking));
        }
    }

    /// The newest leader appends it.
    fn append(&mut self, what: What) {
        let newest = self.newest();
        let term = newest.term;
        newest.appended.push(Entry { term, what });
    }

    /// Unless somebody has.
    fn append_once(&mut self, what: What) -> Option<()> {
        let appended = self.leaders.last().into_iter().flat_map(|leader| &leader.appended);
        let known = self.log.iter().chain(appended).any(|entry| entry.what == what);
        (!known).then(|| self.append(what))
    }

    fn ask(&mut self, life: usize, leader: usize) -> Option<()> {
        let is_owner = self.seen_by(life).is_primary(LIVES[life]);
        let matters = self.matters(life);
        let Self { lives, leaders, .. } = self;
        if !is_owner || !lives[life].alive || !matters {
            return None;
        }
        let term = leaders[leader].term;
        let asked_ms = self.clock_ms(life);
        self.lives[life].asking = Some(Asking { term, asked_ms, stage: Stage::Asked });
        Some(())
    }

    fn read_index(&mut self, life: usize) -> Option<()> {
        let index = self.log.len() as u64;
        let asking = self.lives[life].asking.as_mut().filter(|asking| asking.stage == Stage::Asked)?;
        let leader = self.leaders.iter().find(|leader| leader.term == asking.term)?;
        // Of an earlier leader: no more than what it knew. Nobody confirms it.
        leader.first?;
        asking.stage = Stage::Read { index };
        Some(())
    }

    fn confirm(&mut self, model: &LeaseModel, life: usize) -> Option<()> {
        let asking = self.lives[life].asking?;
        let Stage::Read { index } = asking.stage else { return None };
        if !self.is_newest(asking.term) && model.broken != Some(Broken::NoQuorumRound) {
            return None;
        }
        self.lives[life].asking = Some(Asking { stage: Stage::Confirmed { index }, ..asking });
        Some(())
    }

    /// By then somebody else may lead.
    fn grant(&mut self, model: &LeaseModel, life: usize) -> Option<()> {
        let asking = self.lives[life].asking?;
        let Stage::Confirmed { index } = asking.stage else { return None };
        let at = self.leaders.iter().position(|leader| leader.term == asking.term)?;
        let now_ms = self.leader_ms(at);
        let state = self.state(self.leaders[at].applied);
        let grantor = &mut self.leaders[at].grantor;
        let round = Round { term: u64::from(asking.term), index };
        let granted = grantor.grant(LIVES[life], 0, u64::MAX, round, &state, now_ms).ok();
        let index = granted
            .map(|covers| if model.broken == Some(Broken::ForgetsWhatItSettled) { index } else { covers });
        self.lives[life].asking = index.map(|index| Asking { stage: Stage::Granted { index }, ..asking });
        Some(())
    }

    fn hear(&mut self, model: &LeaseModel, life: usize) -> Option<()> {
        let now_ms = self.clock_ms(life);
        let heard = &mut self.lives[life];
        let Asking { asked_ms, stage: Stage::Granted { index }, .. } = heard.asking? else { return None };
        let from_ms = if model.broken == Some(Broken::RunsFromTheAnswer) { now_ms } else { asked_ms };
        let index = if model.broken == Some(Broken::NoReadIndex) { 0 } else { index };
        heard.asking = None;
        heard.lease.granted(Grant { until_ms: from_ms + LEASE_MS, index }, now_ms, heard.applied as u64);
        Some(())
    }

    fn apply(&mut self, model: &LeaseModel, life: usize) -> Option<()> {
        if !self.lives[life].alive || self.lives[life].applied == self.log.len() {
            return None;
        }
        self.lives[life].applied += 1;
        let shard = self.seen_by(life);
        let begun =
            shard.is_primary(LIVES[life]) && shard.lineage.last().is_some_and(|entry| entry.start.is_some());
        let now_ms = self.clock_ms(life);
        let owner = &mut self.lives[life];
        // As the node does it: a promise is known by where it begins, and all begin at the same place here.
        if let Some((_, since_ms)) = owner.promise_ms.take_if(|_| begun) {
            let late = model.broken == Some(Broken::PromotionRunsFromItsCommit);
            let from_ms = if late { now_ms } else { since_ms };
            let grant = Grant { until_ms: from_ms + LEASE_MS, index: 0 };
            owner.lease.granted(grant, now_ms, owner.applied as u64);
        }
        Some(())
    }

    fn follow(&mut self, model: &LeaseModel, at: usize) -> Option<()> {
        let (entries, now_ms) = (self.log.len(), self.leader_ms(at));
        if self.leaders[at].applied == entries {
            return None;
        }
        let state = self.state(entries);
        let leader = &mut self.leaders[at];
        leader.applied = entries;
        if leader.first.is_some() {
            let early = model.broken == Some(Broken::NewLeaderDoesNotWait);
            leader.grantor.leads(u64::from(leader.term), &state, if early { 0 } else { now_ms });
        }
        let own = |what| Entry { term: leader.term, what };
        if let Some((_, owner)) = leader.deposing.take_if(|(what, _)| self.log.contains(&own(*what))) {
            leader.grantor.settled(Deposing(owner), entries as u64);
        }
        Some(())
    }

    fn depose(&mut self, model: &LeaseModel, at: usize) -> Option<()> {
        let leader = &self.leaders[at];
        // It waits for the outcome of the last one.
        if leader.first.is_none() || leader.deposing.is_some() {
            return None;
        }
        let shard = self.shard(leader.applied);
        let (shard_epoch, isr_epoch) = (shard.epoch, shard.isr_epoch);
        let (owner, term) = (shard.primary(), u64::from(leader.term));
        let to = *shard.in_sync.iter().find(|member| Some(**member) != owner)?;
        let what = What::Depose { shard_epoch, isr_epoch, to, term };
        let Some(owner) = owner else {
            // Nobody owns it: there is no lease to wait for.
            return self.append_once(what);
        };
        let early_ms = if model.broken == Some(Broken::ShorterWait) { model.tick_ms } else { 0 };
        let now_ms = self.leader_ms(at) + early_ms;
        let leader = &mut self.leaders[at];
        let Deposing(deposed) = leader.grantor.depose(SHARD, owner, &TIMERS, now_ms)?;
        leader.decided = Some(what);
        leader.deposing = Some((what, deposed));
        if model.broken == Some(Broken::GrantsWhileDeposing) {
            leader.grantor.settled(Deposing(deposed), 0);
        }
        Some(())
    }

    fn begin(&mut self, life: usize) -> Option<()> {
        let shard = self.seen_by(life);
        let (from, to) = (LIVES[life], LIVES[1 - life]);
        if !self.lives[life].alive || !shard.is_primary(from) || shard.handover.is_some() {
            return None;
        }
        let shard_epoch = shard.epoch;
        self.left.handovers = self.left.handovers.checked_sub(1)?;
        self.append_once(What::Begin { shard_epoch, from, to })
    }

    /// Its owner has parked by then: it sent the fence.
    fn propose(&mut self, life: usize) -> Option<()> {
        let candidate = &self.lives[life];
        let flight = self.seen_by(life).handover.filter(|flight| flight.to == LIVES[life])?;
        let fence = self.seen_by(1 - life).handover;
        if !candidate.alive || candidate.promise_ms.is_some() || fence.is_none_or(|h| h.epoch != flight.epoch)
        {
            return None;
        }
        let since_ms = self.clock_ms(life);
        let candidate = &mut self.lives[life];
        candidate.promise_ms = Some((flight.epoch, since_ms));
        candidate.proposed = Some(What::Promote { handover: flight.epoch, to: LIVES[life] });
        Some(())
    }

    fn change(&mut self, life: usize) -> Option<()> {
        let shard = self.seen_by(life);
        let (primary, member) = (LIVES[life], LIVES[1 - life]);
        if !self.lives[life].alive || !shard.is_primary(primary) {
            return None;
        }
        let (epoch, isr_epoch) = (shard.epoch, shard.isr_epoch);
        let what = if shard.lineage.last().is_some_and(|entry| entry.start.is_none()) {
            What::Ready { epoch }
        } else if shard.in_sync.contains(&member) {
            What::Remove { isr_epoch, primary, member }
        } else {
            What::Add { isr_epoch, primary, member }
        };
        self.left.changes = self.left.changes.checked_sub(1)?;
        self.append_once(what)
    }

    /// From here on nothing goes wrong any more: somebody answers within two waits, if anybody is left who may.
    pub(super) fn can_go_on(&self, model: &LeaseModel) -> bool {
        let calm = LeaseModel { broken: None, ..*model };
        let mut world = self.clone();
        let newest = world.leaders.len() - 1;
        for _ in 0..2 * (model.wait_ticks() + 1) {
            world.settle(&calm, newest);
            let shard = world.shard(world.log.len());
            let may = |life: &usize| {
                let heir = shard.in_sync.contains(&LIVES[*life]);
                world.lives[*life].alive && heir
            };
            if !(0..2).any(|life| may(&life)) || world.answering(&calm).next().is_some() {
                return true;
            }
            for life in 0..2 {
                for act in [
                    Act::Ask { life, leader: newest },
                    Act::ReadIndex { life },
                    Act::Confirm { life },
                    Act::Grant { life },
                    Act::Hear { life },
                ] {
                    let _ = world.play(&calm, act);
                }
            }
            if world.answering(&calm).next().is_some() {
                return true;
            }
            let _ = world.play(&calm, Act::Abort);
            world.settle(&calm, newest);
            world.tick();
            let _ = world.play(&calm, Act::Depose { leader: newest });
            let _ = world.play(&calm, Act::Append { leader: newest });
        }
        false
    }

    /// All is committed and applied.
    fn settle(&mut self, model: &LeaseModel, newest: usize) {
        let _ = self.play(model, Act::Append { leader: newest });
        while self.play(model, Act::Commit).is_some() {}
        let _ = self.play(model, Act::Follow { leader: newest });
        for life in 0..2 {
            while self.play(model, Act::Apply { life }).is_some() {}
        }
    }
}
