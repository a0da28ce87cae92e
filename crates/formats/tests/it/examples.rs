//! One or more commands of every kind, and states with something in every field.

use crate::setup::{Cluster, S0, S1, admin, admitted, info, key, layout, layout_with_keys, new, old};
use ironcache_control::{
    AckMode, AskedBy, Audit, AutoRollout, Command, ControlState, Declined, Direction, FinalizeAfter,
    Handover, HandoverRecord, HandoverVia, HistoryEntry, HoldReason, Keeper, KeeperBase, Keys, LastLease,
    Libraries, Losses, MembershipChange, MembershipStage, NewKeeper, OnFailure, OnTotalLoss, Operator,
    OperatorRole, OutStep, Outcome, Ownership, Phase, PlanOptions, Policy, Preflight, Quarantine, RaftTimers,
    Reason, Recover, RecoveredBy, Recovery, ReleaseInfo, Security, StageHold, StartedBy, StepRecord,
    StepRole, StepState, TrialPhase, Unfinished, Users,
};
use ironcache_formats::entry::EntryKind;
use ironcache_formats::state::Answer;
use ironcache_types::{
    AuditLink, AuditRecord, Digest, Epoch, Incarnation, Level, LevelRange, MachineId, Member, NodeId, Offset,
    PlanId, Release, RequestId, Version, WireRange,
};
use std::sync::Arc;

const BIG: u64 = 0x0123_4567_89ab_cdef;

fn member(node: u64) -> Member {
    Member { node: NodeId(node), incarnation: Incarnation(BIG) }
}

pub(crate) fn reason() -> Reason {
    Reason::new("exit", "it ended with exit status 7")
}

pub(crate) fn policy() -> Policy {
    Policy {
        auto_rollout: AutoRollout::Patch,
        finalize_after: FinalizeAfter::Seconds(300),
        on_failure: OnFailure::Hold,
        on_total_loss: OnTotalLoss::Wait,
        recover_wait_s: 310,
        settle_ms: 301,
        step_timeout_s: 302,
        max_parallel: 303,
        handover_timeout_ms: 304,
        steady_mode: AckMode::InSync,
        min_in_sync: 2,
        isr_timeout_ms: 305,
        max_lag_bytes: 306,
        max_lag_ops: 307,
        park_ms_max: 308,
        timers: RaftTimers { heartbeat_ms: 50, election_min_ms: 150, election_max_ms: 300 },
    }
}

/// The one of [`policy`], with the other words.
fn other_policy() -> Policy {
    Policy {
        auto_rollout: AutoRollout::Minor,
        finalize_after: FinalizeAfter::Never,
        on_failure: OnFailure::Rollback,
        on_total_loss: OnTotalLoss::ServeWhatIsLeft,
        steady_mode: AckMode::Primary,
        ..policy()
    }
}

fn hold_reasons() -> [HoldReason; 5] {
    let node = NodeId(3);
    [
        HoldReason::StepFailed { node, reason: reason() },
        HoldReason::StepInconclusive { node, reason: reason() },
        HoldReason::StepTimedOut { node, waited_ms: 120_001 },
        HoldReason::StateMismatch { node, log_index: 640 },
        HoldReason::Exposed { shard: S1 },
    ]
}

fn release_info() -> ReleaseInfo {
    ReleaseInfo {
        size_bytes: 1 << 33,
        min_from: Some(Version::parse("1.2.0-rc.1+build.5").unwrap()),
        levels: LevelRange::new(1, 300),
        launcher_protocol: WireRange { min: 1, max: 2 },
        hold: StageHold::Held,
        ..info(new())
    }
}

/// Every field of every kind is set, and every word of every enum is in one of them.
pub(crate) fn commands(kind: EntryKind) -> Vec<Command> {
    let (shard, plan, plan_epoch, step) = (S1, PlanId(3), Epoch(BIG), Epoch(301));
    let (digest, at_ms) = (Digest(std::array::from_fn(|i| i as u8)), 1_700_000_000_000);
    let (isr_epoch, shard_epoch, primary, from, to) =
        (Epoch(300), Epoch(300), member(1), member(1), member(2));
    match kind {
        EntryKind::InitCluster => {
            vec![Command::InitCluster(layout()), Command::InitCluster(layout_with_keys())]
        }
        EntryKind::RegisterNode => vec![
            Command::RegisterNode {
                member: member(2),
                client_addr: "[::1]:7000".to_owned(),
                peer_addr: "host:17000".to_owned(),
                http_addr: "host:27000".to_owned(),
                tls_port: None,
                release: new(),
                levels: LevelRange::new(1, 2),
                launcher_protocol: WireRange { min: 1, max: 3 },
                machine: MachineId(u128::from(BIG) << 32),
                #[cfg(feature = "next")]
                zone: None,
            },
            #[cfg(feature = "next")]
            crate::next::registers_in_a_zone(),
        ],
        EntryKind::AddInSync => vec![Command::AddInSync { shard, isr_epoch, primary, member: to }],
        EntryKind::RemoveInSync => {
            vec![Command::RemoveInSync { shard, isr_epoch, primary, member: to, reason: reason() }]
        }
        EntryKind::SetMode => [AckMode::Primary, AckMode::InSync]
            .map(|mode| Command::SetMode { shard, isr_epoch, primary, mode })
            .into(),
        EntryKind::BeginHandover => [None, Some(plan)]
            .map(|plan| Command::BeginHandover { shard, shard_epoch, from, to, plan })
            .into(),
        EntryKind::Promote => {
            let in_sync = [member(2), member(1)].into();
            vec![Command::Promote { shard, handover: Epoch(300), to, offset: Offset(BIG), in_sync }]
        }
        EntryKind::AbortHandover => vec![Command::AbortHandover { shard, handover: Epoch(300) }],
        EntryKind::ReportHandover => {
            vec![Command::ReportHandover { shard, epoch: Epoch(300), stall_us: 70_000 }]
        }
        EntryKind::Failover => vec![Command::Failover { shard, shard_epoch, isr_epoch, to, term: 7 }],
        EntryKind::Reclaim => {
            vec![Command::Reclaim { shard, shard_epoch, member: to, of: Incarnation(7), end: Offset(BIG) }]
        }
        EntryKind::Recover => [RecoveredBy::Policy, RecoveredBy::Operator]
            .map(|by| {
                let given_up = [member(1), member(3)].into();
                let (at, lost_bytes_min) = (Offset(BIG), 300);
                Command::Recover(Recover {
                    shard,
                    shard_epoch,
                    isr_epoch,
                    to,
                    at,
                    lost_bytes_min,
                    given_up,
                    term: 7,
                    by,
                    at_ms,
                    as_of_ms: (by == RecoveredBy::Policy).then_some(1_700_000_000_004),
                })
            })
            .into(),
        EntryKind::PrimaryReady => {
            vec![Command::PrimaryReady { shard, epoch: Epoch(300), start: Offset(BIG) }]
        }
        EntryKind::RegisterRelease => {
            [release_info(), info(old())].map(|info| Command::RegisterRelease { info }).into()
        }
        EntryKind::ReportStaged => vec![Command::ReportStaged { node: NodeId(BIG), digest }],
        EntryKind::StartPlan => {
            let (target, leader) = (Release { version: Version::new(1, 4, 0), digest }, NodeId(2));
            let start = |options, started_by| Command::StartPlan {
                target: target.clone(),
                options,
                leader,
                started_by,
                at_ms,
            };
            vec![
                start(policy().plan_options(), StartedBy::Operator),
                start(other_policy().plan_options(), StartedBy::Policy),
            ]
        }
        EntryKind::BeginRolling => vec![Command::BeginRolling { plan, plan_epoch }],
        EntryKind::UpgradeSelf => vec![Command::UpgradeSelf { plan, plan_epoch, member: to, at_ms }],
        EntryKind::Confirm => vec![Command::Confirm { plan, step, member: to, digest }],
        EntryKind::Confirmed => vec![Command::Confirmed { plan, step, member: to, digest, at_ms }],
        EntryKind::StepFailed => [true, false]
            .map(|quarantine| Command::StepFailed {
                plan,
                step,
                member: to,
                reason: reason(),
                quarantine,
                at_ms,
            })
            .into(),
        EntryKind::Hold => hold_reasons().map(|reason| Command::Hold { plan, plan_epoch, reason }).into(),
        EntryKind::Pause => vec![Command::Pause { plan }],
        EntryKind::Resume => vec![Command::Resume { plan }],
        EntryKind::Abort => vec![Command::Abort { plan, at_ms }],
        EntryKind::Finalize => vec![Command::Finalize { plan, plan_epoch, level: Level(300), at_ms }],
        EntryKind::Rejoin => vec![Command::Rejoin { step, member: to }],
        EntryKind::BeginSoaking => vec![Command::BeginSoaking { plan, plan_epoch, at_ms }],
        EntryKind::Soaked => vec![Command::Soaked { plan, plan_epoch, ms: 86_400_000 }],
        EntryKind::Rollback => vec![Command::Rollback { plan, plan_epoch, reason: reason() }],
        EntryKind::TurnBack => vec![Command::TurnBack { plan, plan_epoch, leader: NodeId(2) }],
        EntryKind::ReportPreflight => [None, Some(reason())]
            .map(|problem| Command::ReportPreflight { member: to, digest, turn: Epoch(300), problem })
            .into(),
        EntryKind::LevelReached => vec![Command::LevelReached { member: to, oldest: Level(300) }],
        EntryKind::SetPolicy => [policy(), other_policy(), Policy::default()]
            .map(|policy| Command::SetPolicy { seen: Epoch(300), policy })
            .into(),
        EntryKind::AllowRelease => vec![Command::AllowRelease { digest }],
        EntryKind::AddNode => [(None, None), (Some(NodeId(BIG)), Some(admitted(3)))]
            .map(|(replaces, admitted)| Command::AddNode {
                spec: layout().nodes[2].clone(),
                replaces,
                admitted,
            })
            .into(),
        EntryKind::AddOperator => [
            (admin(), OperatorRole::Viewer),
            (AskedBy::Node(NodeId(BIG)), OperatorRole::Operator),
            (admin(), OperatorRole::Admin),
        ]
        .map(|(by, role)| Command::AddOperator { by, key: key(101), name: "bob".to_owned(), role })
        .into(),
        EntryKind::RevokeOperator => vec![Command::RevokeOperator { by: admin(), key: key(101) }],
        EntryKind::RemoveNode => vec![Command::RemoveNode { node: NodeId(BIG) }],
        EntryKind::NodeLeft => vec![Command::NodeLeft { change: Epoch(BIG), node: NodeId(2) }],
        EntryKind::MembershipDone => vec![Command::MembershipDone { change: Epoch(BIG) }],
        EntryKind::WantKeeper => {
            [None, Some(NodeId(BIG))].map(|node| Command::WantKeeper { shard, shard_epoch, node }).into()
        }
        EntryKind::SetKeeper => [None, Some(KeeperBase::Leaver), Some(KeeperBase::Own)]
            .map(|base| {
                let keeper = base.map(|base| NewKeeper { member: member(6), from: Offset(BIG), base });
                Command::SetKeeper { shard, isr_epoch, primary, keeper, reason: reason() }
            })
            .into(),
        EntryKind::BeginRecovery => {
            vec![Command::BeginRecovery { shard, shard_epoch, isr_epoch, to, term: 7 }]
        }
        EntryKind::ChangeUsers => {
            let set = users().by_name.as_ref().clone();
            let deleted = [b"bob".to_vec(), vec![0xff]].into();
            vec![
                Command::ChangeUsers { seen: Epoch(BIG), by: b"default".to_vec(), set, deleted },
                Command::ChangeUsers { seen: Epoch(0), by: vec![], set: [].into(), deleted: [].into() },
            ]
        }
        EntryKind::ChangeLibraries => {
            let set = libraries().by_name.as_ref().clone();
            let deleted = [b"bob".to_vec(), vec![0xff]].into();
            vec![
                Command::ChangeLibraries { seen: Epoch(BIG), by: b"default".to_vec(), set, deleted },
                Command::ChangeLibraries { seen: Epoch(0), by: vec![], set: [].into(), deleted: [].into() },
            ]
        }
        #[cfg(feature = "next")]
        EntryKind::SetZone => vec![Command::SetZone { node: NodeId(2), zone: "east".to_owned() }],
    }
}

/// Those of [`commands`] that `level` has a place for.
pub(crate) fn commands_at(kind: EntryKind, level: Level) -> Vec<Command> {
    let mut commands = commands(kind);
    commands.retain(|command| since(command) <= level);
    commands
}

/// The level that brought the last of what the command says.
pub(crate) fn since(command: &Command) -> Level {
    match command {
        #[cfg(feature = "next")]
        Command::RegisterNode { zone: Some(_), .. } | Command::SetZone { .. } => ironcache_types::NEXT,
        Command::ChangeUsers { .. } => Users::SINCE,
        Command::ChangeLibraries { .. } => Libraries::SINCE,
        _ => Level::FIRST,
    }
}

/// One of them is called as no text is.
fn users() -> Users {
    let user = |name: &[u8], rules: &[u8]| (name.to_vec(), rules.to_vec());
    let by_name = [user(b"ada", b"on nopass ~* &* +@all"), user(&[0xff, b'x'], b"off resetchannels -@all")];
    Users { epoch: Epoch(BIG), by_name: Arc::new(by_name.into()) }
}

/// One of them has code that is no text.
fn libraries() -> Libraries {
    let library = |name: &[u8], code: &[u8]| (name.to_vec(), code.to_vec());
    let by_name =
        [library(b"a", b"#!lua name=a\nredis.register_function('f', print)"), library(b"b", &[0xff, 0])];
    Libraries { epoch: Epoch(BIG), by_name: Arc::new(by_name.into()) }
}

/// A state as its cluster would hold it at `level`.
pub(crate) fn raised(mut state: ControlState, level: Level) -> ControlState {
    if state.cluster_id.is_some() {
        state.cluster_level = level;
        let is_full = state.policy_epoch != Epoch(0);
        state.users = if is_full && level >= Users::SINCE { users() } else { Users::default() };
        state.libraries =
            if is_full && level >= Libraries::SINCE { libraries() } else { Libraries::default() };
    }
    #[cfg(feature = "next")]
    for node in state.nodes.values_mut() {
        node.zone = (level >= ironcache_types::NEXT).then(|| format!("zone {}", node.id.0));
    }
    state
}

/// A state with something in every field, every word of every enum in one place, and answers.
pub(crate) fn full() -> (ControlState, Vec<Answer>) {
    let mut state = Cluster::upgraded(&[3]).state;
    state.policy = policy();
    state.policy_epoch = Epoch(12);
    let target = new();
    state.releases.insert(target.digest, release_info());
    state.quarantined.insert(
        Digest([9; 32]),
        Quarantine { version: Version::new(1, 9, 0), node: NodeId(2), reason: reason() },
    );
    let declined = Declined { version: Version::new(1, 9, 0), plan: PlanId(2), reason: reason() };
    state.declined.insert(Digest([9; 32]), declined);
    state.unfinished = Some(Unfinished { origin: old(), target: new() });
    let phases =
        [TrialPhase::Told, TrialPhase::Confirming { incarnation: Incarnation(BIG) }, TrialPhase::SetAside];
    for ((index, node), phase) in state.nodes.values_mut().enumerate().zip(phases) {
        let (epoch, target) = (Epoch(20), new());
        let base_from = (index > 0).then_some(Offset(BIG));
        node.out = Some(OutStep { plan: PlanId(1), epoch, target, log_index: 77, phase, base_from });
        let problem = (index > 0).then(reason);
        node.preflight = Some(Preflight { digest: new().digest, turn: Epoch(8), problem });
        node.oldest = Level(1);
    }
    let (from, to) = (member(2), member(4));
    let ailing = state.shards.get_mut(&S1).unwrap();
    ailing.ownership = Ownership::Recovering { last: from, lease: LastLease::MayRun };
    ailing.handover = Some(Handover { epoch: Epoch(30), from, to, log_index: 78, via: HandoverVia::Keeper });
    ailing.lineage[0].start = None;
    ailing.mode = AckMode::Primary;
    ailing.losses = Losses {
        recoveries: 300,
        bytes_min: BIG,
        newest: [RecoveredBy::Policy, RecoveredBy::Operator]
            .map(|by| Recovery {
                epoch: Epoch(29),
                to: member(2),
                at: Offset(301),
                bytes_min: 302,
                given_up: [member(2), member(4)].into(),
                by,
                at_ms: 1_700_000_000_005,
                as_of_ms: (by == RecoveredBy::Operator).then_some(1_700_000_000_004),
            })
            .into(),
    };
    ailing.keeper =
        Some(Keeper { member: member(6), epoch: Epoch(28), from: Offset(BIG), base: KeeperBase::Own });
    ailing.keeper_wanted = Some(NodeId(BIG));
    ailing.exposed = true;
    state.audit = audit();
    let sound = state.shards.get_mut(&S0).unwrap();
    sound.keeper =
        Some(Keeper { member: member(2), epoch: Epoch(27), from: Offset(300), base: KeeperBase::Leaver });
    sound.handover = Some(Handover { epoch: Epoch(26), from, to, log_index: 76, via: HandoverVia::Primary });

    let mut plan = state.plan.clone().expect("the example rolls");
    plan.options = PlanOptions { finalize_after: FinalizeAfter::Never, ..plan.options };
    let (epoch, stall_us) = (Epoch(31), Some(830));
    plan.handovers.push(HandoverRecord { shard: S0, from: NodeId(1), to: NodeId(3), epoch, stall_us });
    let states = [
        (StepRole::Replica, StepState::Out),
        (StepRole::Primary, StepState::Confirmed),
        (StepRole::Witness, StepState::Failed { reason: reason() }),
        (StepRole::Replica, StepState::Inconclusive { reason: reason() }),
        (StepRole::Replica, StepState::SetAside),
    ];
    plan.steps = states
        .map(|(role, state)| StepRecord {
            node: NodeId(3),
            target: new().digest,
            shard: Some(S0),
            role,
            led_raft: true,
            epoch: Epoch(32),
            state,
            began_at_ms: 1_700_000_000_001,
            ended_at_ms: Some(1_700_000_000_002),
        })
        .into();
    let phases = [
        (Phase::Staging, Outcome::Finalized),
        (Phase::Paused, Outcome::Aborted),
        (Phase::TurningBack { reason: reason() }, Outcome::RolledBack),
        (Phase::Soaking { since_ms: 1_700_000_000_003, soaked_ms: 300 }, Outcome::Superseded),
    ];
    let ended = phases.map(|(phase, outcome)| {
        let (direction, started_by) = (Direction::Back { reason: reason() }, StartedBy::Policy);
        let plan = ironcache_control::Plan { phase, direction, started_by, ..plan.clone() };
        HistoryEntry { plan, outcome, ended_at_ms: 1_700_000_000_004 }
    });
    state.history = ended.into();
    let stage = MembershipStage::Joining { voter: true, replaces: Some(NodeId(BIG)) };
    state.membership = Some(MembershipChange { epoch: Epoch(33), node: NodeId(8), stage });
    state.removed = [NodeId(BIG), NodeId(7)].into();
    let roles = [OperatorRole::Viewer, OperatorRole::Operator, OperatorRole::Admin];
    let operator =
        |(at, role): (u8, OperatorRole)| (key(at), Operator { name: role.word().to_owned(), role });
    state.security = Security::Keys(Keys {
        nodes: [(NodeId(BIG), key(1)), (NodeId(7), key(7))].into(),
        operators: (101..).zip(roles).map(operator).collect(),
        codes: [Digest([9; 32]), Digest([8; 32])].into(),
        gone: [(NodeId(BIG), key(201)), (NodeId(6), key(202))].into(),
    });
    plan.phase = Phase::Held { reason: hold_reasons()[0].clone() };
    state.plan = Some(plan);

    let answer = |request: u128, index, refused: Option<&str>| Answer {
        request: RequestId(request),
        index,
        refused: refused.map(str::to_owned),
    };
    (state, vec![answer(u128::MAX, 70, None), answer(2, 71, Some("no_plan")), answer(3, 72, Some("not_yet"))])
}

/// Two records, of which the first is chained to one that was dropped.
fn audit() -> Audit {
    let words =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let anchor = AuditLink { seq: BIG, hash: Digest(std::array::from_fn(|i| 0xff - i as u8)) };
    let started = AuditRecord {
        seq: BIG + 1,
        at_ms: 1_700_000_000_006,
        epoch: Epoch(33),
        log_index: 79,
        who: words(&[("credential", "operator"), ("name", "ada")]),
        from: Some("[::1]:40123".to_owned()),
        act: "plan-started".to_owned(),
        details: words(&[("plan", "1"), ("version", "1.4.0")]),
        previous: anchor.hash,
    };
    let back = AuditRecord {
        seq: BIG + 2,
        who: words(&[("credential", "policy")]),
        from: None,
        act: "plan-rolled-back".to_owned(),
        previous: started.hash(),
        ..started.clone()
    };
    Audit { anchor, head: back.link(), records: Arc::new([started, back].into()) }
}
