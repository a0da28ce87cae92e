//! What an [`AckGate`](crate::AckGate) answers: outcomes with their evidence, and refusals.

use crate::message::Source;
use ironcache_types::{Member, Offset};
use std::fmt;

/// Whether a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Gate {
    Open,
    /// Until this member acknowledges more, or a committed entry has removed it.
    WaitFor {
        member: Member,
        behind_bytes: u64,
    },
}

/// What an acknowledgement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckStep {
    /// What every required member holds advanced: replies may be free to leave.
    Released { acknowledged: Offset },
    /// The member advanced, and another one holds replies back.
    Advanced,
    /// A sign of life.
    Unchanged,
}

/// Why an acknowledgement does not count. Close the link it came on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    #[error("the acknowledgement is for {got}, and this primary is {expected}")]
    OtherSource { expected: Source, got: Source },
    #[error("the acknowledgement came on a link that {member} has replaced or lost")]
    StaleLink { member: Member },
    #[error("{member} acknowledges {applied}, and the stream ends at {end}: its history is another one")]
    PastEnd { member: Member, applied: Offset, end: Offset },
    #[error("{member} acknowledges {applied} after {before}: it lost what it had applied")]
    Backwards { member: Member, applied: Offset, before: Offset },
}

/// Why a replica may not be accepted with a full sync.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member} is in the in-sync set, or proposed for it: it may take a full sync only once it is not")]
pub struct AttachError {
    pub member: Member,
}

/// Why a member may not be proposed now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("{member} is in the in-sync set, or proposed for it")]
    AlreadyRequired { member: Member },
    #[error("{member} is not attached to this primary")]
    NotAttached { member: Member },
    #[error("{member} lacks {behind_bytes} bytes of what was acknowledged; await it, then propose it")]
    NotCaughtUp { member: Member, behind_bytes: u64 },
}

/// Whether a replica may be proposed for the in-sync set, by its past conduct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    Eligible,
    Settling { remaining_ms: u64 },
    Behind { behind_bytes: u64, age_ms: u64 },
    NotAttached,
    AlreadyRequired,
}

/// In which way a member is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    Committed,
    Proposed,
    Awaited,
}

/// A required member that is to be removed by a committed entry (an awaited one: just dropped).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    pub member: Member,
    pub requirement: Requirement,
    pub evidence: Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing was heard from it for this long.
    Unheard { for_ms: u64 },
    /// It is heard from, owes something, and has not moved for this long.
    Stalled { for_ms: u64, behind_bytes: u64, behind_ops: u64 },
    /// It moves now and then, and its oldest outstanding byte is this old.
    Outstanding { age_ms: u64, behind_bytes: u64, behind_ops: u64 },
}

/// A replica as `INFO`, metrics and gates see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerView {
    pub member: Member,
    pub requirement: Option<Requirement>,
    pub attached: bool,
    /// `None`: it has acknowledged nothing to this primary yet.
    pub applied: Option<Offset>,
    pub behind_bytes: u64,
    pub behind_ops: u64,
}

/// Some required member lacks part of what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member} lacks {behind_bytes} bytes of what was acknowledged")]
pub struct LacksAcknowledged {
    pub member: Member,
    pub behind_bytes: u64,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::Open => write!(f, "the reply may leave"),
            Gate::WaitFor { member, behind_bytes } => {
                write!(f, "waiting for {member}, which is {behind_bytes} bytes behind")
            }
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::Unheard { for_ms } => write!(f, "unheard for {for_ms} ms"),
            Silence::Stalled { for_ms, behind_bytes, behind_ops } => {
                write!(f, "{behind_bytes} bytes and {behind_ops} writes behind, unmoved for {for_ms} ms")
            }
            Silence::Outstanding { age_ms, behind_bytes, behind_ops } => {
                write!(f, "{behind_bytes} bytes and {behind_ops} writes behind for {age_ms} ms")
            }
        }
    }
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, requirement: _, evidence } = self;
        match evidence {
            Silence::Unheard { for_ms } => write!(f, "{member} was not heard for {for_ms} ms"),
            Silence::Stalled { for_ms, behind_bytes, behind_ops } => write!(
                f,
                "{member} lacks {behind_bytes} bytes ({behind_ops} operations), and has not moved for {for_ms} ms"
            ),
            Silence::Outstanding { age_ms, behind_bytes, behind_ops } => write!(
                f,
                "{member} has not applied {behind_bytes} bytes ({behind_ops} operations), the oldest for {age_ms} ms"
            ),
        }
    }
}

/// Why the mode may not be proposed to rise now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RaiseError {
    #[error("weaker acknowledgements have not been stopped, or the mode is in-sync already")]
    NotTightened,
    #[error("the rise of the mode is proposed, and the outcome is not known yet")]
    AlreadyProposed,
    #[error("the mode rises once every member holds what was acknowledged")]
    LacksAcknowledged(#[from] LacksAcknowledged),
}
