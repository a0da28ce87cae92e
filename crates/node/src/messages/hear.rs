//! Takes messages of other nodes.
//!
//! *Invariant:* where there are keys, a node speaks for itself alone.

use super::batch::Batch;
use crate::app::App;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use ironcache_raft::Proved;
use ironcache_types::{Incarnation, Member, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// On the peer port.
pub(crate) const MESSAGES_PATH: &str = "/node/messages";

/// `POST /node/messages`: answered once the data thread has heard them, so that whoever sends waits with the next ones.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    by: Option<Extension<Proved>>,
    body: Bytes,
) -> Result<StatusCode, (StatusCode, String)> {
    let sender =
        Batch::decode(&body).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?.sender;
    if let Some(Extension(Proved(node))) = by.filter(|Extension(Proved(node))| *node != sender.node) {
        let why = format!("the key of node {node} brings messages of node {}\n", sender.node);
        return Err((StatusCode::UNAUTHORIZED, why));
    }
    let heard = app.data.hear(body).await;
    heard.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")))?;
    Ok(StatusCode::NO_CONTENT)
}

/// What was heard last of each node.
#[derive(Debug, Default)]
pub(crate) struct Heard(BTreeMap<NodeId, (Incarnation, u64)>);

/// Is a batch to be heard?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Next,
    /// A later one was heard already, or this one.
    Late,
}

impl Heard {
    pub(crate) fn turn(&mut self, sender: Member, number: u64) -> Turn {
        let Member { node, incarnation } = sender;
        match self.0.insert(node, (incarnation, number)) {
            Some((of, last)) if of == incarnation && number <= last => {
                self.0.insert(node, (of, last));
                Turn::Late
            }
            Some(_) | None => Turn::Next,
        }
    }
}
