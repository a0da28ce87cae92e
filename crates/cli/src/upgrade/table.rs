//! A roll on a terminal: a line for each node, kept in place, and a bar below.

use crate::text;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use ironcache_api::{NodeStep, UpgradeNode, UpgradeStatus};
use ironcache_types::{NodeId, Version};
use std::collections::BTreeMap;

/// The widest role is `primary, leader`; the widest address that is common `255.255.255.255:65535`.
const ROLE_WIDTH: usize = 15;
const ADDRESS_WIDTH: usize = 21;

pub(crate) struct Table {
    rows: MultiProgress,
    heading: Option<ProgressBar>,
    nodes: BTreeMap<NodeId, ProgressBar>,
    bar: Option<ProgressBar>,
    note: Option<ProgressBar>,
    remark: Option<ProgressBar>,
    target: Option<Version>,
}

impl Table {
    pub(crate) fn new(target: ProgressDrawTarget) -> Self {
        Self {
            rows: MultiProgress::with_draw_target(target),
            heading: None,
            nodes: BTreeMap::new(),
            bar: None,
            note: None,
            remark: None,
            target: None,
        }
    }

    /// `remark` stands below the bar; it is what the one who watches has to say just now.
    pub(crate) fn show(&mut self, status: &UpgradeStatus, remark: Option<String>) {
        if let Some(plan) = &status.plan {
            self.target = Some(plan.target.version.clone());
            let heading = text::phase_line(plan);
            self.heading.get_or_insert_with(|| text_row(&self.rows)).set_message(heading);
        }
        let mut nodes: Vec<_> = status.nodes.iter().collect();
        nodes.sort_by_key(|n| (n.shard.is_none(), n.shard, n.client_addr.len(), &n.client_addr));
        for node in nodes {
            let row = self.nodes.entry(node.node).or_insert_with(|| text_row(&self.rows));
            row.set_message(node_row(node, self.target.as_ref()));
        }
        let done = status
            .nodes
            .iter()
            .filter(|n| Some(&n.release.version) == self.target.as_ref() && n.step != NodeStep::Trial);
        let bar = self.bar.get_or_insert_with(|| {
            let bar = self.rows.add(ProgressBar::new(status.nodes.len() as u64));
            bar.set_style(style("{bar:40.green/dim} {pos}/{len} nodes  {elapsed}"));
            bar
        });
        bar.set_length(status.nodes.len() as u64);
        bar.set_position(done.count() as u64);
        let names = text::Names::of_upgrade(status);
        let note = self.note.get_or_insert_with(|| text_row(&self.rows));
        note.set_message(
            status
                .waiting_on
                .first()
                .map_or_else(String::new, |w| format!("waiting: {}", names.named(&text::waiting_on(w)))),
        );
        if let Some(remark) = remark {
            self.remark.get_or_insert_with(|| text_row(&self.rows)).set_message(remark);
        }
    }

    /// A line above the table that stays.
    pub(crate) fn say(&self, text: &str) {
        // Only a terminal that went away makes this fail, and then nobody reads.
        let _ = self.rows.println(text);
    }

    pub(crate) fn finish(&mut self) {
        for passing in self.note.take().into_iter().chain(self.remark.take()) {
            passing.finish_and_clear();
        }
        for row in self.heading.iter().chain(self.nodes.values()).chain(&self.bar) {
            row.abandon();
        }
    }
}

fn node_row(node: &UpgradeNode, target: Option<&Version>) -> String {
    let mark = match (Some(&node.release.version) == target, node.reachable) {
        (_, false) => '✗',
        (true, true) => '✓',
        (false, true) => '·',
    };
    let shard = node.shard.map_or_else(|| "-".to_owned(), |s| s.to_string());
    let role = if node.leader { format!("{}, leader", node.role) } else { node.role.to_string() };
    let sync = if node.in_sync { "in sync" } else { "" };
    format!(
        "{mark} {:<ADDRESS_WIDTH$}  shard {shard:<3}  {role:<ROLE_WIDTH$}  {:<8}  {:<10} {sync}",
        node.client_addr,
        node.release.version.to_string(),
        node.step
    )
}

fn text_row(rows: &MultiProgress) -> ProgressBar {
    let row = rows.add(ProgressBar::new(0));
    row.set_style(style("{msg}"));
    row
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates in this file are well formed")
}
