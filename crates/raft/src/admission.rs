//! A process of a member takes part in elections once the others have compared its log with what they know of it.
//!
//! ```text
//!  start ─► Comparing ── a majority of the voters, itself included, has compared ──► life is durable ─► Admitted
//!              └──────────────── one of them knows a later life ──► WentBack ◄──────────────────────────┘
//! ```
//! The only voter has nobody to ask. A node with an empty log votes, for a cluster is founded by such nodes; it says that
//! it remembers no life, and is admitted like any other once it has a membership to ask.
//!
//! *Invariant:* nobody votes, or asks for votes, before it is admitted, nor after it was told that its log went back.
//! *Invariant:* a life is in the log, durably, before it registers; so the next one is not taken for an older copy.
//! *Invariant:* a life is in the log only after the others have compared; so an older copy is found out by each process
//! that is started on it.

use crate::ask::{Answer, Ask};
use crate::bodies::v1;
use crate::lives::WentBack;
use crate::network::FORWARD;
use crate::node::Inner;
use crate::types::PeerAddr;
use ironcache_types::NodeId;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// The others have not compared yet, or not enough of them.
    #[default]
    Comparing,
    /// The log was empty when this process started.
    New,
    Admitted,
    /// For as long as this process lives, and every later one on this directory.
    WentBack(WentBack),
}

/// Between two rounds of questions. An election waits for a node that was just started: short against that, and long
/// against a round trip.
const AGAIN: Duration = Duration::from_millis(50);

/// May a node vote, when these have compared?
fn is_enough(voters: &BTreeSet<NodeId>, me: NodeId, compared: &BTreeSet<NodeId>) -> bool {
    let agreed = voters.iter().filter(|voter| **voter == me || compared.contains(voter)).count();
    agreed > voters.len() / 2
}

/// Runs until the node ends: has the others compare, and keeps the node out of elections before and if its log went back.
pub(crate) async fn run(node: Weak<Inner>) {
    let mut compared = BTreeSet::new();
    let mut asked = BTreeSet::new();
    let (answers, mut answered) = mpsc::unbounded_channel();
    loop {
        let Some(inner) = node.upgrade() else { return };
        if inner.identity.went_back().is_some() || inner.compare_myself().is_err() {
            break;
        }
        let me = inner.options.node;
        let voters: BTreeSet<NodeId> = inner.view().voters.into_iter().collect();
        if is_enough(&voters, me, &compared) {
            match inner.take_part().await {
                Ok(()) => break,
                // The log has failed, and tells so itself.
                Err(error) => {
                    tracing::warn!(%error, "this life of the node is not admitted: its log cannot record it");
                    return;
                }
            }
        }
        for (id, addr) in inner.members() {
            if id != me && voters.contains(&id) && !compared.contains(&id) && asked.insert(id) {
                let (inner, answers) = (Arc::clone(&inner), answers.clone());
                tokio::spawn(async move {
                    let compared = has_compared(&inner, id, &addr).await;
                    if !compared {
                        // Not at once: it may refuse the connection.
                        tokio::time::sleep(AGAIN).await;
                    }
                    // The node may have ended meanwhile.
                    let _ = answers.send((id, compared));
                });
            }
        }
        drop(inner);
        tokio::select! {
            Some((id, has)) = answered.recv() => {
                if has {
                    compared.insert(id);
                }
                asked.remove(&id);
            }
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
    let Some(mut admission) = node.upgrade().map(|inner| inner.identity.admission()) else { return };
    let told = admission.wait_for(|now| matches!(now, Admission::WentBack(_))).await.is_ok();
    if told && let Some(inner) = node.upgrade() {
        inner.raft.runtime_config().elect(false);
    }
}

/// Has `to` compared this node's lives, and found nothing? What it refused by is noted where the answer is read.
async fn has_compared(inner: &Inner, to: NodeId, addr: &PeerAddr) -> bool {
    let timeout = Duration::from_millis(inner.options.rpc_timeout_ms);
    let ask = v1::ForwardRequest { ask: (&Ask::Compare).into(), timeout_ms: inner.options.rpc_timeout_ms };
    let answer = inner.peers.call::<_, v1::Answer>(to, addr, FORWARD, &ask, timeout).await;
    matches!(answer.map(Answer::from), Ok(Answer::Done))
}

impl Inner {
    /// Does the log that this node itself has applied know of a later life?
    fn compare_myself(&self) -> Result<(), WentBack> {
        let identity = &self.identity;
        identity.compare(self.options.node, identity.lives()).inspect_err(|went_back| {
            identity.note_went_back(went_back.clone());
        })
    }

    /// From here on this node votes, and may be elected.
    pub(crate) async fn take_part(&self) -> std::io::Result<()> {
        self.identity.be_admitted().await?;
        self.raft.runtime_config().elect(true);
        self.elect_if_alone().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_majority_counts_the_node_itself_if_it_votes() {
        let cases: [(&[u64], u64, &[u64], bool); 9] = [
            (&[], 1, &[], false),
            (&[1], 1, &[], true),
            (&[1, 2], 1, &[], false),
            (&[1, 2], 1, &[2], true),
            (&[1, 2, 3], 1, &[], false),
            (&[1, 2, 3], 1, &[3], true),
            (&[1, 2, 3, 4, 5], 1, &[2], false),
            (&[1, 2, 3], 9, &[2], false),
            (&[1, 2, 3], 9, &[2, 3], true),
        ];
        for (voters, me, compared, enough) in cases {
            assert_eq!(
                is_enough(&set(voters), NodeId(me), &set(compared)),
                enough,
                "{voters:?} {me} {compared:?}"
            );
        }
    }
}
