//! Fuzzing of what is asked and answered over HTTP; see crate `ironcache-fuzz`.

use ironcache_api::*;
use ironcache_fuzz::{Campaign, first_words};
use ironcache_types::{
    AuditLink, AuditRecord, ClusterId, Digest, Epoch, KeyHash, NodeId, ShardId, SlotSet, Version,
    verify_audit,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;

const WORDS: [&str; 14] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "1e308",
    "-1",
    "18446744073709551616",
    "\\u0000",
    "{\"later\":1}",
];
const NODE: NodeId = NodeId(0x0fed_cba9_8765_4321);
const KEY: KeyHash = KeyHash(Digest([6; 32]));

/// What is read is written as what reads as the same. An error is its kind.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Result<(), String> {
    let value = serde_json::from_slice::<T>(bytes).map_err(|error| first_words(&error))?;
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let again = serde_json::from_slice::<T>(&written).expect("what was written can be read");
    assert_eq!(again, value);
    Ok(())
}

fn json_of(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a body can be written")
}

fn requests() -> Vec<Vec<u8>> {
    let nodes = BTreeMap::from([(NODE, KEY)]);
    let http_addr = "a:3".to_owned();
    let admitted = Some(Admitted { key: KEY, code: Digest([8; 32]) });
    let node = CreateNode { http_addr: http_addr.clone(), node: NODE, voter: true, shard: Some(ShardId(0)) };
    let shard = CreateShard { id: ShardId(0), slots: SlotSet::part(0, 1), nodes: vec![NODE] };
    let codes = vec![Digest([9; 32])];
    let keys = CreateKeys { cluster: ClusterId(7), admin: "ada".to_owned(), nodes: nodes.clone(), codes };
    let set = BTreeMap::from([("settle-ms".to_owned(), "7".to_owned())]);
    let create = CreateCluster {
        nodes: vec![node],
        shards: vec![shard],
        mode: AckMode::Primary,
        set: set.clone(),
        security: Some(keys),
    };
    let (version, shard) = (Version::new(0, 2, 0), Some(ShardId(0)));
    let plan = PlanRequest {
        target: version.clone(),
        digest: Some(Digest([3; 32])),
        dry_run: true,
        max_parallel: Some(2),
        settle_ms: Some(100),
    };
    vec![
        json_of(&create),
        json_of(&plan),
        json_of(&RollbackRequest { reason: Some("too slow".to_owned()) }),
        json_of(&PolicyChange { set, seen: Some(Epoch(4)) }),
        json_of(&RecoverRequest { shard: ShardId(3), accept_loss: true }),
        json_of(&AddNode { http_addr: http_addr.clone(), node: NODE, shard, learner: true, admitted }),
        json_of(&ReplaceNode { old: NODE, http_addr, node: NODE, admitted }),
        json_of(&RemoveNode { node: NODE }),
        json_of(&AllowRelease { version }),
        json_of(&AddOperator { key: KEY, name: "ada".to_owned(), role: OperatorRole::Admin }),
        json_of(&RevokeOperator { key: KEY }),
        json_of(&JoinProve { proof: Digest([8; 32]) }),
        json_of(&JoinBind { cluster: ClusterId(7), nodes }),
    ]
}

#[test]
fn fuzz_requests_are_written_as_they_were_read() {
    let read_as = [
        same_again::<CreateCluster>,
        same_again::<PlanRequest>,
        same_again::<RollbackRequest>,
        same_again::<PolicyChange>,
        same_again::<RecoverRequest>,
        same_again::<AddNode>,
        same_again::<ReplaceNode>,
        same_again::<RemoveNode>,
        same_again::<AllowRelease>,
        same_again::<AddOperator>,
        same_again::<RevokeOperator>,
        same_again::<JoinProve>,
        same_again::<JoinBind>,
    ];
    let requests = requests();
    for (request, read) in requests.iter().zip(read_as) {
        assert_eq!(read(request), Ok(()), "each is read as what it is");
    }
    Campaign::of("requests").from(requests).words(WORDS).run(|bytes| read_as.map(|read| read(bytes)));
}

fn golden(text: &str) -> Value {
    serde_json::from_str(text).expect("a golden answer is JSON")
}

fn answers() -> Vec<Vec<u8>> {
    let (status, others) =
        (golden(include_str!("golden/status.json")), golden(include_str!("golden/others.json")));
    let brief =
        json!({"release": status["release"], "data": status["data"], "ready": true, "seen_ms_ago": 1});
    let nodes = BTreeMap::from([(NODE, brief)]);
    let control = &status["control"];
    let waiting = [json!({"not-ready": {"node": NODE}}), json!("a-word-of-a-later-release")];
    let cluster =
        json!({"leader": NODE, "term": 1, "control": control, "nodes": nodes, "waiting_on": waiting});
    let refused = Refused { code: "no_plan".to_owned(), detail: "none".to_owned() };
    let operator = Operator { key: KEY, name: "ada".to_owned(), role: OperatorRole::Viewer };
    let release = &status["release"];
    vec![
        json_of(&status),
        json_of(&cluster),
        json_of(&golden(include_str!("golden/upgrade.json"))),
        json_of(&others["staged"]),
        json_of(&others["policy"]),
        json_of(&json!({"plan": 1, "from": "0.1.0", "target": release, "steps": ["one"]})),
        json_of(&Done { done: "done".to_owned() }),
        json_of(&ApiError { error: "no".to_owned(), refused: Some(refused) }),
        json_of(&Operators { operators: vec![operator] }),
        json_of(&JoinProved { node: NODE, proof: Digest([8; 32]) }),
    ]
}

#[test]
fn fuzz_answers_are_written_as_they_were_read() {
    let read_as = [
        same_again::<NodeStatus>,
        same_again::<ClusterStatus>,
        same_again::<UpgradeStatus>,
        same_again::<StagedRelease>,
        same_again::<PolicyStatus>,
        same_again::<PlanAnswer>,
        same_again::<Done>,
        same_again::<ApiError>,
        same_again::<Operators>,
        same_again::<JoinProved>,
    ];
    let answers = answers();
    for (answer, read) in answers.iter().zip(read_as) {
        assert_eq!(read(answer), Ok(()), "each is read as what it is");
    }
    Campaign::of("answers").from(answers).words(WORDS).run(|bytes| read_as.map(|read| read(bytes)));
}

fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Three records after record 7.
fn trail() -> AuditTrail {
    let anchor = AuditLink { seq: 7, hash: Digest([7; 32]) };
    let (mut records, mut head) = (Vec::new(), anchor);
    for seq in 8..11 {
        let record = AuditRecord {
            seq,
            at_ms: 1_795_000_000_000 + seq,
            epoch: Epoch(40 + seq),
            log_index: 100 + seq,
            who: words(&[("credential", "operator"), ("name", "ada")]),
            from: (seq != 9).then(|| "[::1]:5".to_owned()),
            act: "plan-paused".to_owned(),
            details: words(&[("plan", "3")]),
            previous: head.hash,
        };
        head = record.link();
        records.push(record);
    }
    AuditTrail { anchor, head, records }
}

#[test]
fn fuzz_an_audit_trail_that_holds_between_the_true_ends_is_the_true_one() {
    let exported = trail();
    let (anchor, head) = (exported.anchor, exported.head);
    Campaign::of("audit trails").from([json_of(&exported)]).words(WORDS).run(|bytes| {
        same_again::<AuditTrail>(bytes)?;
        let read: AuditTrail = serde_json::from_slice(bytes).expect("it was read before");
        // Whoever wrote it may have made up its own ends: those that were noted elsewhere count.
        let told = verify_audit(read.anchor, &read.records, read.head).is_ok();
        let held = verify_audit(anchor, &read.records, head);
        assert!(
            held.is_err() || read.records == exported.records,
            "another trail was taken for the true one"
        );
        Ok::<_, String>((told, held.map_err(|error| first_words(&error))))
    });
}
