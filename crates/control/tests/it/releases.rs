//! How many releases are known, and which is forgotten.

use crate::setup::{Cluster, info, new, old};
use ironcache_control::{Applied, Command, ControlState, Declined, Quarantine, Reason};
use ironcache_types::{Digest, NodeId, PlanId, Release, Version};

/// `1.<minor>.0`; those of [`old`] and [`new`] are 3 and 4.
fn release(minor: u64) -> Release {
    Release { version: Version::new(1, minor, 0), digest: Digest([minor as u8; 32]) }
}

fn register(cluster: &mut Cluster, minor: u64) {
    cluster.ok(&Command::RegisterRelease { info: info(release(minor)) });
    let digest = release(minor).digest;
    cluster.ok(&Command::ReportStaged { node: NodeId(3), digest });
}

fn is_known(cluster: &Cluster, minor: u64) -> bool {
    cluster.state.releases.contains_key(&release(minor).digest)
}

/// As many as there may be: 3, 4, and those from 10 on. A plan leads from 3 to 4.
fn full() -> (Cluster, u64) {
    let (mut cluster, mut next) = (Cluster::staged(), 10);
    while cluster.state.releases.len() < ControlState::RELEASES_MAX {
        register(&mut cluster, next);
        next += 1;
    }
    (cluster, next)
}

#[test]
fn the_oldest_release_that_nobody_needs_is_forgotten_with_all_that_is_known_of_it() {
    let (mut cluster, next) = full();
    register(&mut cluster, next);
    assert_eq!(cluster.state.releases.len(), ControlState::RELEASES_MAX);
    assert!(is_known(&cluster, 3) && is_known(&cluster, 4), "they are of the plan");
    assert!(!is_known(&cluster, 10) && is_known(&cluster, 11) && is_known(&cluster, next));
    let known = |digest| cluster.state.releases.contains_key(digest);
    assert!(cluster.state.nodes.values().all(|node| node.staged.iter().all(known)));
    cluster
        .refused(&Command::ReportStaged { node: NodeId(3), digest: release(10).digest }, "no_such_release");
    // What is known already takes no place.
    let again = Command::RegisterRelease { info: info(release(11)) };
    assert_eq!(cluster.ok(&again), Applied::Unchanged);
    assert!(is_known(&cluster, 11));
}

#[test]
fn without_a_plan_what_runs_stays_and_what_does_not_goes() {
    let (mut cluster, next) = full();
    cluster.ok(&cluster.abort());
    // The abort declined it, and it is newer than what runs: known, or the policy would start it once more.
    register(&mut cluster, next);
    assert!(is_known(&cluster, 3) && is_known(&cluster, 4) && !is_known(&cluster, 10));
    cluster.ok(&Command::AllowRelease { digest: new().digest });
    register(&mut cluster, next + 1);
    assert!(is_known(&cluster, 3) && !is_known(&cluster, 4));
    assert_eq!(cluster.state.nodes[&NodeId(1)].release, old());
}

#[test]
fn what_is_quarantined_is_never_forgotten_and_what_was_declined_once_newer_ones_run() {
    let (mut cluster, next) = full();
    for minor in 10..next {
        let Release { version, digest } = release(minor);
        let reason = Reason::new("exit", "");
        if minor % 2 == 0 {
            let bad = Quarantine { version, node: NodeId(3), reason };
            cluster.state.quarantined.insert(digest, bad);
        } else {
            cluster.state.declined.insert(digest, Declined { version, plan: PlanId(1), reason });
        }
    }
    let more = Command::RegisterRelease { info: info(release(next)) };
    cluster.refused(&more, "too_many_releases");
    for node in cluster.state.nodes.values_mut() {
        node.release.version = Version::new(1, 11, 0);
    }
    register(&mut cluster, next);
    assert!(is_known(&cluster, 10), "it is quarantined");
    assert!(!is_known(&cluster, 11) && !cluster.state.declined.contains_key(&release(11).digest));
    register(&mut cluster, next + 1);
    assert!(is_known(&cluster, 13), "it is newer than what runs, and declined");
    assert!(!is_known(&cluster, next), "and this one nobody needs");
}

#[test]
fn a_quarantined_digest_is_refused_however_many_releases_come_after_it() {
    let (mut cluster, next) = full();
    cluster.ok(&cluster.abort());
    let Release { version, digest } = release(10);
    let bad = Quarantine { version, node: NodeId(3), reason: Reason::new("exit", "") };
    cluster.state.quarantined.insert(digest, bad);
    for node in cluster.state.nodes.values_mut() {
        node.release.version = Version::new(1, 200, 0);
    }
    for minor in next..next + 2 * ControlState::RELEASES_MAX as u64 {
        register(&mut cluster, minor);
    }
    assert!(is_known(&cluster, 10) && !is_known(&cluster, 11));
    let again = Command::RegisterRelease { info: info(release(10)) };
    cluster.refused(&again, "quarantined");
}
