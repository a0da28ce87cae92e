//! A node that starts at another address than last time: it moved, or its data directory was copied.
//!
//! ```text
//!  recorded address ≠ configured? ─► does this node answer there? ─ yes ─► refuse: a copy
//!                                              ├── somebody does not say who ──► refuse
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
use ironcache_host::http::{Client, Dial, Waits};
use ironcache_raft::{PeerAddr, RaftNode};
use ironcache_types::{Member, NodeId};
use std::path::PathBuf;
use std::sync::Arc;
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
    #[error(
        "the data directory {} is that of node {node}, which was at {elsewhere}; what answers there now does not say who it \
         is ({answer}), and two processes of one node must not run. Stop node {node} there, or whatever else has that \
         address now, and start again",
        dir.display()
    )]
    Unnamed { dir: PathBuf, node: NodeId, elsewhere: String, answer: String },
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
pub(crate) async fn refuse_a_copy(config: &Config, dial: Arc<dyn Dial>) -> Result<(), CopyError> {
    let here = config.peer_addr();
    let Some((node, elsewhere)) = identity::last_seen_at(&config.data_dir)?.filter(|(_, last)| *last != here)
    else {
        return Ok(());
    };
    tracing::info!(%node, from = elsewhere, to = here, "this node has another address than last time");
    match who_is_at(&dial, &elsewhere, node).await {
        There::Node(there) if there.node == node => {
            Err(CopyError::RunsElsewhere { dir: config.data_dir.clone(), node, elsewhere, here })
        }
        There::Unnamed { answer } => {
            Err(CopyError::Unnamed { dir: config.data_dir.clone(), node, elsewhere, answer })
        }
        // Another node has taken the address over meanwhile.
        There::Node(_) | There::Nobody => Ok(()),
    }
}

/// Who answers at a peer address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum There {
    /// Nobody, or nobody who speaks HTTP.
    Nobody,
    Node(Member),
    /// Somebody whose answer is no node's report.
    Unnamed {
        answer: String,
    },
}

/// Each node answers to this name, whatever it announces itself as (`strangers`): one that runs there with other settings
/// by now is no stranger for it.
const ANY_NODE: &str = "localhost";

/// The node that answers at a peer address, if one does. Where there are keys, another node than `meant` is nobody.
pub(crate) async fn who_is_at(dial: &Arc<dyn Dial>, addr: &str, meant: NodeId) -> There {
    let client = Client::new(Arc::clone(dial), Waits { connect: ANSWER_MAX, ..Waits::default() });
    let asked = client.get(format!("http://{addr}/node/report")).header("host", ANY_NODE);
    let Ok(answer) = asked.to(meant).timeout(ANSWER_MAX).send().await else { return There::Nobody };
    let status = answer.status();
    if !status.is_success() {
        return There::Unnamed { answer: status.to_string() };
    }
    match answer.json::<Who>().await {
        Ok(who) => There::Node(who.member),
        Err(_) => There::Unnamed { answer: format!("{status}, and no node's report") },
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::response::{IntoResponse, Response};

    /// Somebody at an address of its own who answers everything so.
    async fn somebody(answer: fn(Request) -> Response) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(async move |request: Request| answer(request));
        tokio::spawn(async move { axum::serve(listener, router).await });
        addr
    }

    async fn at(addr: &str) -> There {
        let dial: Arc<dyn Dial> = Arc::new(ironcache_host::http::Plain);
        who_is_at(&dial, addr, NodeId(3)).await
    }

    #[tokio::test]
    async fn a_node_is_asked_by_the_name_that_each_answers_to() {
        let node = somebody(|request| match request.headers()["host"].as_bytes() {
            b"localhost" => {
                let member = Member { node: NodeId(3), ..Member::default() };
                axum::Json(serde_json::json!({ "member": member })).into_response()
            }
            _ => StatusCode::MISDIRECTED_REQUEST.into_response(),
        });
        let there = at(&node.await).await;
        assert!(matches!(there, There::Node(Member { node: NodeId(3), .. })), "{there:?}");
    }

    #[tokio::test]
    async fn who_answers_and_does_not_say_who_is_not_taken_for_nobody() {
        let answers: [fn(Request) -> Response; 3] = [
            |_| StatusCode::MISDIRECTED_REQUEST.into_response(),
            |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            |_| "welcome".into_response(),
        ];
        for answer in answers {
            let there = at(&somebody(answer).await).await;
            assert!(matches!(there, There::Unnamed { .. }), "{there:?}");
        }
        let free = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().to_string()
        };
        assert_eq!(at(&free).await, There::Nobody);
    }
}
