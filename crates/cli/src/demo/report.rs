//! The demo's answer: one JSON object, and the verdict with its reasons.
//!
//! *Invariant:* the verdict is a function of what was observed; every reason to fail is named.

use super::meter::Percentiles;
use super::scene::Scene;
use crate::output;
use ironcache_api::{HandoverRecord, Plan, Refused, StartedBy, StepRecord, StepRole};
use ironcache_types::{NodeId, Release, ShardId, Version};
use std::collections::BTreeMap;

/// What `demo --json` prints, with these names in this order.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Report {
    pub from: Version,
    pub to: Version,
    pub shards: u16,
    pub nodes: u16,
    /// Keys of the fill.
    pub keys: u64,
    /// Writes of the load, beyond the fill.
    pub acknowledged_writes: u64,
    /// Of the fill and of the load. `None` if they could not be read back.
    pub lost_writes: Option<u64>,
    /// Read back with another value, or read wrongly during the load.
    pub wrong_values: u64,
    pub client_errors: u64,
    /// Between two acknowledged writes of one shard; the longest of all shards.
    pub longest_write_gap_ms: f64,
    pub longest_read_gap_ms: f64,
    pub write_ms: Percentiles,
    /// From the acceptance of the plan to its end. `None` if it did not end.
    pub roll_ms: Option<u64>,
    pub handovers: Vec<HandoverLine>,
    pub order: Vec<OrderLine>,
    /// With `--auto` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<StartedBy>,
    /// With `--rollback` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Back>,
    pub refused: Option<Refused>,
    pub verdict: Verdict,
}

/// The way back of a plan that every node had gone.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Back {
    /// From the command to the plan's end.
    pub ms: Option<u64>,
    pub handovers: Vec<HandoverLine>,
    pub order: Vec<OrderLine>,
}

impl Back {
    /// What `ended` did after it had been where `went` was.
    pub(super) fn of(ended: &Plan, went: &Plan, ms: Option<u64>) -> Self {
        let handovers = ended.handovers.iter().skip(went.handovers.len());
        let steps = ended.steps.iter().skip(went.steps.len());
        Self { ms, handovers: handovers.map(handover_line).collect(), order: steps.map(order_line).collect() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Pass,
    Fail,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct HandoverLine {
    pub shard: ShardId,
    pub from: String,
    pub to: String,
    pub epoch: u64,
    /// How long the old primary held commands back; `None` if it did not report.
    pub stall_ms: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct OrderLine {
    pub node: String,
    /// `None` for a witness.
    pub shard: Option<ShardId>,
    pub role: StepRole,
    /// Did the node lead raft when the plan began?
    pub leader: bool,
    /// How long the node was out; `None` if its step did not end.
    pub ms: Option<u64>,
}

impl Report {
    pub(super) fn new(from: Version, to: Version, shards: u16, nodes: u16, keys: u64) -> Self {
        Self {
            from,
            to,
            shards,
            nodes,
            keys,
            acknowledged_writes: 0,
            lost_writes: None,
            wrong_values: 0,
            client_errors: 0,
            longest_write_gap_ms: 0.0,
            longest_read_gap_ms: 0.0,
            write_ms: Percentiles::default(),
            roll_ms: None,
            handovers: Vec::new(),
            order: Vec::new(),
            started_by: None,
            rollback: None,
            refused: None,
            verdict: Verdict::Fail,
        }
    }

    pub(super) fn enter_plan(&mut self, plan: &Plan, ended_at_ms: Option<u64>) {
        self.roll_ms = ended_at_ms.map(|at| at.saturating_sub(plan.started_at_ms));
        self.handovers = plan.handovers.iter().map(handover_line).collect();
        self.order = plan.steps.iter().map(order_line).collect();
    }

    /// Sets the verdict, and gives the reasons against `pass`.
    pub(super) fn judge(&mut self, evidence: &Evidence) -> Vec<String> {
        let mut reasons: Vec<String> = evidence.broke_off.iter().cloned().collect();
        let mut against = |holds: bool, reason: String| {
            if holds {
                reasons.push(reason);
            }
        };
        let lost = self.lost_writes.unwrap_or(0);
        against(lost > 0, format!("{lost} acknowledged writes were lost"));
        against(self.wrong_values > 0, format!("{} values were wrong", self.wrong_values));
        against(self.client_errors > 0, format!("clients saw {} errors", self.client_errors));
        for sample in &evidence.samples {
            against(true, sample.clone());
        }
        // A demo that broke off has said why; that the rest is missing follows from it.
        if evidence.broke_off.is_none() {
            reasons.extend(self.missing(evidence));
            reasons.extend(order_faults(&self.order, &evidence.start_primaries));
            if let Some(back) = &self.rollback {
                let faults = order_faults(&back.order, &evidence.primaries_before_rollback);
                reasons.extend(faults.iter().map(|fault| format!("on the way back, {fault}")));
            }
        }
        self.verdict = if reasons.is_empty() { Verdict::Pass } else { Verdict::Fail };
        reasons
    }

    /// What a whole demo would have shown.
    fn missing(&self, evidence: &Evidence) -> Vec<String> {
        let mut missing = Vec::new();
        let mut lacks = |holds: bool, reason: String| {
            if holds {
                missing.push(reason);
            }
        };
        lacks(self.refused.is_some(), "the roll was refused".to_owned());
        lacks(self.lost_writes.is_none(), "the acknowledged keys were not read back".to_owned());
        lacks(self.acknowledged_writes == 0, "the load wrote nothing".to_owned());
        lacks(self.roll_ms.is_none(), "the roll did not end on its target".to_owned());
        lacks(evidence.is_one_binary(), "both releases are the same binary".to_owned());
        lacks(
            evidence.start_primaries.len() != usize::from(self.shards),
            "a shard had no primary".to_owned(),
        );
        let runs_at_the_end = match evidence.scene {
            Scene::Roll | Scene::Auto => &self.to,
            Scene::Rollback => &self.from,
        };
        match evidence.scene {
            Scene::Roll => {}
            Scene::Auto => {
                let by = self.started_by.as_ref().map_or("nobody", StartedBy::as_str);
                lacks(
                    by != StartedBy::Policy.as_str(),
                    format!("the plan was started by {by}, not by policy"),
                );
            }
            Scene::Rollback => {
                lacks(self.rollback.is_none(), "nobody went back".to_owned());
                let primaries = evidence.primaries_before_rollback.len();
                let some_lacked = self.rollback.is_some() && primaries != usize::from(self.shards);
                lacks(some_lacked, "a shard had no primary when the plan turned".to_owned());
            }
        }
        for (addr, version) in &evidence.runs {
            let runs = version.as_ref().map_or_else(|| "does not answer".to_owned(), |v| format!("runs {v}"));
            let other = version.as_ref() != Some(runs_at_the_end);
            lacks(other, format!("the node at {addr} {runs}, not {runs_at_the_end}"));
        }
        lacks(
            evidence.runs.len() != usize::from(self.nodes),
            format!("{} nodes were asked", evidence.runs.len()),
        );
        missing
    }

    /// For people.
    pub(super) fn text(&self, reasons: &[String]) -> String {
        let dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let (nodes, shards) = (self.nodes, self.shards);
        let and_back = if self.rollback.is_some() { " and back" } else { "" };
        let mut lines =
            vec![format!("{} to {}{and_back} on {nodes} nodes in {shards} shards", self.from, self.to)];
        lines.extend(self.started_by.as_ref().map(|by| format!("  started by          {by}")));
        lines.push(format!("  roll                {}", dash(self.roll_ms.map(output::seconds))));
        if let Some(back) = &self.rollback {
            lines.push(format!("  rollback            {}", dash(back.ms.map(output::seconds))));
        }
        lines.extend([
            format!(
                "  acknowledged        {} keys of the fill, {} writes of the load",
                self.keys, self.acknowledged_writes
            ),
            format!("  lost writes         {}", dash(self.lost_writes.map(|n| n.to_string()))),
            format!("  wrong values        {}", self.wrong_values),
            format!("  client errors       {}", self.client_errors),
            format!("  longest write gap   {:.1} ms", self.longest_write_gap_ms),
            format!("  longest read gap    {:.1} ms", self.longest_read_gap_ms),
            format!(
                "  write latency       p50 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2} ms",
                self.write_ms.p50, self.write_ms.p99, self.write_ms.p999, self.write_ms.max
            ),
        ]);
        let back = self.rollback.iter().flat_map(|back| &back.handovers);
        for handover in self.handovers.iter().chain(back) {
            let stall = dash(handover.stall_ms.map(|ms| format!("{ms:.2} ms")));
            let (from, to) = (&handover.from, &handover.to);
            lines.push(format!("  handover, shard {:<3} {from} to {to}, stall {stall}", handover.shard));
        }
        match self.verdict {
            Verdict::Pass => lines.push("pass".to_owned()),
            Verdict::Fail => lines.push(format!("FAIL: {}", reasons.join("; "))),
        }
        lines.join("\n")
    }
}

/// What the verdict looks at beyond the report.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub from: Option<Release>,
    pub to: Option<Release>,
    /// What each node said it runs after the roll, by address; `None` if it did not answer.
    pub runs: BTreeMap<String, Option<Version>>,
    pub scene: Scene,
    pub start_primaries: BTreeMap<ShardId, NodeId>,
    /// With [`Scene::Rollback`]: who was primary when the plan turned.
    pub primaries_before_rollback: BTreeMap<ShardId, NodeId>,
    /// Some of what clients saw go wrong.
    pub samples: Vec<String>,
    /// Why the demo did not come to its end.
    pub broke_off: Option<String>,
}

impl Evidence {
    fn is_one_binary(&self) -> bool {
        matches!((&self.from, &self.to), (Some(from), Some(to)) if from.digest == to.digest)
    }
}

fn handover_line(handover: &HandoverRecord) -> HandoverLine {
    HandoverLine {
        shard: handover.shard,
        from: handover.from.to_string(),
        to: handover.to.to_string(),
        epoch: handover.epoch.0,
        stall_ms: handover.stall_us.map(|us| us as f64 / 1000.0),
    }
}

fn order_line(step: &StepRecord) -> OrderLine {
    OrderLine {
        node: step.node.to_string(),
        shard: step.shard,
        role: step.role.clone(),
        leader: step.led_raft,
        ms: step.ended_at_ms.map(|at| at.saturating_sub(step.began_at_ms)),
    }
}

/// Where the order broke the rule: a shard's plan-start primary goes last among its nodes.
fn order_faults(order: &[OrderLine], start_primaries: &BTreeMap<ShardId, NodeId>) -> Vec<String> {
    let mut faults = Vec::new();
    for (shard, primary) in start_primaries {
        match order.iter().rfind(|step| step.shard == Some(*shard)) {
            None => faults.push(format!("no node of shard {shard} was rolled")),
            Some(last) if last.node != primary.to_string() => {
                faults.push(format!(
                    "shard {shard}: its old primary {primary} did not go last ({} did)",
                    last.node
                ));
            }
            Some(last) if last.role != StepRole::Primary => {
                faults.push(format!(
                    "shard {shard}: its old primary {primary} was rolled as a {:?}",
                    last.role
                ));
            }
            Some(_) => {}
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::samples::plan;
    use ironcache_types::Digest;

    fn step(node: u64, shard: u16, role: StepRole) -> OrderLine {
        let node = NodeId(node).to_string();
        OrderLine { node, shard: Some(ShardId(shard)), role, leader: false, ms: Some(100) }
    }

    fn release(minor: u64) -> Release {
        Release { version: Version::new(0, minor, 0), digest: Digest([minor as u8; 32]) }
    }

    /// A demo in which all went well: nodes 1 and 2 were primaries.
    fn good() -> (Report, Evidence) {
        let mut report = Report::new(Version::new(0, 1, 0), Version::new(0, 2, 0), 2, 4, 10);
        report.acknowledged_writes = 5;
        report.lost_writes = Some(0);
        report.roll_ms = Some(900);
        report.order = vec![
            step(3, 0, StepRole::Replica),
            step(4, 1, StepRole::Replica),
            step(1, 0, StepRole::Primary),
            step(2, 1, StepRole::Primary),
        ];
        let evidence = Evidence {
            from: Some(release(1)),
            to: Some(release(2)),
            runs: (1..=4).map(|n| (format!("n{n}"), Some(Version::new(0, 2, 0)))).collect(),
            start_primaries: BTreeMap::from([(ShardId(0), NodeId(1)), (ShardId(1), NodeId(2))]),
            ..Evidence::default()
        };
        (report, evidence)
    }

    /// A good demo of the way back: nodes 3 and 4 were primaries when the plan turned.
    fn good_rollback() -> (Report, Evidence) {
        let (mut report, mut evidence) = good();
        evidence.scene = Scene::Rollback;
        evidence.primaries_before_rollback =
            BTreeMap::from([(ShardId(0), NodeId(3)), (ShardId(1), NodeId(4))]);
        evidence.runs.values_mut().for_each(|version| *version = Some(Version::new(0, 1, 0)));
        let order = vec![
            step(1, 0, StepRole::Replica),
            step(2, 1, StepRole::Replica),
            step(3, 0, StepRole::Primary),
            step(4, 1, StepRole::Primary),
        ];
        report.rollback = Some(Back { ms: Some(800), handovers: Vec::new(), order });
        (report, evidence)
    }

    fn good_auto() -> (Report, Evidence) {
        let (mut report, mut evidence) = good();
        evidence.scene = Scene::Auto;
        report.started_by = Some(StartedBy::Policy);
        (report, evidence)
    }

    /// The verdict after `change` has spoilt a good demo, with its only reason.
    fn spoilt(change: impl FnOnce(&mut Report, &mut Evidence)) -> String {
        spoilt_of(good(), change)
    }

    fn spoilt_of(good: (Report, Evidence), change: impl FnOnce(&mut Report, &mut Evidence)) -> String {
        let (mut report, mut evidence) = good;
        change(&mut report, &mut evidence);
        let reasons = report.judge(&evidence);
        assert_eq!(report.verdict, Verdict::Fail);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons[0].clone()
    }

    #[test]
    fn a_good_roll_passes() {
        let (mut report, evidence) = good();
        assert_eq!(report.judge(&evidence), Vec::<String>::new());
        assert_eq!(report.verdict, Verdict::Pass);
    }

    #[test]
    fn a_good_way_there_and_back_passes_and_says_both() {
        let (mut report, evidence) = good_rollback();
        assert_eq!(report.judge(&evidence), Vec::<String>::new());
        let text = report.text(&[]);
        assert!(text.starts_with("0.1.0 to 0.2.0 and back on 4 nodes in 2 shards\n"), "{text}");
        assert!(text.contains("  rollback            0.80 s\n") && text.ends_with("\npass"), "{text}");
    }

    #[test]
    fn a_way_back_that_nobody_went_or_that_left_somebody_behind_fails() {
        let rollback = |change: fn(&mut Report, &mut Evidence)| spoilt_of(good_rollback(), change);
        assert_eq!(rollback(|report, _| report.rollback = None), "nobody went back");
        assert_eq!(
            rollback(|_, evidence| {
                evidence.runs.insert("n3".to_owned(), Some(Version::new(0, 2, 0)));
            }),
            "the node at n3 runs 0.2.0, not 0.1.0"
        );
        assert!(rollback(|report, _| report.roll_ms = None).contains("did not end on its target"));
        let no_primary = |_: &mut Report, evidence: &mut Evidence| {
            evidence.primaries_before_rollback.remove(&ShardId(1));
        };
        assert_eq!(rollback(no_primary), "a shard had no primary when the plan turned");
    }

    #[test]
    fn a_primary_that_did_not_go_back_last_fails() {
        let early = |report: &mut Report, _: &mut Evidence| {
            report.rollback.as_mut().unwrap().order.swap(0, 2);
        };
        assert!(spoilt_of(good_rollback(), early).starts_with("on the way back, shard 0: its old primary"));
        let forth = |report: &mut Report, _: &mut Evidence| report.order.swap(0, 2);
        assert!(spoilt_of(good_rollback(), forth).starts_with("shard 0: its old primary"));
    }

    #[test]
    fn a_plan_that_the_policy_did_not_start_fails() {
        let (mut report, evidence) = good_auto();
        assert_eq!(report.judge(&evidence), Vec::<String>::new());
        assert!(report.text(&[]).contains("  started by          policy\n"), "{}", report.text(&[]));
        let by_hand = |report: &mut Report, _: &mut Evidence| report.started_by = Some(StartedBy::Operator);
        assert_eq!(spoilt_of(good_auto(), by_hand), "the plan was started by operator, not by policy");
        let by_nobody = |report: &mut Report, _: &mut Evidence| report.started_by = None;
        assert_eq!(spoilt_of(good_auto(), by_nobody), "the plan was started by nobody, not by policy");
    }

    #[test]
    fn a_way_back_begins_where_the_way_there_ended() {
        let record = |node| StepRecord {
            node: NodeId(node),
            shard: Some(ShardId(0)),
            role: StepRole::Replica,
            led_raft: false,
            epoch: ironcache_types::Epoch(node),
            state: ironcache_api::StepState::Confirmed,
            began_at_ms: 10,
            ended_at_ms: Some(110),
        };
        let mut went = plan(ironcache_api::Phase::Soaking { since_ms: 200 });
        went.steps = vec![record(1), record(2)];
        let mut ended = went.clone();
        ended.steps.extend([record(2), record(1)]);
        let back = Back::of(&ended, &went, Some(800));
        let nodes: Vec<_> = back.order.iter().map(|line| (line.node.clone(), line.ms)).collect();
        assert_eq!(nodes, [2, 1].map(|node| (NodeId(node).to_string(), Some(100))));
    }

    #[test]
    fn an_old_primary_that_did_not_go_last_fails() {
        assert!(spoilt(|report, _| report.order.swap(0, 2)).contains("shard 0: its old primary"));
        assert!(spoilt(|report, _| report.order.truncate(3)).contains("shard 1: its old primary"));
        assert!(
            spoilt(|report, _| report.order[3].role = StepRole::Replica).contains("was rolled as a Replica")
        );
    }

    #[test]
    fn one_lost_key_fails() {
        assert_eq!(spoilt(|report, _| report.lost_writes = Some(1)), "1 acknowledged writes were lost");
        assert!(spoilt(|report, _| report.lost_writes = None).contains("not read back"));
    }

    #[test]
    fn one_wrong_value_or_error_fails() {
        assert_eq!(spoilt(|report, _| report.wrong_values = 1), "1 values were wrong");
        assert_eq!(spoilt(|report, _| report.client_errors = 1), "clients saw 1 errors");
    }

    #[test]
    fn a_node_that_stayed_behind_fails() {
        let behind = |_: &mut Report, evidence: &mut Evidence| {
            evidence.runs.insert("n3".to_owned(), Some(Version::new(0, 1, 0)));
        };
        assert_eq!(spoilt(behind), "the node at n3 runs 0.1.0, not 0.2.0");
        let silent = |_: &mut Report, evidence: &mut Evidence| {
            evidence.runs.insert("n3".to_owned(), None);
        };
        assert_eq!(spoilt(silent), "the node at n3 does not answer, not 0.2.0");
    }

    #[test]
    fn a_demo_without_a_roll_or_a_load_fails() {
        assert!(spoilt(|report, _| report.roll_ms = None).contains("did not end"));
        assert!(spoilt(|report, _| report.acknowledged_writes = 0).contains("wrote nothing"));
        assert!(spoilt(|_, evidence| evidence.to = evidence.from.clone()).contains("same binary"));
        let refused = Refused { code: "no_quorum".to_owned(), detail: "add a witness".to_owned() };
        assert_eq!(spoilt(|report, _| report.refused = Some(refused)), "the roll was refused");
    }

    #[test]
    fn a_demo_that_broke_off_says_why_and_still_what_was_lost() {
        let (_, evidence) = good();
        let mut report = Report::new(Version::new(0, 1, 0), Version::new(0, 2, 0), 2, 4, 10);
        let evidence = Evidence { broke_off: Some("interrupted".to_owned()), ..evidence };
        assert_eq!(report.judge(&evidence), ["interrupted"]);
        report.lost_writes = Some(2);
        assert_eq!(report.judge(&evidence), ["interrupted", "2 acknowledged writes were lost"]);
        assert_eq!(report.verdict, Verdict::Fail);
    }

    #[test]
    fn the_object_has_exactly_the_promised_keys_in_their_order() {
        let (mut report, evidence) = good();
        report.judge(&evidence);
        let text = serde_json::to_string(&report).unwrap();
        let promised = [
            "from",
            "to",
            "shards",
            "nodes",
            "keys",
            "acknowledged_writes",
            "lost_writes",
            "wrong_values",
            "client_errors",
            "longest_write_gap_ms",
            "longest_read_gap_ms",
            "write_ms",
            "roll_ms",
            "handovers",
            "order",
            "refused",
            "verdict",
        ];
        let at: Vec<_> = promised.iter().map(|key| text.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(at.is_sorted(), "{text}");
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(object.len(), promised.len());
        assert_eq!(object["order"][0]["role"], "replica");
        assert_eq!(object["verdict"], "pass");
    }

    #[test]
    fn each_other_scene_adds_its_own_key_and_no_more() {
        let (plain, _) = good();
        let keys = |report: &Report| match serde_json::to_value(report).unwrap() {
            serde_json::Value::Object(object) => object.keys().cloned().collect::<Vec<_>>(),
            other => panic!("{other}"),
        };
        let added = |report: &Report| -> Vec<String> {
            keys(report).into_iter().filter(|key| !keys(&plain).contains(key)).collect()
        };
        assert_eq!(added(&good_rollback().0), ["rollback"]);
        assert_eq!(added(&good_auto().0), ["started_by"]);
    }
}
