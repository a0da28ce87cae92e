//! What a leader remembers to pace itself: since when nodes are out, shards without a primary and handovers in flight,
//! since when it has seen a plan soak, and how often handovers failed.
//!
//! *Invariant:* losing it is harmless. A new leader measures anew, so it waits longer, never shorter.
//!
//! *Invariant:* every duration is a difference of two readings of one monotonic clock, this leader's. No time that the log or
//! another node names is in it.

use crate::bars::Bars;
use crate::observation::Timers;
use ironcache_control::{ControlState, Phase, Plan, Shard};
use ironcache_types::{Epoch, NodeId, PlanId, ShardId};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderMemory {
    out: BTreeMap<NodeId, OutSince>,
    shards: BTreeMap<ShardId, ShardPace>,
    soak: Option<Soak>,
}

/// A plan that soaks, since this leader has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Soak {
    plan: PlanId,
    plan_epoch: Epoch,
    /// What the log said then.
    before_ms: u64,
    since_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OutSince {
    step: Epoch,
    /// A `resume` gives a node that was timed out its whole time again.
    plan_epoch: Epoch,
    since_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ShardPace {
    /// The ownership epoch under which attempts are counted.
    ownership: Epoch,
    recovering_since_ms: Option<u64>,
    flight: Option<Flight>,
    failures: u32,
    not_before_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flight {
    handover: Epoch,
    since_ms: u64,
}

impl LeaderMemory {
    /// Takes in the applied state at the leader's monotonic `now_ms`; call it before every `decide`. After a
    /// change of leader begin with `LeaderMemory::default()`.
    pub fn note(&mut self, state: &ControlState, bars: &Bars, now_ms: u64) -> Timers {
        let plan_epoch = state.plan.as_ref().map(|p| p.epoch).unwrap_or_default();
        self.out.retain(|node, _| state.nodes.get(node).is_some_and(|n| n.out.is_some()));
        for (id, node) in &state.nodes {
            let Some(step) = node.out.as_ref().map(|o| o.epoch) else { continue };
            let known = self.out.get(id).is_some_and(|o| o.step == step && o.plan_epoch == plan_epoch);
            if !known {
                self.out.insert(*id, OutSince { step, plan_epoch, since_ms: now_ms });
            }
        }
        self.shards.retain(|id, _| state.shards.contains_key(id));
        for (id, shard) in &state.shards {
            self.shards.entry(*id).or_default().note(shard, bars, now_ms);
        }
        self.soak = state.plan.as_ref().and_then(|plan| Soak::of(plan, self.soak, now_ms));
        self.timers(now_ms)
    }

    fn timers(&self, now_ms: u64) -> Timers {
        let age = |since_ms: u64| now_ms.saturating_sub(since_ms);
        Timers {
            out_for_ms: self.out.iter().map(|(id, out)| (*id, age(out.since_ms))).collect(),
            recovering_ms: self
                .shards
                .iter()
                .filter_map(|(id, pace)| pace.recovering_since_ms.map(|since_ms| (*id, age(since_ms))))
                .collect(),
            handover_age_ms: self
                .shards
                .iter()
                .filter_map(|(id, pace)| pace.flight.map(|f| (*id, age(f.since_ms))))
                .collect(),
            handover_not_before_ms: self
                .shards
                .iter()
                .filter(|(_, pace)| pace.not_before_ms > now_ms)
                .map(|(id, pace)| (*id, pace.not_before_ms))
                .collect(),
            soaked_ms: self.soak.map(|soak| soak.before_ms.saturating_add(age(soak.since_ms))),
        }
    }
}

impl Soak {
    /// `None` unless the plan soaks. One that soaks again, after it was held, does so from the beginning: its epoch is another.
    fn of(plan: &Plan, known: Option<Soak>, now_ms: u64) -> Option<Soak> {
        let Plan { id, epoch, phase, .. } = plan;
        match phase {
            Phase::Soaking { since_ms: _, soaked_ms } => {
                let known = known.filter(|soak| soak.plan == *id && soak.plan_epoch == *epoch);
                let begins = Soak { plan: *id, plan_epoch: *epoch, before_ms: *soaked_ms, since_ms: now_ms };
                Some(known.unwrap_or(begins))
            }
            Phase::Staging
            | Phase::Rolling
            | Phase::Paused
            | Phase::Held { .. }
            | Phase::TurningBack { .. } => None,
        }
    }
}

impl ShardPace {
    fn note(&mut self, shard: &Shard, bars: &Bars, now_ms: u64) {
        if self.ownership != shard.epoch {
            *self = ShardPace { ownership: shard.epoch, ..ShardPace::default() };
        }
        self.recovering_since_ms = match shard.primary() {
            Some(_) => None,
            None => self.recovering_since_ms.or(Some(now_ms)),
        };
        let flying = shard.handover.map(|h| h.epoch);
        if self.flight.map(|f| f.handover) == flying {
            return;
        }
        if self.flight.is_some() {
            // It ended, and the owner is the same: it failed.
            let pause_ms = bars.handover_backoff_ms.saturating_mul(1 << self.failures.min(16));
            self.not_before_ms = now_ms + pause_ms.min(bars.handover_backoff_ms_max);
            self.failures += 1;
        }
        self.flight = flying.map(|handover| Flight { handover, since_ms: now_ms });
    }
}
