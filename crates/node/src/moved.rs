//! A node that starts at another address than last time: it moved, or its data directory was copied.
//!
//! ```text
//!  recorded address ≠ configured? ─► does this node answer there? ─ yes ─► refuse: a copy
//!                                              └── no ──► start ─► tell the leader ─► raft finds it ─► register
//! ```
//! The log cannot tell the others where this node is now: it would have to reach this node first. So this node
//! asks whichever member it reaches, and the leader writes the address into raft's membership.
//!
//! The leader asks once more, at the address that the log has: this directory may be an old copy that does not know of
//! a later move.
//!
//! *Invariant:* nothing of raft runs before it is known that no other process of this identity answers where the
//! node was.

use crate::config::Config;
use crate::identity::{self, IdentityError};
use ironcache_raft::{PeerAddr, RaftNode};
use ironcache_types::{Member, NodeId};
use std::path::PathBuf;
use std::time::Duration;

/// A node that lives answers within milliseconds. Longer would delay each start after a real move, when nobody is
/// there to refuse the connection either; shorter takes a loaded node for a dead one.
const ANSWER_MAX: Duration = Duration::from_millis(2_000);
/// Between two attempts to tell the cluster.
const AGAIN: Duration = Duration::from_millis(500);

/// The data directory belongs to a process that runs somewhere else.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("no HTTP client can be made")]
    Client(#[from] ironcache_host::http::Error),
    #[error(
        "the data directory {} is that of node {node}, which runs at {elsewhere} now, and this one would be at {here}: \
         was the directory copied? Start a new node with an empty --data-dir. To move node {node} here, stop it there first",
        dir.display()
    )]
    RunsElsewhere { dir: PathBuf, node: NodeId, elsewhere: String, here: String },
}

/// Asks at the address that the directory's node had last, unless it is the configured one, whether it is there.
///
/// # Errors
/// It is. Silence there is no proof, and cannot be: a node that moved for good does not answer either.
pub(crate) async fn refuse_a_copy(config: &Config) -> Result<(), CopyError> {
    let here = config.peer_addr();
    let Some((node, elsewhere)) = identity::last_seen_at(&config.data_dir)?.filter(|(_, last)| *last != here)
    else {
        return Ok(());
    };
    tracing::info!(%node, from = elsewhere, to = here, "this node has another address than last time");
    match who_is_at(&elsewhere).await? {
        Some(there) if there.node == node => {
            Err(CopyError::RunsElsewhere { dir: config.data_dir.clone(), node, elsewhere, here })
        }
        // Another node has taken the address over meanwhile.
        Some(_) | None => Ok(()),
    }
}

/// The node that answers at a peer address, if one does.
pub(crate) async fn who_is_at(addr: &str) -> Result<Option<Member>, ironcache_host::http::Error> {
    let client = ironcache_host::http::Client::builder().no_proxy().timeout(ANSWER_MAX).build()?;
    let report = async {
        let answer = client.get(format!("http://{addr}/node/report")).send().await?;
        answer.error_for_status()?.json::<Who>().await
    };
    Ok(report.await.ok().map(|who| who.member))
}

/// Of a node's report only this: another release may say more, or less.
#[derive(serde::Deserialize)]
struct Who {
    member: Member,
}

/// Returns once raft's membership has this node where it listens. The registration follows through the log.
pub(crate) async fn tell(raft: &RaftNode, me: Member, here: String) {
    let here = PeerAddr(here);
    loop {
        match raft.addresses().get(&me.node) {
            // Not a member yet: whoever makes it one says where it is.
            None => return,
            Some(known) if *known == here => return,
            Some(known) => {
                tracing::info!(from = %known, to = %here, "telling the cluster that this node moved");
            }
        }
        match raft.move_to(me.incarnation, here.clone()).await {
            Ok(()) => {
                tracing::info!(to = %here, "the cluster knows where this node is");
                return;
            }
            Err(error) => tracing::warn!(
                %error,
                "the cluster does not accept yet that this node moved to {here}; a majority of the other voters has \
                 to run at the addresses that this node knows. Trying again"
            ),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
