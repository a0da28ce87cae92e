//! The demo's answer: one JSON object, and the verdict with its reasons.
//!
//! *Invariant:* the verdict is a function of what was observed; every reason to fail is named.

use super::meter::Percentiles;
use crate::output;
use ironcache_api::{Plan, Refused, StepRole};
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
    pub refused: Option<Refused>,
    pub verdict: Verdict,
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
            refused: None,
            verdict: Verdict::Fail,
        }
    }

    pub(super) fn enter_plan(&mut self, plan: &Plan, ended_at_ms: Option<u64>) {
        self.roll_ms = ended_at_ms.map(|at| at.saturating_sub(plan.started_at_ms));
        self.handovers = plan
            .handovers
            .iter()
            .map(|handover| HandoverLine {
                shard: handover.shard,
                from: handover.from.to_string(),
                to: handover.to.to_string(),
                epoch: handover.epoch.0,
                stall_ms: handover.stall_us.map(|us| us as f64 / 1000.0),
            })
            .collect();
        self.order = plan
            .steps
            .iter()
            .map(|step| OrderLine {
                node: step.node.to_string(),
                shard: step.shard,
                role: step.role.clone(),
                leader: step.led_raft,
                ms: step.ended_at_ms.map(|at| at.saturating_sub(step.began_at_ms)),
            })
            .collect();
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
        for (addr, version) in &evidence.runs {
            let runs = version.as_ref().map_or_else(|| "does not answer".to_owned(), |v| format!("runs {v}"));
            lacks(version.as_ref() != Some(&self.to), format!("the node at {addr} {runs}, not {}", self.to));
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
        let mut lines = vec![
            format!("{} to {} on {} nodes in {} shards", self.from, self.to, self.nodes, self.shards),
            format!("  roll                {}", dash(self.roll_ms.map(output::seconds))),
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
        ];
        for handover in &self.handovers {
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
    pub start_primaries: BTreeMap<ShardId, NodeId>,
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
            samples: Vec::new(),
            broke_off: None,
        };
        (report, evidence)
    }

    /// The verdict after `change` has spoilt a good demo, with its only reason.
    fn spoilt(change: impl FnOnce(&mut Report, &mut Evidence)) -> String {
        let (mut report, mut evidence) = good();
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
}
