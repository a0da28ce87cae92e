//! Why a replica's hello is not accepted: what the source's `Refuse` says.
//!
//! *Invariant:* a code, once released, keeps its meaning; the text is for people, and nobody reads anything out of it.

use ironcache_replication::{AttachError, FrameError, LinkVersions};
use ironcache_shard::keeper::NotAttached;
use ironcache_shard::{NotKept, Objection};
use ironcache_types::NodeId;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the replica's release speaks link versions {theirs}, and this one {ours}: run a release in between"
    )]
    NoCommonVersion { theirs: LinkVersions, ours: LinkVersions },
    #[error("the key of node {proved} says hello as node {said}")]
    NotItself { proved: NodeId, said: NodeId },
    #[error(transparent)]
    NotMeant(#[from] Objection),
    #[error("this node is not the primary of the shard")]
    NotPrimary,
    #[error("say hello again: this node is primary")]
    PrimaryAlready,
    #[error("say hello again: promoted at another offset")]
    PromotedElsewhere,
    #[error(transparent)]
    InSync(#[from] AttachError),
    #[error(transparent)]
    NotAttached(NotAttached),
}

impl From<NotKept> for Refusal {
    fn from(why: NotKept) -> Self {
        match why {
            NotKept::NotPrimary => Refusal::NotPrimary,
            NotKept::NotAttached(why) => Refusal::NotAttached(why),
        }
    }
}

impl Refusal {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Refusal::NoCommonVersion { .. } => "no_common_version",
            Refusal::NotItself { .. } => "not_itself",
            Refusal::NotMeant(why) => match why {
                Objection::OtherCluster => "other_cluster",
                Objection::OtherShard { .. } => "other_shard",
                Objection::CannotRead { .. } => "cannot_read",
                Objection::UnknownNode { .. } => "unknown_node",
                Objection::OtherLife { .. } => "other_life",
                Objection::NotOfShard { .. } => "not_of_shard",
            },
            Refusal::NotPrimary => "not_primary",
            Refusal::PrimaryAlready => "primary_already",
            Refusal::PromotedElsewhere => "promoted_elsewhere",
            Refusal::InSync(_) => "in_sync",
            Refusal::NotAttached(why) => match why {
                NotAttached::OfTheShard { .. } => "of_the_shard",
                NotAttached::NotThere { .. } => "not_there",
                NotAttached::NotWanted { .. } => "not_wanted",
                NotAttached::LostTail { .. } => "lost_tail",
                NotAttached::NoBase { .. } => "no_base",
                NotAttached::BasePassed { .. } => "base_passed",
                NotAttached::ShorterTail { .. } => "shorter_tail",
            },
        }
    }

    /// Is it worth a moment's wait? This node's view may lag behind its peer's.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Refusal::NotPrimary
                | Refusal::NotAttached(NotAttached::NotThere { .. } | NotAttached::NotWanted { .. })
        )
    }
}

/// The code for bytes that are no message, or none for this end.
pub(super) fn code_of(error: &FrameError) -> &'static str {
    match error {
        FrameError::UnknownPurpose { .. } => "unknown_purpose",
        FrameError::UnknownKind { .. } => "unknown_kind",
        FrameError::AboveVersion { .. } => "above_version",
        FrameError::Empty
        | FrameError::TooLong { .. }
        | FrameError::Checksum { .. }
        | FrameError::Malformed { .. }
        | FrameError::Lineage { .. } => "malformed",
    }
}
