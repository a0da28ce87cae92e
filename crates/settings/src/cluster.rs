//! The settings of the whole cluster: one value for everybody, kept in the log.
//!
//! They are chosen with `cluster create --set KEY=VALUE` and changed with `cluster policy set`. On a node nobody is
//! asked for them: nodes that disagree on one would elect for nothing, drop a replica that others count on, or abort
//! a handover that its leader still waits for.
//!
//! *Invariant:* bounds are held where a text comes in, before anything is proposed. `apply` does not ask this table: two
//! releases may differ in a bound, and both have to apply one entry alike.

use crate::bad_setting::{BadSetting, Why};
use crate::kind::{DAY_MS, Kind, Range, Unit};
use crate::setting::{Change, Key, Setting, named};
use crate::value::Value;

/// In the order of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterKey {
    AutoRollout,
    FinalizeAfterS,
    OnFailure,
    OnTotalLoss,
    RecoverWaitS,
    SettleMs,
    StepTimeoutS,
    MaxParallel,
    HandoverTimeoutMs,
    ParkMsMax,
    SteadyMode,
    MinInSync,
    IsrTimeoutMs,
    MaxLagBytes,
    MaxLagOps,
    HeartbeatMs,
    ElectionMinMs,
    ElectionMaxMs,
}

impl ClusterKey {
    pub fn setting(self) -> &'static Setting {
        &TABLE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.setting().name
    }
}

/// All of them, in the order of the table.
pub fn keys() -> impl Iterator<Item = ClusterKey> {
    TABLE.iter().filter_map(|setting| match setting.key {
        Key::Cluster(key) => Some(key),
        Key::Node(_) => None,
    })
}

/// A setting of the cluster by its name, whenever it can be changed.
///
/// # Errors
/// No setting of the cluster has the name, or it does not take the value.
pub fn parse(name: &str, text: &str) -> Result<(ClusterKey, Value), BadSetting> {
    let setting = named(name, text)?;
    match setting.key {
        Key::Cluster(key) => Ok((key, setting.parse(text)?)),
        Key::Node(_) => Err(setting.bad(text, Why::OfANode { name: setting.name })),
    }
}

/// What `cluster policy set NAME TEXT` sets. The caller still has to check the whole, with [`together`].
///
/// # Errors
/// As [`parse`], and for what is fixed when a cluster is created.
pub fn parse_change(name: &str, text: &str) -> Result<(ClusterKey, Value), BadSetting> {
    let (key, value) = parse(name, text)?;
    match key.setting().change {
        Change::Running => Ok((key, value)),
        Change::AtCreate | Change::AtStart => Err(key.setting().bad(text, Why::FixedAtCreate)),
    }
}

/// Do the values fit one another?
///
/// # Errors
/// Names the one that has to change.
pub fn together(value: impl Fn(ClusterKey) -> Value) -> Result<(), BadSetting> {
    let number = |key| value(key).number().unwrap_or(0);
    let unfit = |key: ClusterKey, why| Err(key.setting().bad(&value(key).to_string(), Why::Unfit(why)));
    if number(ClusterKey::ElectionMinMs) < number(ClusterKey::HeartbeatMs).saturating_mul(2) {
        return unfit(
            ClusterKey::ElectionMinMs,
            "at least twice heartbeat-ms is needed, or leaders come and go",
        );
    }
    if number(ClusterKey::ElectionMaxMs) <= number(ClusterKey::ElectionMinMs) {
        return unfit(
            ClusterKey::ElectionMaxMs,
            "it has to be above election-min-ms, or nodes ask for the same election at once",
        );
    }
    if number(ClusterKey::SettleMs) >= number(ClusterKey::StepTimeoutS).saturating_mul(1000) {
        return unfit(
            ClusterKey::SettleMs,
            "it has to be below step-timeout-s, or every step times out before its replica counts as settled",
        );
    }
    Ok(())
}

pub static TABLE: [Setting; ClusterKey::ElectionMaxMs as usize + 1] = [
    Setting {
        key: Key::Cluster(ClusterKey::AutoRollout),
        name: "auto-rollout",
        kind: Kind::Word(&["off", "patch", "minor"]),
        default: "off",
        change: Change::Running,
        redis: None,
        doc: "Which staged releases start a plan by themselves",
        more: "`patch`: a newer patch of the minor release that runs. `minor`: any newer release of the same major one. A \
               release that is quarantined or declined never does.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::FinalizeAfterS),
        name: "finalize-after-s",
        kind: Kind::NumberOrNever {
            unit: Unit::Seconds,
            range: Range {
                least: 0,
                below: "",
                most: 366 * 24 * 60 * 60,
                above: "more than a year is `never`, and should say so",
            },
        },
        default: "86400",
        change: Change::Running,
        redis: None,
        doc: "How long a release soaks on every node before its plan becomes final, in s, or `never`",
        more: "Until then `cluster upgrade rollback` takes everybody back; after it the old release cannot read what is \
               written. 0 is at once; `never` waits for `cluster upgrade finalize`. A day shows a release the load of \
               an evening.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::OnFailure),
        name: "on-failure",
        kind: Kind::Word(&["rollback", "hold"]),
        default: "rollback",
        change: Change::Running,
        redis: None,
        doc: "What follows a step that failed: everybody goes back, or the plan is held for an operator",
        more: "",
    },
    Setting {
        key: Key::Cluster(ClusterKey::OnTotalLoss),
        name: "on-total-loss",
        kind: Kind::Word(&["serve-what-is-left", "wait"]),
        default: "serve-what-is-left",
        change: Change::Running,
        redis: None,
        doc: "What follows when a shard has lost every member of its in-sync set: it goes on with what is left, or waits",
        more: "`serve-what-is-left`: the node that holds most becomes primary, an empty one if none holds anything, and \
               the loss is recorded. `wait`: nothing is served until `cluster recover --accept-loss`. A last owner that \
               was stopped in order takes its shard back either way, and nothing is lost.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::RecoverWaitS),
        name: "recover-wait-s",
        kind: Kind::number(
            Unit::Seconds,
            Range {
                least: 0,
                below: "",
                most: 24 * 60 * 60,
                above: "a shard would be without a primary for longer than a day, for a node that may never come back",
            },
        ),
        // A process that was killed is back within a second or two, a small machine has booted within twenty or so.
        default: "10",
        change: Change::Running,
        redis: None,
        doc: "How long a shard that lost its whole in-sync set waits for nodes that may hold more, in s",
        more: "It waits no longer than until every node of the shard has answered, and for one that answers and reads its \
               dataset however long that takes. More gives slow machines time to come back with their data.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::SettleMs),
        name: "settle-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 0,
                below: "",
                most: 60 * 60 * 1000,
                above: "each step would wait longer than an hour for a replica that is in sync",
            },
        ),
        // Tells a replica that keeps up from one that is about to fall out.
        default: "100",
        change: Change::Running,
        redis: None,
        doc: "How long a replica must have been in sync before it counts as settled, in ms",
        more: "A plan copies it when it starts.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::StepTimeoutS),
        name: "step-timeout-s",
        kind: Kind::number(
            Unit::Seconds,
            Range {
                least: 1,
                below: "no node is back within 0 s, so every plan would be held",
                most: 24 * 60 * 60,
                above: "a node that does not come back would be waited for longer than a day, its shard with a member \
                        less",
            },
        ),
        // Covers a full sync of tens of millions of keys.
        default: "120",
        change: Change::Running,
        redis: None,
        doc: "How long one node may be out before its plan is held, in s",
        more: "It has to cover a full synchronisation of the largest shard. A plan copies it when it starts.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::MaxParallel),
        name: "max-parallel",
        kind: Kind::number(
            Unit::Count,
            Range {
                least: 1,
                below: "no node could ever go",
                most: 16_384,
                above: "each node out is in another shard, and there are no more shards than slots",
            },
        ),
        // Keeps a large cluster's roll short; the voters' majority bounds it in a small one.
        default: "8",
        change: Change::Running,
        redis: None,
        doc: "Nodes out at the same time, each in another shard",
        more: "A plan copies it when it starts.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::HandoverTimeoutMs),
        name: "handover-timeout-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "every handover would be aborted at once",
                most: 60_000,
                above: "the clients of a handover that hangs would be held back for longer than a minute",
            },
        ),
        default: "100",
        change: Change::Running,
        redis: None,
        doc: "A handover without an outcome is aborted after this, in ms, and tried again later",
        more: "Clients of the shard are held back meanwhile.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::ParkMsMax),
        name: "park-ms-max",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "clients would get TRYAGAIN in every handover",
                most: 60_000,
                above: "no client waits longer than a minute for an answer",
            },
        ),
        default: "2000",
        change: Change::Running,
        redis: None,
        doc: "How long a command is held back in a handover before it is answered TRYAGAIN, in ms",
        more: "",
    },
    Setting {
        key: Key::Cluster(ClusterKey::SteadyMode),
        name: "steady-mode",
        kind: Kind::Word(&["primary", "in-sync"]),
        default: "primary",
        change: Change::Running,
        redis: None,
        doc: "Who has applied a write before it is answered, while no plan runs",
        more: "`primary`: the primary alone, and an unplanned failure may lose `max-lag-bytes`. `in-sync`: every member in \
               sync, and it loses nothing. During a plan it is `in-sync` always.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::MinInSync),
        name: "min-in-sync",
        kind: Kind::number(
            Unit::Count,
            Range {
                least: 1,
                below: "the primary itself counts",
                most: 64,
                above: "no primary sends its stream to so many, so every write would be answered NOREPLICAS",
            },
        ),
        default: "1",
        change: Change::Running,
        redis: None,
        doc: "Members in sync, the primary included, that a write needs; fewer answer NOREPLICAS",
        more: "2 keeps a primary whose only replica is out for its step from taking writes.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::IsrTimeoutMs),
        name: "isr-timeout-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "every replica would leave the in-sync set at once",
                most: DAY_MS,
                above: "a silent replica would hold writes back for longer than a day",
            },
        ),
        default: "2000",
        change: Change::Running,
        redis: None,
        doc: "A replica that is unheard, or owes something and does not move, for this long leaves the in-sync set, in ms",
        more: "While writes wait for it, a tenth of this and what pauses last on the machine; never more than this.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::MaxLagBytes),
        name: "max-lag-bytes",
        kind: Kind::number(
            Unit::Bytes,
            Range {
                least: 1,
                below: "every write would wait for every replica, as in mode `in-sync`",
                most: 1 << 30,
                above: "an unplanned failure might lose more than a gigabyte of what was acknowledged",
            },
        ),
        default: "1048576",
        change: Change::Running,
        redis: None,
        doc: "Acknowledged bytes that an in-sync replica may lack in mode `primary`",
        more: "This is what an unplanned failure may lose a shard (docs/upgrade.md). A write that would leave a replica \
               further behind waits for it.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::MaxLagOps),
        name: "max-lag-ops",
        kind: Kind::number(
            Unit::Count,
            Range {
                least: 1,
                below: "every write would wait for every replica, as in mode `in-sync`",
                most: 1_000_000_000,
                above: "it would bound nothing that max-lag-bytes does not",
            },
        ),
        default: "10000",
        change: Change::Running,
        redis: None,
        doc: "Acknowledged writes that an in-sync replica may lack in mode `primary`",
        more: "The bound of `max-lag-bytes`, counted in operations.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::HeartbeatMs),
        name: "heartbeat-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "the leader would do nothing but tell that it lives",
                most: 10_000,
                above: "a dead leader would be noticed after 20 seconds at best",
            },
        ),
        // Quiet machines can have 50/150/300; a small or shared one elects for nothing with these.
        default: "100",
        change: Change::AtCreate,
        redis: None,
        doc: "Raft's heartbeat, in ms",
        more: "On quiet machines 50, 150 and 300 for this and the two below elect sooner; on small or shared ones they \
               elect for nothing. `cluster create` records all three, from `--set` or as the first node runs by them, and every node runs \
               by what is recorded from its next start on. A node that is given one of them itself (`--heartbeat-ms`) runs by its own: \
               that is how one node is kept from leading. `cluster create` names those that run by others.",
    },
    Setting {
        key: Key::Cluster(ClusterKey::ElectionMinMs),
        name: "election-min-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 2,
                below: "it has to be at least twice heartbeat-ms",
                most: 60_000,
                above: "a cluster would be without a leader for more than a minute",
            },
        ),
        default: "500",
        change: Change::AtCreate,
        redis: None,
        doc: "Raft's election timeout, lower bound, in ms; at least twice `heartbeat-ms`",
        more: "",
    },
    Setting {
        key: Key::Cluster(ClusterKey::ElectionMaxMs),
        name: "election-max-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 3,
                below: "it has to be above election-min-ms",
                most: 120_000,
                above: "a cluster would be without a leader for more than two minutes",
            },
        ),
        default: "1000",
        change: Change::AtCreate,
        redis: None,
        doc: "Raft's election timeout, upper bound, in ms; above `election-min-ms`",
        more: "",
    },
];
