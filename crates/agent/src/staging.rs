//! Artifacts are here before they are needed: the plan's target, what the policy would start once everybody holds it, and
//! the newest release that is newer than what runs.

use crate::action::{Action, Waiting};
use crate::facts::LocalFacts;
use ironcache_control::{AutoRollout, ControlState, Node, NotByPolicy, Rejection, ReleaseInfo};
use ironcache_types::{Digest, Release};

pub(crate) fn next(state: &ControlState, facts: &LocalFacts, node: &Node) -> Action {
    if let Some(action) = running(state, facts, node) {
        return action;
    }
    for digest in wanted(state, facts) {
        if !facts.held.contains(&digest) {
            return fetch(state, facts, digest);
        }
        if !node.staged.contains(&digest) {
            return Action::ReportStaged { digest };
        }
    }
    Action::Nothing
}

/// What this process runs is known to the log, and held by this node: a rollback leads to it.
fn running(state: &ControlState, facts: &LocalFacts, node: &Node) -> Option<Action> {
    let Release { version, digest } = &facts.running;
    match state.releases.get(digest) {
        None => {
            // Two builds of one version: the first one known is the one that the cluster can go to.
            let taken = state.release_by_version(version).is_some();
            let bad = state.quarantined.contains_key(digest);
            (!taken && !bad).then_some(Action::RegisterRunning)
        }
        Some(_) => (!node.staged.contains(digest)).then_some(Action::ReportStaged { digest: *digest }),
    }
}

/// In the order in which to fetch.
fn wanted(state: &ControlState, facts: &LocalFacts) -> Vec<Digest> {
    // Where the plan leads, and where it would lead if it were turned round.
    let target = state.plan.iter().flat_map(|plan| [plan.target.digest, plan.before().digest]);
    let newest = state
        .releases
        .values()
        .map(|info| &info.release)
        .filter(|r| r.version > facts.running.version && !state.quarantined.contains_key(&r.digest))
        .max_by_key(|r| &r.version)
        .map(|r| r.digest);
    let mut wanted: Vec<Digest> = target.chain(by_policy(state)).chain(newest).collect();
    wanted.dedup();
    wanted.retain(|d| *d != facts.running.digest && !state.quarantined.contains_key(d));
    wanted
}

/// The newest release that only waits for every node to hold it: it need not be the newest of all.
fn by_policy(state: &ControlState) -> Option<Digest> {
    if state.policy.auto_rollout == AutoRollout::Off {
        return None;
    }
    let lacks_nothing_else = |release: &&Release| match state.check_plan_by_policy(&release.version) {
        Ok(_) | Err(Rejection::NotByPolicy { why: NotByPolicy::NotHeld { .. }, .. }) => true,
        Err(_) => false,
    };
    let releases = state.releases.values().map(|info| &info.release);
    releases.filter(lacks_nothing_else).max_by_key(|r| &r.version).map(|r| r.digest)
}

pub(crate) fn fetch(state: &ControlState, facts: &LocalFacts, digest: Digest) -> Action {
    if let Some(digest) = facts.fetching {
        return Action::Wait(Waiting::Fetching { digest });
    }
    let Some(ReleaseInfo { release, size_bytes, .. }) = state.releases.get(&digest) else {
        // A plan's target is always registered; a release that is not has no known size to check.
        return Action::Nothing;
    };
    let sources = sources(state, facts, digest);
    // What this node said it holds is in its slot: that is looked at before anybody is asked.
    let here = state.nodes.get(&facts.me.node).is_some_and(|node| node.staged.contains(&digest));
    if sources.is_empty() && !here {
        return Action::Wait(Waiting::NoSource { version: release.version.clone() });
    }
    Action::Fetch { digest, size_bytes: *size_bytes, version: release.version.clone(), sources }
}

/// Everybody who holds it, beginning after this node's own id: so nodes do not all ask the first.
fn sources(state: &ControlState, facts: &LocalFacts, digest: Digest) -> Vec<String> {
    let me = facts.me.node;
    let holds =
        |node: &&Node| node.id != me && (node.staged.contains(&digest) || node.release.digest == digest);
    let after = state.nodes.range(me..).map(|(_, node)| node);
    let before = state.nodes.range(..me).map(|(_, node)| node);
    after.chain(before).filter(holds).map(|node| node.peer_addr.clone()).collect()
}
