//! What the HTTP port and the command line say to each other, as JSON.
//!
//! | method and path | body | answer |
//! | --- | --- | --- |
//! | `GET /livez` `/readyz` | | 200, or 503 with the reason as text |
//! | `GET /metrics` | | Prometheus exposition |
//! | `GET /status` | | [`NodeStatus`]: this node's own view |
//! | `POST /v1/cluster/create` | [`CreateCluster`] | [`Done`]; to one pristine node, which becomes the first leader |
//! | `GET /v1/cluster` | | [`ClusterStatus`]: the leader's view |
//! | `POST /v1/cluster/recover` | [`RecoverRequest`] | [`Done`]; without `accept_loss` refused, with what would be lost |
//! | `POST /v1/cluster/nodes/add` | [`AddNode`] | [`Done`]: it is begun; [`ClusterStatus`] shows how it goes on |
//! | `POST /v1/cluster/nodes/replace` | [`ReplaceNode`] | [`Done`], likewise |
//! | `POST /v1/cluster/nodes/remove` | [`RemoveNode`] | [`Done`], likewise |
//! | `POST /v1/join/prove` | [`JoinProve`] | [`JoinProved`]: both sides hold the join code; to a pristine node, by TLS |
//! | `POST /v1/join/bind` | [`JoinBind`] | [`Done`]; on the same connection: whom the node obeys from now on |
//! | `GET /v1/operators` | | [`Operators`] |
//! | `POST /v1/operators/add` | [`AddOperator`] | [`Done`] |
//! | `POST /v1/operators/revoke` | [`RevokeOperator`] | [`Done`] |
//! | `GET /v1/audit` | | [`AuditTrail`]: who had the cluster do what |
//! | `POST /v1/releases` | the binary itself | [`StagedRelease`] |
//! | `GET /v1/releases` | | `Vec<`[`StagedRelease`]`>` |
//! | `POST /v1/upgrade/plan` | [`PlanRequest`] | [`PlanAnswer`] |
//! | `GET /v1/upgrade` | | [`UpgradeStatus`] |
//! | `POST /v1/upgrade/pause` `resume` `abort` | | [`Done`] |
//!
//! Every node answers every path; what only the leader knows is forwarded to it. Errors are
//! [`ApiError`]: 409 with `refused` for a guardrail, 503 when the leader cannot be reached, 400 for a bad
//! request.
//!
//! Ids (nodes, incarnations, clusters) and digests are hex text, as people see them; epochs, offsets and other
//! counters are numbers. Reasons are enums that carry their numbers: the command line makes sentences of them.
//!
//! Node and command line may be of different releases, in both directions:
//! - a request refuses unknown fields: who asks for what a node does not know must not believe it was done;
//! - an answer ignores unknown fields, and a word of an enum that this release does not know becomes `Unknown`,
//!   which is shown as it came.
//!
//! A verb that came with a level of the cluster says so in a header ([`LEVEL_HEADER`]): below that level every release
//! refuses it alike, also one that does not know its path.
//!
//! So a field is added by adding it, with `#[serde(default)]` in an answer; one that exists is neither renamed nor
//! given another meaning.
//!
//! *Invariant:* pure, and of its own: no type of the log, the coordinator or the data plane is in an answer, so
//! none of them changes an answer by changing.

mod audit;
mod cluster;
mod control;
mod error;
mod hold;
mod level;
mod members;
#[cfg(feature = "next")]
mod next;
mod node;
mod plan;
mod policy;
mod release;
mod security;
mod soaking;
mod unknown;
mod upgrade;
mod waiting_on;

pub use audit::AuditTrail;
pub use cluster::{ClusterStatus, CreateCluster, CreateNode, CreateShard, NodeBrief, RecoverRequest};
pub use control::{
    AckMode, ControlView, Handover, HandoverVia, Keeper, KeeperBase, LineageEntry, Losses, Node, NodeRole,
    OutStep, Ownership, RecoveredBy, Recovery, Shard, TrialPhase, Unfinished,
};
pub use error::{ApiError, Done, Refused};
pub use hold::{HoldReason, Reason};
pub use level::LEVEL_HEADER;
pub use members::{AddNode, MembershipChange, MembershipStage, RemoveNode, ReplaceNode};
#[cfg(feature = "next")]
pub use next::SetZone;
pub use node::{
    CannotKeep, DataRole, DataStatus, Holding, LauncherPhase, LauncherStatus, NodeStatus, RaftStatus,
    RaftTimers, ReplicaStatus, TlsStatus,
};
pub use plan::{
    Direction, HandoverRecord, HistoryEntry, Outcome, Phase, Plan, PlanOptions, StartedBy, StepRecord,
    StepRole, StepState,
};
pub use policy::{PolicyChange, PolicyStatus, Setting, SettingValue};
pub use release::{AllowRelease, Declined, Quarantine, ReleaseInfo, StageHold, StagedRelease};
pub use security::{
    AddOperator, Admitted, Believes, CreateKeys, JoinBind, JoinProve, JoinProved, Operator, OperatorRole,
    Operators, RevokeOperator, SecurityMode,
};
pub use soaking::{Problem, RollbackBlocker, Soaking};
pub use unknown::Unknown;
pub use upgrade::{
    NodeStep, PlanAnswer, PlanRequest, RollbackRequest, ServingRole, UpgradeNode, UpgradeStatus,
};
pub use waiting_on::{OutStage, RecoverWhen, WaitingOn};
