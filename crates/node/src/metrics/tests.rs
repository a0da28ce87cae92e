//! The exposition, read back by a strict reader.

use super::*;
use crate::data::Stats;
use crate::ground::{Descriptors, Disk};
use ironcache_api::{DataRole, DataStatus, ReplicaStatus};
use ironcache_control::{
    Command, HandoverRecord, InitCluster, NodeRole, NodeSpec, Phase, Plan, PlanOptions, ShardSpec,
    StepRecord, StepRole, StepState,
};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, NodeId, Offset, PlanId, ShardId, SlotSet, Version, WireRange,
};
use std::collections::{BTreeMap, BTreeSet};

const ME: Member = Member { node: NodeId(1), incarnation: Incarnation(5) };

fn release() -> Release {
    Release { version: Version::new(1, 0, 0), digest: Digest([1; 32]) }
}

fn state() -> ControlState {
    let mut state = ControlState::default();
    let node = NodeSpec {
        member: ME,
        client_addr: "127.0.0.1:1".to_owned(),
        peer_addr: "127.0.0.1:2".to_owned(),
        http_addr: "127.0.0.1:3".to_owned(),
        tls_port: None,
        role: NodeRole::Data,
        voter: true,
        shard: Some(ShardId(0)),
        release: release(),
        levels: ironcache_types::LEVELS,
        launcher_protocol: WireRange::CURRENT,
        machine: ironcache_types::MachineId(1),
    };
    let shard = ShardSpec { id: ShardId(0), slots: SlotSet::part(0, 1), nodes: vec![ME.node] };
    let init = InitCluster {
        cluster_id: ClusterId(7),
        nodes: vec![node],
        shards: vec![shard],
        policy: ironcache_control::Policy::default(),
        security: ironcache_control::NewSecurity::Insecure,
    };
    state.apply(1, &Command::InitCluster(init)).unwrap();
    let step = |role, began_at_ms, ended_at_ms| StepRecord {
        node: ME.node,
        target: Digest([2; 32]),
        shard: Some(ShardId(0)),
        role,
        led_raft: false,
        epoch: Epoch(4),
        state: StepState::Confirmed,
        began_at_ms,
        ended_at_ms,
    };
    let handover = |stall_us| HandoverRecord {
        shard: ShardId(0),
        from: NodeId(1),
        to: NodeId(2),
        epoch: Epoch(3),
        stall_us,
    };
    state.plan = Some(Plan {
        id: PlanId(3),
        started_by: ironcache_control::StartedBy::Operator,
        direction: ironcache_control::Direction::Forward,
        origin: release(),
        turn: Epoch(2),
        target: Release { version: "1.1.0-rc.1+a".parse().unwrap(), digest: Digest([2; 32]) },
        options: PlanOptions::default(),
        phase: Phase::Rolling,
        epoch: Epoch(2),
        start_leader: ME.node,
        start_primaries: BTreeMap::new(),
        steps: vec![step(StepRole::Replica, 1_000, Some(1_600)), step(StepRole::Primary, 2_000, None)],
        handovers: vec![handover(Some(700)), handover(Some(9_000_000)), handover(None)],
        started_at_ms: 0,
    });
    state
}

fn scrape() -> Scrape {
    let replica = ReplicaStatus {
        node: NodeId(2),
        incarnation: Incarnation(1),
        applied: Offset(60),
        lag_bytes: 40,
        syncing: false,
        in_sync: true,
        in_sync_for_ms: 7,
    };
    let status = DataStatus {
        tls: None,
        role: DataRole::Primary,
        shard: Some(ShardId(0)),
        keys: 11,
        offset: Offset(100),
        clients: 3,
        replicas: vec![replica],
        link_up: true,
        in_sync: true,
        serves: Some(Epoch(3)),
        follows: None,
        isr_epoch: Epoch(3),
        holds: None,
        #[cfg(feature = "next")]
        clocks_heard: 0,
    };
    Scrape {
        me: ME,
        release: release(),
        up_seconds: 1.5,
        resident_bytes: 4096,
        cpu_user_seconds: 0.25,
        cpu_system_seconds: 0.5,
        ready: true,
        upgrades_refused: false,
        attempts_refused: BTreeMap::from([("no_plan".to_owned(), 3)]),
        peers_refused: BTreeMap::from([("unknown_key".to_owned(), 2)]),
        ground: Ground {
            descriptors: Descriptors { soft: Some(64), hard: Some(4_096), open: 12 },
            disk: Some(Disk { size_bytes: 1 << 40, free_bytes: 1 << 30, files_free: None }),
            ..Ground::default()
        },
        findings: vec![Finding::ClockNotKept],
        data: Some(DataSnapshot {
            status,
            stats: Stats { commands: 9, moved: 2, handover_stall_us: 800, ..Stats::default() },
            used_bytes: 1234,
            parked: 1,
            primary_applied: None,
            index: 6,
            settled: true,
            loaded: true,
            trouble: None,
            snapshot_taken_ms: Some(1_700_000_000_900),
            snapshot_failed: false,
            messages_dropped: 3,
        }),
        raft: RaftView {
            node: ME.node,
            leader: Some(NodeId(2)),
            is_leader: false,
            term: 3,
            voters: vec![ME.node, NodeId(2)],
            learners: Vec::new(),
            is_joint: false,
            last_log: Some(8),
            last_applied: Some(7),
            committed: Some(7),
            snapshot: None,
            purged: None,
            matched: BTreeMap::new(),
            quorum_ack_ms: None,
            stopped: None,
        },
        state: Arc::new(state()),
    }
}

/// Every sample, as `name{labels}` and its value. Refuses what the format does not allow.
fn read(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("the exposition has its end");
    let (mut samples, mut described) = (BTreeMap::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a family has a help text");
            assert!(name.starts_with("ironcache_") && !help.is_empty(), "{line}");
            assert!(described.insert(name.to_owned()), "{name} is described twice");
            family = name.to_owned();
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, of) = of.split_once(' ').expect("a family has a type");
            assert_eq!(name, family);
            kind = of.to_owned();
        } else if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').expect("a unit follows the name");
            assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let name = series.split('{').next().unwrap_or(series);
            let suffixes: &[&str] = match kind.as_str() {
                "gauge" => &[""],
                "counter" => &["_total"],
                "info" => &["_info"],
                "histogram" => &["_sum", "_count", "_bucket"],
                other => panic!("{family} is of the unknown type {other}"),
            };
            assert!(suffixes.iter().any(|s| name.strip_suffix(s) == Some(&family)), "{line} in {family}");
            assert!(!value.starts_with('-'), "nothing here can be negative: {line}");
            let value = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
        }
    }
    samples
}

#[test]
fn every_family_is_described_once_and_its_samples_fit_its_type() {
    let samples = read(&encode(scrape()).unwrap());
    assert_eq!(samples["ironcache_data_keys"], 11.0);
    assert_eq!(samples["ironcache_data_role{role=\"primary\"}"], 1.0);
    assert_eq!(samples["ironcache_data_role{role=\"replica\"}"], 0.0);
    assert_eq!(samples["ironcache_replica_lag_bytes{replica=\"0000000000000002\"}"], 40.0);
    assert_eq!(samples["ironcache_commands_total"], 9.0);
    assert_eq!(samples["ironcache_attempts_refused_total{code=\"no_plan\"}"], 3.0);
    assert_eq!(samples["ironcache_peers_refused_total{code=\"unknown_key\"}"], 2.0);
    assert_eq!(samples["ironcache_process_cpu_seconds_total{mode=\"user\"}"], 0.25);
    assert_eq!(samples["ironcache_shard_in_sync_members{shard=\"0\"}"], 1.0);
    assert_eq!(samples["ironcache_raft_index{at=\"committed\"}"], 7.0);
    assert_eq!(samples["ironcache_plan_phase{phase=\"rolling\"}"], 1.0);
    assert_eq!(samples["ironcache_plan_phase{phase=\"none\"}"], 0.0);
    assert_eq!(samples["ironcache_handover_last_stall_seconds"], 0.0008);
    assert_eq!(samples["ironcache_messages_dropped_total"], 3.0);
    assert_eq!(samples["ironcache_member_info{node=\"0000000000000001\",address=\"127.0.0.1:1\"}"], 1.0);
}

#[test]
fn histograms_are_cumulative_and_count_only_what_has_ended() {
    let samples = read(&encode(scrape()).unwrap());
    let stall = |le: &str| {
        samples[&format!("ironcache_handover_stall_seconds_bucket{{le=\"{le}\",kind=\"planned\"}}")]
    };
    assert_eq!([stall("0.0005"), stall("0.001"), stall("2.0"), stall("+Inf")], [0.0, 1.0, 1.0, 2.0]);
    assert_eq!(samples["ironcache_handover_stall_seconds_count{kind=\"planned\"}"], 2.0);
    assert_eq!(samples["ironcache_step_duration_seconds_sum{role=\"replica\"}"], 0.6);
    assert_eq!(samples["ironcache_step_duration_seconds_count{role=\"primary\"}"], 0.0);
}

#[test]
fn a_label_cannot_break_out_of_its_quotes() {
    struct Evil;
    impl fmt::Debug for Evil {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Evil")
        }
    }
    impl Collector for Evil {
        fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
            let family = writer::plain("evil", "A label with everything in it");
            Writer::new(encoder).gauges(&family, [([("text", "a\"} 1\nb\\")], 2u64)])
        }
    }
    let mut registry = Registry::with_prefix("ironcache");
    registry.register_collector(Box::new(Evil));
    let mut text = String::new();
    text::encode(&mut text, &registry).unwrap();
    assert_eq!(read(&text)[r#"ironcache_evil{text="a\"} 1\nb\\"}"#], 2.0);
}

#[test]
fn a_node_that_ends_still_shows_what_it_knows() {
    let samples = read(&encode(Scrape { data: None, ..scrape() }).unwrap());
    assert!(!samples.contains_key("ironcache_data_keys"));
    assert_eq!(samples["ironcache_raft_term"], 3.0);
}

#[test]
fn what_is_wrong_with_the_machine_is_1_and_what_could_be_is_0() {
    let samples = read(&encode(scrape()).unwrap());
    for code in Finding::CODES {
        let series = format!("ironcache_ground_finding{{code=\"{code}\"}}");
        assert_eq!(samples[&series], f64::from(u8::from(code == "clock_not_kept")), "{code}");
    }
    assert_eq!(samples["ironcache_descriptors_limit"], 4_096.0);
    assert_eq!(samples["ironcache_descriptors_open"], 12.0);
    assert_eq!(samples["ironcache_disk_free_bytes"], f64::from(1 << 30));
    assert!(!samples.contains_key("ironcache_memory_limit_bytes"), "the machine did not say");
}
