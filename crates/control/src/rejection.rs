//! Why a command was not applied, for programs (`code`) and for people (`Display`).

use crate::invariants::Violation;
use crate::reason::Reason;
use crate::security::OperatorRole;
use ironcache_types::{
    Digest, Epoch, Incarnation, KeyHash, Level, LevelRange, Member, NodeId, Offset, PlanId, ShardId, Version,
    WireRange,
};

/// What an accepted command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing new: the same thing had been applied before (I8).
    Unchanged,
    Changed {
        /// The newest epoch drawn, or the counter as it stood.
        epoch: Epoch,
    },
    PlanStarted {
        plan: PlanId,
    },
}

/// The log remembers the code of a rejection, and nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("this node belongs to no cluster yet; run `ironcache cluster create` first")]
    NoCluster,
    #[error(
        "the cluster exists already (`ironcache cluster status`); another one needs nodes with empty data directories"
    )]
    ClusterExists,
    #[error("the layout is not a cluster: {detail}; correct it and create the cluster again")]
    BadLayout { detail: String },
    #[error("node {node} is not part of the cluster; `ironcache cluster nodes` lists those that are")]
    UnknownNode { node: NodeId },
    #[error("shard {shard} does not exist; `ironcache cluster status` lists those that do")]
    UnknownShard { shard: ShardId },
    #[error("node {node} has registered incarnation {current}, and {seen} is an older one")]
    StaleIncarnation { node: NodeId, seen: Incarnation, current: Incarnation },
    #[error("{what} is at epoch {current}, and the proposer saw {seen}")]
    StaleEpoch { what: String, seen: Epoch, current: Epoch },
    #[error("{member} is not the primary of shard {shard}")]
    NotPrimary { shard: ShardId, member: Member },
    #[error("{member} is not in the in-sync set of shard {shard}: it may lack acknowledged writes")]
    NotInSync { shard: ShardId, member: Member },
    #[error(
        "{member} is the primary of shard {shard}; its role leaves by a handover first (a node that is stopped hands over \
         by itself)"
    )]
    IsPrimary { shard: ShardId, member: Member },
    #[error(
        "shard {shard} has no primary at the moment; wait until a member of its in-sync set has taken over, or \
         start the node that owned it last (`ironcache cluster status` names it)"
    )]
    Recovering { shard: ShardId },
    #[error("shard {shard} still has a primary")]
    StillServing { shard: ShardId },
    #[error(
        "the leader of term {proposed} saw the lease of shard {shard}'s primary end, and the entry is of term {entry}: \
         another leader may have granted one since"
    )]
    OtherTerm { shard: ShardId, proposed: u64, entry: u64 },
    #[error(
        "node {node} is out for an upgrade, or since a plan was aborted without it: until it is back it joins no \
         in-sync set, and no plan starts or ends well; start it if it does not run, it rejoins by itself"
    )]
    NodeOut { node: NodeId },
    #[error("node {other} of shard {shard} is out already; one node of a shard goes at a time")]
    ShardHasNodeOut { shard: ShardId, other: NodeId },
    #[error("a handover of shard {shard} is in flight (epoch {handover}); ask again when it has ended")]
    HandoverInFlight { shard: ShardId, handover: Epoch },
    #[error("no handover {handover} of shard {shard} is in flight")]
    NoSuchHandover { shard: ShardId, handover: Epoch },
    #[error("member {member} is not a replica of shard {shard}")]
    NotAReplica { shard: ShardId, member: Member },
    #[error("shard {shard} acknowledges in mode `primary`; a step needs `in-sync`")]
    ModeTooWeak { shard: ShardId },
    #[error(
        "{left} of {voters} voters would be left and {majority} are a majority; add a voter first: a replica or a \
         witness (`ironcache cluster add-node HOST:PORT --witness`)"
    )]
    NoQuorumToSpare { voters: usize, left: usize, majority: usize },
    #[error(
        "a single node cannot be upgraded without downtime; add a replica and a witness first (`ironcache cluster \
         add-node HOST:PORT`, `ironcache cluster add-node HOST:PORT --witness`)"
    )]
    SingleNode,
    #[error(
        "shard {shard} has no replica that could take over; add one first (`ironcache cluster add-node HOST:PORT \
         --shard {shard}`)"
    )]
    NoReplica { shard: ShardId },
    #[error("no release {version} is staged; run `ironcache release stage FILE` first")]
    UnknownRelease { version: Version },
    #[error(
        "release {version} is known with digest {known}, and {asked} was asked for: another binary was staged under that \
         version; look at `ironcache release list`, and ask for the one that is meant"
    )]
    OtherDigest { version: Version, asked: String, known: String },
    #[error("every node runs {version} already; there is nothing to do")]
    SameVersion { version: Version },
    #[error(
        "release {version} is quarantined: it failed on node {node}: {reason}; stage a mended binary under a \
         new version"
    )]
    Quarantined { version: Version, node: NodeId, reason: Reason },
    #[error(
        "release {version} can be reached from {min_from} or newer, and node {node} runs {runs}; go through a \
         release in between"
    )]
    // Boxed: three versions in a row would make every `Result` of `apply` larger than it need be.
    TooOld { version: Version, min_from: Box<Version>, node: NodeId, runs: Box<Version> },
    #[error(
        "version {version} is staged already with another digest ({digest}); give the new binary a new version"
    )]
    VersionTaken { version: Version, digest: String },
    #[error(
        "{max} releases are known, and each is needed, is quarantined for good, or was declined and is newer than what \
         runs: go to a newer one, or allow one that was declined (`ironcache release allow VERSION`), and stage again"
    )]
    TooManyReleases { max: usize },
    #[error("no release {} is known any more", digest.short())]
    NoSuchRelease { digest: Digest },
    #[error(
        "plan {plan} to {target} is active ({phase}); wait for it, or end it with `ironcache cluster upgrade abort`"
    )]
    PlanActive { plan: PlanId, target: Version, phase: String },
    #[error("no plan is active; `ironcache cluster upgrade history` shows those that ended")]
    NoPlan,
    #[error("plan {plan} is not the active one; look at `ironcache cluster upgrade status`, and ask again")]
    OtherPlan { plan: PlanId },
    #[error(
        "the plan is {phase}; {wanted} is needed. `ironcache cluster upgrade status` says what it waits for; a \
         held plan goes on with `resume` and ends with `abort`"
    )]
    WrongPhase { phase: String, wanted: String },
    #[error("node {node} does not hold the artifact yet")]
    NotStaged { node: NodeId },
    #[error("node {node} runs the target already")]
    AlreadyOnTarget { node: NodeId },
    #[error(
        "node {node} was the primary of shard {shard} when the plan began and goes last; {waiting} has not \
         been upgraded"
    )]
    PrimaryGoesLast { shard: ShardId, node: NodeId, waiting: NodeId },
    #[error("node {node} does not run the target yet")]
    NotOnTarget { node: NodeId },
    #[error("node {node} has no step of epoch {step}")]
    NoSuchStep { node: NodeId, step: Epoch },
    #[error(
        "a plan is active; {what} is refused meanwhile. Wait for its end, or end it with `ironcache cluster \
         upgrade abort`"
    )]
    DuringPlan { what: String },
    #[error("at most {max} nodes may be out at a time")]
    TooManyOut { max: u16 },
    #[error(
        "shard {shard} would begin at offset {offset}, and its last primary began at {start}: acknowledged writes lie in \
         between"
    )]
    BelowStart { shard: ShardId, offset: Offset, start: Offset },
    #[error("{member} is in the in-sync set of shard {shard}: it takes over without a loss")]
    TakesOver { shard: ShardId, member: Member },
    #[error(
        "the in-sync set of shard {shard}, with its keeper, has other members than those that are given up; look again"
    )]
    GivenUp { shard: ShardId },
    #[error(
        "`on-total-loss` is `wait`: shard {shard} stays without a primary until somebody accepts the loss (`ironcache \
         cluster recover --shard {shard} --accept-loss`)"
    )]
    LossNotAccepted { shard: ShardId },
    #[error(
        "node {node} registered its process {incarnation} with another release already; a process has one"
    )]
    OtherRelease { node: NodeId, incarnation: Incarnation },
    #[error(
        "the binary {digest} is known as version {known}, and version {version} was staged with it; a binary has one \
         version"
    )]
    DigestTaken { version: Version, known: Box<Version>, digest: String },
    #[error("no version lies in {range}: the first is above the last")]
    EmptyRange { range: WireRange },
    #[error("our bug: the command would break an invariant: {0}")]
    Invariant(Violation),
    #[error(
        "release {version} admits levels {admits}, and the cluster is at level {level}, which never falls; stage a \
         release that admits level {level}"
    )]
    CannotRead { version: Version, admits: LevelRange, level: Level },
    #[error(
        "release {version} admits levels {admits}, and node {node} still holds files of level {oldest}; wait until it \
         has written them anew, which it does by itself within moments of a finalize, or go through a release in between"
    )]
    OlderFiles { version: Version, admits: LevelRange, node: NodeId, oldest: Level },
    #[error(
        "release {version} speaks launcher protocols {speaks}, and the launcher of node {node} speaks {launcher}; go \
         through a release in between, or restart that node with a newer release's launcher"
    )]
    LauncherTooOld { version: Version, speaks: WireRange, node: NodeId, launcher: WireRange },
    #[error(
        "plan {plan} to {target} is soaking: every node runs it, and it is not final; finalize or roll back first \
         (`ironcache cluster upgrade finalize`, `ironcache cluster upgrade rollback`)"
    )]
    Soaking { plan: PlanId, target: Version },
    #[error(
        "the plan to {target} was aborted halfway, so nodes run two releases: go on with `ironcache cluster \
         set-target-version {target}`, or back with `ironcache cluster set-target-version {origin}`"
    )]
    Unfinished { origin: Box<Version>, target: Box<Version> },
    #[error(
        "release {version} was declined in plan {plan}: {reason}; the policy does not start it again. \
         `ironcache release allow {version}` lets it, and `ironcache cluster set-target-version {version}` starts it"
    )]
    Declined { version: Version, plan: PlanId, reason: Reason },
    #[error("the policy does not admit a rollout of {version}: {why}")]
    NotByPolicy { version: Version, why: NotByPolicy },
    #[error("the plan goes back already")]
    GoesBack,
    #[error("the plan cannot go back: {why}")]
    NoRollback { why: NoRollback },
    #[error("{key} = {value}: {why}")]
    BadSetting { key: String, value: String, why: String },
    #[error(
        "node {node}: {reason}; mend its configuration and restart it, and it is asked again (`ironcache server \
         --check` on that machine)"
    )]
    PreflightFailed { node: NodeId, reason: Reason },
    #[error("node {node} has not tried the target against its configuration yet")]
    NotPreflighted { node: NodeId },
    #[error(
        "node {node} holds another control state at log index {log_index}: nothing becomes final while nodes disagree; \
         `ironcache cluster upgrade rollback` takes everybody back to what they agreed on"
    )]
    HashDiffers { node: NodeId, log_index: u64 },
    #[error("release {version} is not declined; there is nothing to allow")]
    NotDeclined { version: Version },
    #[error(
        "a step leaves {left} members of shard {shard}, and `min-in-sync` is {min_in_sync}: writes would be refused; \
         add a replica, or lower it (`ironcache cluster policy set min-in-sync {left}`)"
    )]
    MinInSync { shard: ShardId, left: usize, min_in_sync: u16 },
    #[error(
        "node {node} was removed from this cluster and is no member any more; to use its machine again, stop it and start \
         it with an empty data directory: a new node, which `ironcache cluster add-node` takes in"
    )]
    Removed { node: NodeId },
    #[error(
        "node {node} runs {version}, which admits levels {admits}, and the cluster is at level {level}: start it with a \
         release that admits level {level}"
    )]
    CannotJoin { node: NodeId, version: Version, admits: LevelRange, level: Level },
    #[error("node {node} belongs to the cluster already")]
    AlreadyMember { node: NodeId },
    #[error(
        "node {node} {stage}; one node at a time: wait until `ironcache cluster status` shows no change of the nodes"
    )]
    MembershipPending { node: NodeId, stage: &'static str },
    #[error("the change of the nodes is at another point: it is about node {node} now")]
    OtherChange { node: NodeId },
    #[error("{voters} nodes vote, and {max} may; take it in without a vote (`--learner`)")]
    TooManyVoters { voters: usize, max: usize },
    #[error(
        "node {node} has an address of node {other}; is that one lost, and this one in its place? \
         `ironcache cluster replace-node {other} HOST:PORT`"
    )]
    AddressTaken { node: NodeId, other: NodeId },
    #[error("node {node} is still in the in-sync set of shard {shard}: it has to leave that first")]
    StillInSync { shard: ShardId, node: NodeId },
    #[error("node {node} is leaving the cluster, and joins no in-sync set any more")]
    NodeLeaving { node: NodeId },
    #[error(
        "shard {shard} would have one member left, and nobody keeps the tail of its stream: what is acknowledged then \
         would be in one process only"
    )]
    NoKeeper { shard: ShardId },
    #[error(
        "node {node} is of shard {shard}; what that acknowledges is kept by a node of another shard, or a witness"
    )]
    OfTheShard { shard: ShardId, node: NodeId },
    #[error(
        "node {node} keeps the tail of shard {shard}'s stream while that has one full member; ask again when it has two"
    )]
    KeepsShard { shard: ShardId, node: NodeId },
    #[error(
        "a tail of shard {shard} from offset {from} on does not continue what the node that is out took along ({})",
        base_from.map_or_else(|| "nobody kept a tail for it".to_owned(), |at| format!("everything below {at}"))
    )]
    TailTooShort { shard: ShardId, from: Offset, base_from: Option<Offset> },
    #[error("shard {shard} has a keeper on record; a planned handover begins without one")]
    KeeperRecorded { shard: ShardId },
    #[error(
        "{member} keeps the tail of shard {shard}'s stream, and it continues what there is: the shard goes on without a \
         loss, or somebody accepts one (`ironcache cluster recover --shard {shard} --accept-loss`)"
    )]
    KeepsTail { shard: ShardId, member: Member },
    #[error("shard {shard} would go on with one member in sync, and {member} is another one")]
    LeftAlone { shard: ShardId, member: Member },
    #[error(
        "what shard {shard} acknowledges is in one process only; the plan goes on by itself as soon as another node keeps \
         it, or two are in sync"
    )]
    Exposed { shard: ShardId },
    #[error("level {level} is not in force yet: the cluster is at level {state}; finalize the rollout first")]
    NotYet { level: Level, state: Level },
    #[error("the leader has not accepted step {step} of node {node} yet")]
    TrialNotAccepted { node: NodeId, step: Epoch },
    #[error("node {node} runs the target, and a failed step is reported from the old binary")]
    StillOnTarget { node: NodeId },
    #[error(
        "node {node} is out for its step; wait until it is back, or stop the plan first (`ironcache cluster upgrade \
         pause`): a plan that is paused or held can be aborted without the node"
    )]
    StepInFlight { node: NodeId },
    #[error(
        "this cluster is insecure: it was created without keys, knows none of anybody's, and stays so; one with keys is \
         created anew"
    )]
    Insecure,
    #[error(
        "node {node} proved no join code, and this cluster takes in whoever did; `ironcache cluster join-code` makes one"
    )]
    NotAdmitted { node: NodeId },
    #[error(
        "the join code of node {node} was used for another node already; `ironcache cluster join-code` makes a new one"
    )]
    CodeUsed { node: NodeId },
    #[error("the key {key} is that of a node or an operator of this cluster; each has one of its own")]
    KeyTaken { key: KeyHash },
    #[error("no operator has the key {key}; `ironcache cluster operator list` shows those that there are")]
    UnknownOperator { key: KeyHash },
    #[error("an operator is called {name:?} already; revoke that one first, or choose another name")]
    NameTaken { name: String },
    #[error("the name \"{name}\" of an operator: one line of 1 to {bytes_max} bytes is wanted")]
    BadName { name: String, bytes_max: usize },
    #[error("{max} operators are known, and no more may be; revoke one first")]
    TooManyOperators { max: usize },
    #[error("there would be more than {users_max} users, or they would take more than {bytes_max} bytes")]
    TooManyUsers { users_max: usize, bytes_max: usize },
    #[error(
        "there would be more than {libraries_max} libraries, or they would take more than {bytes_max} bytes"
    )]
    TooManyLibraries { libraries_max: usize, bytes_max: usize },
    #[error(
        "{name:?} is the last admin: without one nobody could change who operates the cluster; add another one first \
         (`ironcache cluster operator add`)"
    )]
    LastAdmin { name: String },
    #[error("whoever asks is no {} of this cluster", needed.word())]
    NotAllowed { needed: OperatorRole },
}

/// What stands against a rollout by the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotByPolicy {
    #[error("`auto-rollout` is {auto}, and {running} runs")]
    Policy { auto: crate::policy::AutoRollout, running: Version },
    #[error("it was staged with --hold")]
    Held,
    #[error("node {node} does not hold it yet")]
    NotHeld { node: NodeId },
}

/// Why a plan cannot be turned round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRollback {
    #[error("it is being turned round already")]
    TurningBack,
    #[error("{version}, where it would lead, is quarantined")]
    OriginQuarantined { version: Version },
    #[error(
        "{version}, where it would lead, is not known to the cluster; stage it (`ironcache release stage FILE`)"
    )]
    OriginUnknown { version: Version },
    #[error(
        "{version}, where it would lead, admits levels {admits}, and the cluster is at level {level}, which never falls"
    )]
    OriginCannotRead { version: Version, admits: LevelRange, level: Level },
    #[error("node {node} is still under way")]
    NodeOut { node: NodeId },
    #[error("a handover of shard {shard} is in flight")]
    HandoverInFlight { shard: ShardId },
}

impl Rejection {
    /// A stable word for scripts: the `code` of the JSON refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::NoCluster => "no_cluster",
            Rejection::ClusterExists => "cluster_exists",
            Rejection::BadLayout { .. } => "bad_layout",
            Rejection::UnknownNode { .. } => "unknown_node",
            Rejection::UnknownShard { .. } => "unknown_shard",
            Rejection::StaleIncarnation { .. } => "stale_incarnation",
            Rejection::StaleEpoch { .. } => "stale_epoch",
            Rejection::NotPrimary { .. } => "not_primary",
            Rejection::NotInSync { .. } => "not_in_sync",
            Rejection::IsPrimary { .. } => "is_primary",
            Rejection::Recovering { .. } => "recovering",
            Rejection::StillServing { .. } => "still_serving",
            Rejection::OtherTerm { .. } => "other_term",
            Rejection::NodeOut { .. } => "node_out",
            Rejection::ShardHasNodeOut { .. } => "shard_has_node_out",
            Rejection::HandoverInFlight { .. } => "handover_in_flight",
            Rejection::NoSuchHandover { .. } => "no_such_handover",
            Rejection::NotAReplica { .. } => "not_a_replica",
            Rejection::ModeTooWeak { .. } => "mode_too_weak",
            Rejection::NoQuorumToSpare { .. } => "no_quorum_to_spare",
            Rejection::SingleNode => "single_node",
            Rejection::NoReplica { .. } => "no_replica",
            Rejection::UnknownRelease { .. } => "unknown_release",
            Rejection::OtherDigest { .. } => "other_digest",
            Rejection::SameVersion { .. } => "same_version",
            Rejection::Quarantined { .. } => "quarantined",
            Rejection::TooOld { .. } => "too_old",
            Rejection::VersionTaken { .. } => "version_taken",
            Rejection::TooManyReleases { .. } => "too_many_releases",
            Rejection::NoSuchRelease { .. } => "no_such_release",
            Rejection::PlanActive { .. } => "plan_active",
            Rejection::NoPlan => "no_plan",
            Rejection::OtherPlan { .. } => "other_plan",
            Rejection::WrongPhase { .. } => "wrong_phase",
            Rejection::NotStaged { .. } => "not_staged",
            Rejection::AlreadyOnTarget { .. } => "already_on_target",
            Rejection::PrimaryGoesLast { .. } => "primary_goes_last",
            Rejection::NotOnTarget { .. } => "not_on_target",
            Rejection::NoSuchStep { .. } => "no_such_step",
            Rejection::DuringPlan { .. } => "during_plan",
            Rejection::TooManyOut { .. } => "too_many_out",
            Rejection::CannotRead { .. } | Rejection::CannotJoin { .. } | Rejection::OlderFiles { .. } => {
                "cannot_read"
            }
            Rejection::LauncherTooOld { .. } => "launcher_too_old",
            Rejection::Soaking { .. } => "soaking",
            Rejection::Unfinished { .. } => "unfinished",
            Rejection::Declined { .. } => "declined",
            Rejection::NotByPolicy { .. } => "not_by_policy",
            Rejection::GoesBack => "goes_back",
            Rejection::NoRollback { .. } => "no_rollback",
            Rejection::BadSetting { .. } => "bad_setting",
            Rejection::PreflightFailed { .. } => "preflight_failed",
            Rejection::NotPreflighted { .. } => "not_preflighted",
            Rejection::HashDiffers { .. } => "hash_differs",
            Rejection::NotDeclined { .. } => "not_declined",
            Rejection::MinInSync { .. } => "min_in_sync",
            Rejection::NotYet { .. } => "not_yet",
            Rejection::Removed { .. } => "removed",
            Rejection::AlreadyMember { .. } => "already_member",
            Rejection::MembershipPending { .. } => "membership_pending",
            Rejection::OtherChange { .. } => "other_change",
            Rejection::TooManyVoters { .. } => "too_many_voters",
            Rejection::AddressTaken { .. } => "address_taken",
            Rejection::StillInSync { .. } => "still_in_sync",
            Rejection::NodeLeaving { .. } => "node_leaving",
            Rejection::TrialNotAccepted { .. } => "trial_not_accepted",
            Rejection::StillOnTarget { .. } => "still_on_target",
            Rejection::StepInFlight { .. } => "step_in_flight",
            Rejection::BelowStart { .. } => "below_start",
            Rejection::TakesOver { .. } => "takes_over",
            Rejection::GivenUp { .. } => "given_up",
            Rejection::LossNotAccepted { .. } => "loss_not_accepted",
            Rejection::NoKeeper { .. } => "no_keeper",
            Rejection::OfTheShard { .. } => "of_the_shard",
            Rejection::KeepsShard { .. } => "keeps_shard",
            Rejection::TailTooShort { .. } => "tail_too_short",
            Rejection::KeeperRecorded { .. } => "keeper_recorded",
            Rejection::KeepsTail { .. } => "keeps_tail",
            Rejection::LeftAlone { .. } => "left_alone",
            Rejection::Exposed { .. } => "exposed",
            Rejection::OtherRelease { .. } => "other_release",
            Rejection::DigestTaken { .. } => "digest_taken",
            Rejection::EmptyRange { .. } => "empty_range",
            Rejection::Insecure => "insecure",
            Rejection::NotAdmitted { .. } => "not_admitted",
            Rejection::CodeUsed { .. } => "code_used",
            Rejection::KeyTaken { .. } => "key_taken",
            Rejection::UnknownOperator { .. } => "unknown_operator",
            Rejection::NameTaken { .. } => "name_taken",
            Rejection::BadName { .. } => "bad_name",
            Rejection::TooManyOperators { .. } => "too_many_operators",
            Rejection::TooManyUsers { .. } => "too_many_users",
            Rejection::TooManyLibraries { .. } => "too_many_libraries",
            Rejection::LastAdmin { .. } => "last_admin",
            Rejection::NotAllowed { .. } => "not_allowed",
            Rejection::Invariant(_) => "invariant",
        }
    }
}
