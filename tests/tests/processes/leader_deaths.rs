//! `kill -9` of the daemon that leads raft, at every kind of step of a roll. `rollbacks` goes the same way back.
//!
//! One shard and three witnesses; a witness leads. A step is held where it is by halting a launcher, which
//! then neither stops its daemon nor makes a trial final; so what dies, dies at that step and nowhere else.

use crate::PRODUCT;
use crate::rolls::{assert_all_run, assert_order};
use ironcache_api::{ClusterStatus, Outcome, Phase, TrialPhase};
use ironcache_tests::{Cluster, Load, Signal, Spec, until_just};
use ironcache_types::{Epoch, NodeId, PlanId, ShardId};

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
const TARGET: &str = ironcache_tests::NEXT;
const SHARD: ShardId = ShardId(0);
/// Who is halted stays in the set, and a handover to it in flight.
pub(crate) const PATIENT: &[(&str, &str)] = &[("isr-timeout-ms", "30000"), ("handover-timeout-ms", "5000")];

/// A cluster that a witness leads.
pub(crate) async fn cluster(set: &[(&'static str, &'static str)]) -> Cluster {
    // Halted processes are not hung ones.
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]);
    spec.set.extend(set);
    let cluster = Cluster::start(&spec.with_leading_witnesses(3)).await;
    cluster.let_a_witness_lead().await;
    cluster
}

/// The step that `node` is out for, and how far it is.
pub(crate) fn out(status: &ClusterStatus, node: NodeId) -> Option<(Epoch, TrialPhase)> {
    status.control.nodes[&node].out.as_ref().map(|out| (out.epoch, out.phase.clone()))
}

pub(crate) fn is_confirming(phase: &TrialPhase) -> bool {
    matches!(phase, TrialPhase::Confirming { .. })
}

/// Halts the launcher of node `index` once its daemon of `version` answers, before it can make the trial final: the
/// step that is then waited for.
pub(crate) async fn hold_in_trial(cluster: &Cluster, index: usize, node: NodeId, version: &str) -> Epoch {
    until_just("the binary on trial answers", async || {
        let status = cluster.status(index).await?;
        (status.release.version.to_string() == version).then_some(())
    })
    .await;
    cluster.nodes[index].signal_launcher(Signal::STOP);
    cluster
        .until_cluster("the trial is accepted", |status| {
            let (step, phase) = out(status, node).expect("the launcher was halted before it could be over");
            is_confirming(&phase).then_some(step)
        })
        .await
}

/// The way of a plan through the one shard: who goes first, who was primary when it began, and to which version.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub replica: usize,
    pub primary: usize,
    pub version: &'static str,
}

impl Way {
    /// Kills the leader once the replica is out and its halted launcher has not exchanged it, and again while it is on
    /// trial. The launcher has to be halted before.
    pub(crate) async fn kill_leaders_of_the_first_step(self, cluster: &Cluster) {
        let Way { replica: index, primary: _, version } = self;
        let replica = cluster.ids().await[index];
        let (step, phase) = cluster.until_cluster("the replica is out", |status| out(status, replica)).await;
        assert_eq!(phase, TrialPhase::Told);
        let next = cluster.kill_leader().await;
        assert_eq!(out(&next, replica), Some((step, TrialPhase::Told)));
        cluster.nodes[index].signal_launcher(Signal::CONT);

        assert_eq!(hold_in_trial(cluster, index, replica, version).await, step);
        let next = cluster.kill_leader().await;
        assert!(out(&next, replica).is_some_and(|(now, phase)| now == step && is_confirming(&phase)));
        cluster.nodes[index].signal_launcher(Signal::CONT);
    }

    /// Kills the leader while the shard is handed over, while its old primary is out, and while the last node of all is
    /// on trial. A member that is halted has to stay in the set: so a handover to it begins, and does not end.
    pub(crate) async fn kill_leaders_from_the_handover_on(self, cluster: &Cluster, plan: PlanId) {
        let Way { replica: candidate, primary: owner, version } = self;
        let ids = cluster.ids().await;
        let replica = ids[candidate];
        let (leader, seen) = until_just("the replica is back in the set", async || {
            let status = cluster.cluster().await?;
            let node = &status.control.nodes[&replica];
            let joined = node.out.is_none() && node.release.version.to_string() == version;
            (joined && status.control.shards[&SHARD].in_sync.contains(&node.member())).then_some(())?;
            Some(cluster.leader().await)
        })
        .await;
        cluster.nodes[candidate].signal_daemon(Signal::STOP);
        cluster.nodes[owner].signal_launcher(Signal::STOP);
        let handover = cluster
            .until_seen_by(leader, "a handover is in flight", |status| {
                status.control.as_ref()?.shards[&SHARD].handover.clone()
            })
            .await;
        let next = cluster.kill_this_leader(leader, &seen).await;
        let resumed = next.control.plan.as_ref().expect("the plan is in the log");
        assert_eq!((resumed.id, &resumed.phase), (plan, &Phase::Rolling));
        let shard = &next.control.shards[&SHARD];
        assert_eq!(shard.primary().map(|primary| primary.node), Some(ids[owner]));
        assert!(shard.handover.as_ref().is_none_or(|now| now.epoch == handover.epoch), "{shard:#?}");
        cluster.nodes[candidate].signal_daemon(Signal::CONT);

        // The old primary is out, and its launcher does not exchange it.
        let old = ids[owner];
        let (step, _) = cluster.until_cluster("the old primary is out", |status| out(status, old)).await;
        let next = cluster.kill_leader().await;
        assert_eq!(out(&next, old), Some((step, TrialPhase::Told)));
        cluster.nodes[owner].signal_launcher(Signal::CONT);

        // The last node is on trial: what is left is to confirm and to end the plan.
        let left = |status: &ClusterStatus| -> Vec<NodeId> {
            let waits = |n: &&ironcache_api::Node| n.release.version.to_string() != version;
            status.control.nodes.values().filter(waits).map(|n| n.id).collect()
        };
        let last = cluster
            .until_cluster("one node is left", |status| match left(status)[..] {
                [last] => Some(last),
                _ => None,
            })
            .await;
        let index = ids.iter().position(|id| *id == last).unwrap();
        let step = hold_in_trial(cluster, index, last, version).await;
        let next = cluster.kill_leader().await;
        assert!(out(&next, last).is_some_and(|(now, phase)| now == step && is_confirming(&phase)));
        assert!(next.control.plan.is_some());
        cluster.nodes[index].signal_launcher(Signal::CONT);
    }
}

async fn ends_well(cluster: &Cluster, load: Load, plan: PlanId) {
    let (plan, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    assert_order(&plan);
    load.until_more(50).await;
    load.finish(cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(cluster, TARGET).await;
}

const FORTH: Way = Way { replica: REPLICA, primary: PRIMARY, version: TARGET };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_goes_on_where_the_last_one_died_staging_or_with_a_replica_out() {
    let cluster = cluster(&[]).await;
    let load = Load::start(&cluster).await;

    // Staging: a node that is halted fetches nothing.
    cluster.nodes[REPLICA].signal_daemon(Signal::STOP);
    cluster.stage(TARGET).await;
    let plan = cluster.set_target(TARGET, None).await;
    let next = cluster.kill_leader().await;
    let resumed = next.control.plan.expect("the plan is in the log");
    assert_eq!((resumed.id, &resumed.phase), (plan, &Phase::Staging));
    assert_eq!(resumed.steps, []);
    cluster.nodes[REPLICA].signal_launcher(Signal::STOP);
    cluster.nodes[REPLICA].signal_daemon(Signal::CONT);
    FORTH.kill_leaders_of_the_first_step(&cluster).await;
    ends_well(&cluster, load, plan).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_goes_on_where_the_last_one_died_handing_over_or_at_the_last_steps() {
    let cluster = cluster(PATIENT).await;
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    let plan = cluster.set_target(TARGET, Some(1_500)).await;
    FORTH.kill_leaders_from_the_handover_on(&cluster, plan).await;
    ends_well(&cluster, load, plan).await;
}
