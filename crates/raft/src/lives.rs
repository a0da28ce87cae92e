//! What a node says of its lives, and what the others know of them: how a log that went back is recognised.
//!
//! ```text
//!  its directory:   the newest life that was admitted      ─► `remembered`
//!  this process:    drawn at its start                     ─► `present`
//!  everybody else:  the newest life that the log has       ─► `registered`
//!
//!  registered > remembered, and not `present`:  the directory lacks what a later life of the node promised
//! ```
//! A life is admitted, and in its directory, before it registers. So whoever has applied a later life than the directory
//! remembers knows that this is an older copy of it, or that the end of its log is lost.
//!
//! *Invariant:* a function of what was said and of what was applied; nothing here keeps anything.

use crate::wal::REJOIN;
use ironcache_types::{Incarnation, NodeId};

/// In front of every request and of every answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lives {
    /// The newest admitted life that the directory knows of; 0 if it knows of none.
    pub remembered: Incarnation,
    /// The life that speaks.
    pub present: Incarnation,
}

/// A node whose directory is older than what the cluster has heard of it: neither its vote nor its acknowledgement counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "log went back: the cluster has heard of life {registered} of node {node}, and the directory that life {present} runs \
     on knows of none after {remembered}: an older copy of the directory was put back, or the end of its log is lost. The \
     node counts for no vote and no acknowledgement; {REJOIN}"
)]
pub struct WentBack {
    pub node: NodeId,
    pub remembered: Incarnation,
    pub present: Incarnation,
    pub registered: Incarnation,
}

/// May what `node` says be counted?
///
/// # Errors
/// Its log went back.
pub(crate) fn compare(node: NodeId, lives: Lives, registered: Option<Incarnation>) -> Result<(), WentBack> {
    let Lives { remembered, present } = lives;
    match registered {
        Some(registered) if registered > remembered && registered != present => {
            Err(WentBack { node, remembered, present, registered })
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_life_than_the_directory_remembers_is_a_log_that_went_back() {
        let cases = [
            (0, 1, None, true, "a node that the log does not know"),
            (0, 1, Some(1), true, "its first life, which the cluster was created with"),
            (1, 1, Some(1), true, "the same, once it is admitted"),
            (1, 2, Some(1), true, "a restart"),
            (2, 2, Some(1), true, "the same, before it has registered"),
            (1, 4, Some(1), true, "two lives died before they were admitted"),
            (3, 4, Some(1), true, "one was admitted and died before it registered"),
            (1, 4, Some(3), false, "a copy from the first life is put back after the third"),
            (0, 4, Some(3), false, "its log was erased"),
            (3, 3, Some(4), false, "a copy of the directory took over while this one ran"),
        ];
        for (remembered, present, registered, counts, why) in cases {
            let lives = Lives { remembered: Incarnation(remembered), present: Incarnation(present) };
            let compared = compare(NodeId(7), lives, registered.map(Incarnation));
            assert_eq!(compared.is_ok(), counts, "{why}");
        }
    }
}
