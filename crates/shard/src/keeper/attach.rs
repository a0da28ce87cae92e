//! The primary's side: where a keeper's tail begins.
//!
//! ```text
//!   nobody of the shard is out      from the end of the stream: recorded once every member holds what is before
//!   the same, one member is left    from where the recorded tail begins whose place it takes: what an absent node holds may
//!                                   end there
//!   a node is out                   from where the tail begins that it relies on, if the backlog reaches back to it
//!   it kept some of it before       on from where that ends; what was recorded, or proposed, stays as it is
//! ```
//!
//! *Invariant:* what the log is told of a tail, or may have been told, stays true of it: a keeper that lost its file is
//! not attached under the same name.

use ironcache_control::{ControlState, Keeper, Shard};
use ironcache_types::{Member, NodeId, Offset, ShardId};

/// What is to be sent, and where what is then kept begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attach {
    pub start: Offset,
    pub from: Offset,
}

/// What the log says of a keeper's tail, or may say soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub member: Member,
    pub from: Offset,
}

/// The part of the stream that the primary can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub start: Offset,
    pub end: Offset,
}

/// Why a node is not attached as keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAttached {
    #[error("node {node} holds shard {shard} itself, and cannot be its keeper")]
    OfTheShard { shard: ShardId, node: NodeId },
    #[error("{member} is not the registered life of its node, or is out for its upgrade")]
    NotThere { member: Member },
    #[error("nobody wishes node {node} to keep shard {shard}")]
    NotWanted { shard: ShardId, node: NodeId },
    #[error("{member} has lost what it kept of shard {shard}: it is to be dropped first")]
    LostTail { shard: ShardId, member: Member },
    #[error("node {out} is out and took no base along that a tail could continue")]
    NoBase { out: NodeId },
    #[error("node {out} is out and needs the stream from {base}, and the backlog begins at {start}")]
    BasePassed { out: NodeId, base: Offset, start: Offset },
    #[error(
        "node {keeper} keeps the tail of shard {shard} from {from}, which has one member left, and the backlog begins at {start}: node {node} would hold less of it"
    )]
    ShorterTail { shard: ShardId, node: NodeId, keeper: NodeId, from: Offset, start: Offset },
}

/// `recorded` is what the log records for this epoch, or may be about to; `resumes_at` is where the keeper's own tail ends,
/// if the stream can go on from there.
///
/// # Errors
/// Why not.
pub fn attach(
    state: &ControlState,
    shard: &Shard,
    member: Member,
    recorded: Option<Recorded>,
    resumes_at: Option<Offset>,
    stream: Stream,
) -> Result<Attach, NotAttached> {
    let (id, node) = (shard.id, member.node);
    if shard.nodes.contains(&node) {
        return Err(NotAttached::OfTheShard { shard: id, node });
    }
    if state.nodes.get(&node).is_none_or(|n| n.member() != member || n.out.is_some()) {
        return Err(NotAttached::NotThere { member });
    }
    let recorded = recorded.filter(|recorded| recorded.member.node == node);
    if shard.keeper_wanted != Some(node) && recorded.is_none() {
        return Err(NotAttached::NotWanted { shard: id, node });
    }
    match (recorded, resumes_at) {
        (Some(recorded), Some(start)) if start >= recorded.from => {
            return Ok(Attach { start, from: recorded.from });
        }
        (Some(recorded), _) if recorded.member == member => {
            return Err(NotAttached::LostTail { shard: id, member });
        }
        // An earlier life's: this one begins anew, under its own name.
        (Some(_) | None, _) => {}
    }
    let Some(out) = shard.nodes.iter().filter_map(|id| state.nodes.get(id)).find(|n| n.out.is_some()) else {
        let Some(keeper) = relied_on(shard, node) else {
            return Ok(Attach { start: stream.end, from: stream.end });
        };
        let (keeper, from) = (keeper.member.node, keeper.from);
        if from < stream.start || from > stream.end {
            return Err(NotAttached::ShorterTail { shard: id, node, keeper, from, start: stream.start });
        }
        return Ok(Attach { start: from, from });
    };
    let base = out.out.as_ref().and_then(|step| step.base_from);
    let base = base.ok_or(NotAttached::NoBase { out: out.id })?;
    if base < stream.start || base > stream.end {
        return Err(NotAttached::BasePassed { out: out.id, base, start: stream.start });
    }
    Ok(Attach { start: base, from: base })
}

/// The recorded tail of another node than this one, while the shard has fewer members than hold everything in two places:
/// whoever is absent may hold what comes before that tail, and nobody else but the primary.
pub(crate) fn relied_on(shard: &Shard, node: NodeId) -> Option<Keeper> {
    let keeper = shard.keeper_that_counts().filter(|keeper| keeper.member.node != node);
    keeper.filter(|_| shard.in_sync.len() < shard.members_min()).copied()
}
