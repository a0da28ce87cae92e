//! Who had the cluster do what, as the command line shows and proves it.

use crate::PRODUCT;
use crate::rollbacks::{done, said};
use ironcache_api::{AuditTrail, Outcome};
use ironcache_tests::{Cluster, NEXT, Spec};

fn trail(cluster: &Cluster, arguments: &[&str]) -> AuditTrail {
    let output = cluster.cli(&[&["cluster", "audit", "--json"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("an audit trail on stdout")
}

fn credential<'a>(trail: &'a AuditTrail, act: &str) -> &'a str {
    let record = trail.records.iter().find(|record| record.act == act).expect("it was done");
    record.who.get("credential").map_or("", String::as_str)
}

/// A roll under which every node is replaced by another process: what was written before it is what it was afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_is_in_the_chain_and_what_was_kept_before_it_proves_that_nothing_was_rewritten() {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let staged = cluster.stage(NEXT).await;
    done(&cluster, &["cluster", "policy", "set", "max-parallel", "2"]);
    let before = trail(&cluster, &[]);
    let plan = cluster.set_target(NEXT, None).await;
    let (_, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    cluster.until_whole().await;

    let after = trail(&cluster, &[]);
    assert_eq!(after.records[..before.records.len()], before.records[..], "what was there is what it was");
    let acts: Vec<_> = after.records.iter().map(|record| record.act.as_str()).collect();
    for act in ["cluster-created", "policy-changed", "plan-started", "plan-finalized"] {
        assert_eq!(acts.iter().filter(|found| **found == act).count(), 1, "{act}: {acts:?}");
    }
    assert_eq!(credential(&after, "policy-changed"), "insecure");
    assert_eq!(credential(&after, "plan-started"), "insecure");
    assert_eq!(credential(&after, "plan-finalized"), "policy", "nobody ordered it");
    let by_hand = after.records.iter().find(|record| {
        record.details.get("digest") == Some(&staged.release.digest.to_string())
            && record.act == "release-staged"
    });
    assert!(by_hand.is_some_and(|record| record.from.is_some()), "{:?}", after.records);

    let kept = before.head.to_string();
    let proof = done(&cluster, &["cluster", "audit", "--verify", "--from", &kept]);
    assert!(proof.contains(&format!("record {} is what it was", before.head.seq)), "{proof}");
    assert!(proof.contains(&format!("--from {}", after.head)), "{proof}");
    let newer = trail(&cluster, &["--since", &before.head.seq.to_string()]);
    assert_eq!(newer.anchor, before.head, "the newer part joins what was seen");
    assert_eq!(newer.records, after.records[before.records.len()..]);

    // As if the cluster had been given another past: the hash that somebody kept is another one.
    let other = if kept.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{other}", &kept[..kept.len() - 1]);
    let output = cluster.cli(&["cluster", "audit", "--verify", "--from", &forged]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("was rewritten"), "{output:?}");
    let text = done(&cluster, &["cluster", "audit"]);
    assert!(text.contains("policy changed: max-parallel 8 -> 2"), "{text}");
    assert!(text.contains("anybody (insecure)"), "{text}");
}
