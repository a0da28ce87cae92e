//! What makes an addition safe: requests refuse what they do not know, answers ignore or show it.

use ironcache_api::*;
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, KeyHash, Level, LevelRange, MachineId, Member, NodeId, Offset,
    PlanId, Release, ShardId, SlotSet, Version, WireRange,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

const NODE: NodeId = NodeId(0x0fed_cba9_8765_4321);
const KEY: KeyHash = KeyHash(Digest([6; 32]));
const LIFE: Member = Member { node: NODE, incarnation: Incarnation(7) };

fn release() -> Release {
    Release { version: Version::new(0, 2, 0), digest: Digest([2; 32]) }
}

fn reason() -> Reason {
    Reason { code: Some("exited".to_owned()), reason: "exited with code 3".to_owned() }
}

fn plan() -> Plan {
    Plan {
        id: PlanId(1),
        from: Version::new(0, 1, 0),
        target: release(),
        started_by: StartedBy::Policy,
        direction: Direction::Back { reason: reason() },
        options: PlanOptions { max_parallel: 8, settle_ms: 100, step_timeout_ms: 120_000 },
        phase: Phase::Held { reason: HoldReason::StepFailed { node: NODE, reason: reason() } },
        epoch: Epoch(9),
        start_leader: NODE,
        start_primaries: BTreeMap::from([(ShardId(0), NODE)]),
        steps: vec![StepRecord {
            node: NODE,
            shard: Some(ShardId(0)),
            role: StepRole::Primary,
            led_raft: true,
            epoch: Epoch(10),
            state: StepState::Failed { reason: reason() },
            began_at_ms: 1,
            ended_at_ms: Some(2),
        }],
        handovers: vec![HandoverRecord {
            shard: ShardId(0),
            from: NODE,
            to: NodeId(2),
            epoch: Epoch(11),
            stall_us: Some(700),
        }],
        started_at_ms: 1,
    }
}

fn history() -> HistoryEntry {
    HistoryEntry { plan: plan(), outcome: Outcome::RolledBack, ended_at_ms: 3 }
}

fn quarantine() -> Quarantine {
    Quarantine { version: Version::new(0, 2, 0), node: NODE, reason: reason() }
}

fn declined() -> Declined {
    Declined { version: Version::new(0, 2, 0), plan: PlanId(1), reason: reason() }
}

fn control() -> ControlView {
    let node = Node {
        id: NODE,
        client_addr: "a:1".to_owned(),
        peer_addr: "a:2".to_owned(),
        http_addr: "a:3".to_owned(),
        tls_port: None,
        role: NodeRole::Data,
        voter: true,
        shard: Some(ShardId(0)),
        incarnation: Incarnation(7),
        release: release(),
        levels: LevelRange::new(1, 2),
        oldest: Some(Level(1)),
        staged: BTreeSet::from([Digest([2; 32])]),
        out: Some(OutStep {
            plan: PlanId(1),
            epoch: Epoch(10),
            target: release(),
            log_index: 5,
            phase: TrialPhase::Confirming { incarnation: Incarnation(8) },
        }),
        machine: MachineId(9),
    };
    let shard = Shard {
        id: ShardId(0),
        slots: SlotSet::part(0, 1),
        nodes: vec![NODE],
        ownership: Ownership::Serving(LIFE),
        epoch: Epoch(3),
        isr_epoch: Epoch(4),
        in_sync: BTreeSet::from([LIFE]),
        mode: AckMode::InSync,
        steady_mode: AckMode::Primary,
        lineage: vec![LineageEntry { epoch: Epoch(3), start: Some(Offset(0)) }],
        handover: Some(Handover {
            epoch: Epoch(11),
            from: LIFE,
            to: LIFE,
            log_index: 6,
            via: HandoverVia::Primary,
        }),
        losses: Losses {
            recoveries: 1,
            bytes_min: 5,
            newest: vec![Recovery {
                epoch: Epoch(3),
                to: LIFE,
                at: Offset(0),
                bytes_min: 5,
                given_up: BTreeSet::from([LIFE]),
                by: RecoveredBy::Operator,
                at_ms: 9,
                as_of_ms: Some(4),
            }],
        },
        keeper: Some(Keeper { member: LIFE, from: Offset(7), base: KeeperBase::Leaver }),
        keeper_wanted: Some(NODE),
        exposed: true,
    };
    let info = ReleaseInfo {
        release: release(),
        size_bytes: 9,
        min_from: Some(Version::new(0, 1, 0)),
        levels: LevelRange::new(1, 2),
        hold: true,
    };
    let digest = Digest([2; 32]);
    ControlView {
        cluster_id: Some(ClusterId(5)),
        epoch: Epoch(12),
        cluster_level: Level(1),
        nodes: BTreeMap::from([(NODE, node)]),
        shards: BTreeMap::from([(ShardId(0), shard)]),
        releases: BTreeMap::from([(digest, info)]),
        quarantined: BTreeMap::from([(digest, quarantine())]),
        declined: BTreeMap::from([(digest, declined())]),
        unfinished: Some(Unfinished { origin: release(), target: release() }),
        plan: Some(plan()),
        last_plan: PlanId(1),
        history: vec![history()],
        membership: Some(MembershipChange {
            epoch: Epoch(13),
            node: NODE,
            stage: MembershipStage::Joining { voter: true, replaces: Some(NODE) },
        }),
        removed: vec![NODE],
        security: Some(SecurityMode::Keys),
        operators: vec![Operator { key: KEY, name: "ada".to_owned(), role: OperatorRole::Admin }],
        pins: BTreeMap::from([(NODE, KeyHash(Digest([7; 32])))]),
    }
}

fn data() -> DataStatus {
    DataStatus {
        tls: None,
        role: DataRole::Primary,
        shard: Some(ShardId(0)),
        keys: 1,
        offset: Offset(2),
        clients: 3,
        replicas: vec![ReplicaStatus {
            node: NODE,
            incarnation: Incarnation(7),
            applied: Offset(2),
            lag_bytes: 0,
            syncing: false,
            in_sync: true,
            in_sync_for_ms: 4,
        }],
        link_up: true,
        in_sync: true,
        serves: Some(Epoch(9)),
        follows: None,
        isr_epoch: Epoch(10),
        holds: Some(Holding::UpTo { epoch: Epoch(9), offset: Offset(2), as_of_ms: Some(3) }),
    }
}

fn node_status() -> NodeStatus {
    NodeStatus {
        node: NODE,
        incarnation: Incarnation(7),
        release: release(),
        pid: 1,
        client_addr: "a:1".to_owned(),
        peer_addr: "a:2".to_owned(),
        http_addr: "a:3".to_owned(),
        tls_port: None,
        levels: LevelRange::new(1, 1),
        launcher_protocol: Some(WireRange::CURRENT),
        machine: MachineId(9),
        timers: Some(RaftTimers { heartbeat_ms: 100, election_min_ms: 500, election_max_ms: 1000 }),
        pristine: false,
        insecure: true,
        believes: Some(Believes::Open),
        launcher: LauncherStatus { phase: LauncherPhase::Idle, degraded: None },
        raft: RaftStatus { leader: Some(NODE), voters: vec![NODE], ..RaftStatus::default() },
        data: data(),
        staged: vec![Digest([2; 32])],
        control: Some(control()),
        state_hash: "00".to_owned(),
        not_ready: Some("catching up with the log".to_owned()),
    }
}

fn problem() -> Problem {
    Problem {
        code: "unknown_key".to_owned(),
        key: Some("zone".to_owned()),
        text: "is not a key of this release".to_owned(),
    }
}

fn upgrade() -> UpgradeStatus {
    UpgradeStatus {
        leader: NODE,
        now_ms: Some(5),
        plan: Some(plan()),
        addresses: BTreeMap::from([(NODE, "h:1".to_owned())]),
        waiting_on: vec![
            WaitingOn::RaftLag { node: NODE, entries: 9, max_entries: 4 },
            WaitingOn::NodeOut { node: NODE, out_for_ms: 1, max_ms: 2, stage: OutStage::Silent },
            WaitingOn::CannotUpgrade { node: NODE, reason: reason() },
            WaitingOn::TotalLoss {
                shard: ShardId(0),
                until: RecoverWhen::Accepted { node: NODE, at: Offset(5) },
            },
        ],
        soaking: Some(Soaking {
            since_ms: 1,
            soaked_ms: 4,
            finalize_after_s: Some(86_400),
            level: Level(1),
            finalizes_to: Level(2),
            can_roll_back: false,
            blockers: vec![RollbackBlocker::Preflight { node: NODE, problem: problem() }],
        }),
        history: vec![history()],
        nodes: vec![UpgradeNode {
            node: NODE,
            client_addr: "a:1".to_owned(),
            shard: Some(ShardId(0)),
            role: ServingRole::Primary,
            leader: true,
            release: release(),
            step: NodeStep::Trial,
            in_sync: true,
            reachable: true,
        }],
    }
}

fn staged() -> StagedRelease {
    StagedRelease {
        release: release(),
        size_bytes: 9,
        held_by: 1,
        nodes: 2,
        levels: Some(LevelRange::new(1, 2)),
        min_from: None,
        hold: true,
        quarantined: Some(quarantine()),
        declined: Some(declined()),
    }
}

fn policy() -> PolicyStatus {
    let setting = |key: &str, value| Setting {
        key: key.to_owned(),
        value,
        default: SettingValue::Word("never".to_owned()),
        changeable: true,
        about: "what it is".to_owned(),
    };
    PolicyStatus {
        epoch: Epoch(4),
        settings: vec![
            setting("finalize-after-s", SettingValue::Number(86_400)),
            setting("on-failure", SettingValue::Word("rollback".to_owned())),
        ],
    }
}

/// `value` with an unknown field in every object that is a struct: not in maps by id, nor in the `{"word": …}` of an
/// enum, where a second key would be another shape and not one field more. The number of fields added is counted.
fn with_unknown_fields(value: &Value, added: &mut usize) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| with_unknown_fields(item, added)).collect(),
        Value::Object(fields) => {
            let by_id = fields.keys().all(|key| key.bytes().all(|b| b.is_ascii_hexdigit()));
            let of_enum = fields.len() == 1 && fields.values().all(Value::is_object);
            let mut fields: serde_json::Map<_, _> =
                fields.iter().map(|(key, value)| (key.clone(), with_unknown_fields(value, added))).collect();
            if !by_id && !of_enum {
                *added += 1;
                fields.insert("of_a_later_release".to_owned(), json!({"some": [1]}));
            }
            Value::Object(fields)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn is_lenient<T: Serialize + DeserializeOwned + PartialEq + Debug>(answer: &T) {
    let json = serde_json::to_value(answer).unwrap();
    assert_eq!(&serde_json::from_value::<T>(json.clone()).unwrap(), answer);
    let mut added = 0;
    let more = with_unknown_fields(&json, &mut added);
    assert!(added > 0, "{json}");
    // Through text: a map by number has keys that are text there.
    let read: T = serde_json::from_str(&more.to_string()).unwrap();
    assert_eq!(&read, answer);
}

#[test]
fn an_answer_with_more_fields_everywhere_reads_as_what_is_known_of_it() {
    is_lenient(&node_status());
    is_lenient(&ClusterStatus {
        leader: NODE,
        term: 1,
        control: control(),
        nodes: BTreeMap::from([(
            NODE,
            NodeBrief { release: release(), data: data(), ready: true, seen_ms_ago: 1 },
        )]),
        waiting_on: vec![WaitingOn::NotReady { node: NODE }],
        addresses: BTreeMap::from([(NODE, "h:1".to_owned())]),
    });
    is_lenient(&upgrade());
    is_lenient(&staged());
    is_lenient(&policy());
    is_lenient(&PlanAnswer {
        plan: Some(PlanId(1)),
        from: Version::new(0, 1, 0),
        target: release(),
        steps: vec!["one".to_owned()],
    });
    is_lenient(&Done { done: "done".to_owned() });
    let refused = Refused { code: "no_plan".to_owned(), detail: "none".to_owned() };
    is_lenient(&ApiError { error: "no".to_owned(), refused: Some(refused) });
}

/// Each object of a request, one at a time, with one field more.
fn is_strict<T: Serialize + DeserializeOwned + PartialEq + Debug>(request: &T) {
    let json = serde_json::to_value(request).unwrap();
    assert_eq!(&serde_json::from_value::<T>(json.clone()).unwrap(), request);
    let objects = pointers(&json, "");
    for at in objects {
        let mut more = json.clone();
        let object = more.pointer_mut(&at).and_then(Value::as_object_mut).unwrap();
        object.insert("of_a_later_release".to_owned(), json!(1));
        let refused = serde_json::from_str::<T>(&more.to_string()).unwrap_err().to_string();
        assert!(refused.contains("unknown field `of_a_later_release`"), "{at:?} of {json}: {refused}");
    }
}

fn pointers(value: &Value, at: &str) -> Vec<String> {
    let below = |key: &str, value: &Value| pointers(value, &format!("{at}/{key}"));
    match value {
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, item)| below(&i.to_string(), item)).collect()
        }
        // The keys of a policy are data: whether one is known is said by the policy.
        Value::Object(_) if at == "/set" => Vec::new(),
        // So are ids of nodes: what is none is refused as one.
        Value::Object(_) if ["/nodes", "/security/nodes"].contains(&at) => Vec::new(),
        Value::Object(fields) => {
            let of_fields = fields.iter().flat_map(|(key, value)| below(key, value));
            std::iter::once(at.to_owned()).chain(of_fields).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[test]
fn a_request_with_one_field_more_anywhere_is_refused() {
    is_strict(&CreateCluster {
        nodes: vec![CreateNode {
            http_addr: "a:3".to_owned(),
            node: NODE,
            voter: true,
            shard: Some(ShardId(0)),
        }],
        shards: vec![CreateShard { id: ShardId(0), slots: SlotSet::part(0, 1), nodes: vec![NODE] }],
        mode: AckMode::Primary,
        set: BTreeMap::from([("settle-ms".to_owned(), "7".to_owned())]),
        security: Some(CreateKeys {
            cluster: ClusterId(7),
            admin: "ada".to_owned(),
            nodes: BTreeMap::from([(NODE, KEY)]),
            codes: vec![Digest([3; 32])],
        }),
    });
    is_strict(&PlanRequest {
        target: Version::new(0, 2, 0),
        digest: Some(Digest([3; 32])),
        dry_run: false,
        max_parallel: None,
        settle_ms: None,
    });
    is_strict(&RollbackRequest { reason: Some("too slow".to_owned()) });
    is_strict(&PolicyChange {
        set: BTreeMap::from([("max-parallel".to_owned(), "2".to_owned())]),
        seen: Some(Epoch(4)),
    });
    is_strict(&RecoverRequest { shard: ShardId(3), accept_loss: true });
    let http_addr = "a:3".to_owned();
    let admitted = Some(Admitted { key: KEY, code: Digest([8; 32]) });
    is_strict(&AddNode {
        http_addr: http_addr.clone(),
        node: NODE,
        shard: Some(ShardId(0)),
        learner: true,
        admitted,
    });
    is_strict(&ReplaceNode { old: NODE, http_addr, node: NODE, admitted });
    is_strict(&AddOperator { key: KEY, name: "ada".to_owned(), role: OperatorRole::Admin });
    is_strict(&RevokeOperator { key: KEY });
    is_strict(&JoinProve { proof: Digest([8; 32]) });
    is_strict(&JoinBind { cluster: ClusterId(7), nodes: BTreeMap::from([(NODE, KEY)]) });
    is_strict(&RemoveNode { node: NODE });
    is_strict(&AllowRelease { version: Version::new(0, 2, 0) });
}

/// A word and an object that no release has: both are read, and go on as they came.
fn shows_what_it_does_not_know<T: Serialize + DeserializeOwned + Debug>() {
    for later in [json!("mending"), json!({"mending": {"node": "01", "free_bytes": 7}})] {
        let read: T = serde_json::from_value(later.clone()).unwrap();
        assert!(format!("{read:?}").contains("Unknown"), "{read:?}");
        assert_eq!(serde_json::to_value(&read).unwrap(), later);
    }
}

fn shows_a_word_that_it_does_not_know<T: Serialize + DeserializeOwned + Debug>() {
    let read: T = serde_json::from_value(json!("mending")).unwrap();
    assert!(format!("{read:?}").contains("Unknown"), "{read:?}");
    assert_eq!(serde_json::to_value(&read).unwrap(), json!("mending"));
}

#[test]
fn an_unknown_word_of_any_enum_is_kept_and_shown() {
    shows_what_it_does_not_know::<Phase>();
    shows_what_it_does_not_know::<Direction>();
    shows_what_it_does_not_know::<HoldReason>();
    shows_what_it_does_not_know::<StepState>();
    shows_what_it_does_not_know::<TrialPhase>();
    shows_what_it_does_not_know::<Ownership>();
    shows_what_it_does_not_know::<WaitingOn>();
    shows_what_it_does_not_know::<OutStage>();
    shows_what_it_does_not_know::<RecoverWhen>();
    shows_what_it_does_not_know::<Holding>();
    shows_what_it_does_not_know::<RollbackBlocker>();
    shows_a_word_that_it_does_not_know::<StartedBy>();
    shows_a_word_that_it_does_not_know::<Outcome>();
    shows_a_word_that_it_does_not_know::<StepRole>();
    shows_a_word_that_it_does_not_know::<NodeRole>();
    shows_a_word_that_it_does_not_know::<AckMode>();
    shows_a_word_that_it_does_not_know::<DataRole>();
    shows_a_word_that_it_does_not_know::<LauncherPhase>();
    shows_a_word_that_it_does_not_know::<ServingRole>();
    shows_a_word_that_it_does_not_know::<NodeStep>();
    shows_a_word_that_it_does_not_know::<RecoveredBy>();
}

#[test]
fn a_known_word_without_its_field_does_not_end_the_reading() {
    // Of a release that renamed it, say: what is left is to show it.
    let held = serde_json::from_value::<Phase>(json!({"held": {}})).unwrap();
    assert!(matches!(held, Phase::Unknown(_)), "{held:?}");
}

#[test]
fn an_answer_of_the_first_shape_reads_with_what_was_not_said_left_out() {
    let mut old = serde_json::to_value(upgrade()).unwrap();
    let fields = old.as_object_mut().unwrap();
    fields.remove("now_ms");
    fields.remove("soaking");
    let plan = fields["plan"].as_object_mut().unwrap();
    plan.remove("started_by");
    plan.remove("direction");
    let read: UpgradeStatus = serde_json::from_str(&old.to_string()).unwrap();
    let plan = read.plan.unwrap();
    assert_eq!((plan.started_by, plan.direction), (StartedBy::Operator, Direction::Forward));
    assert_eq!((read.now_ms, read.soaking), (None, None));
}

#[test]
fn the_shapes_are_those_that_scripts_read() {
    let text = serde_json::to_string_pretty(&upgrade()).unwrap();
    expect_test::expect_file!["golden/upgrade.json"].assert_eq(&text);
    let text = serde_json::to_string_pretty(&node_status()).unwrap();
    expect_test::expect_file!["golden/status.json"].assert_eq(&text);
    let others = json!({"policy": policy(), "staged": staged()});
    let text = serde_json::to_string_pretty(&others).unwrap();
    expect_test::expect_file!["golden/others.json"].assert_eq(&text);
}
