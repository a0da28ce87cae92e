//! Keys that the log of this node does not name yet: of a node that joined while this one was away, and leads now.
//!
//! ```text
//!   an unknown key comes ─► ask a member that is known: GET /node/pins ─► its log is ahead? ─► its pins count, until this
//!                                                                        node has applied as much
//! ```
//! Without this, a node that was away could not be told of a new member by that member, and nobody else tells it.
//!
//! *Invariant:* only a member whose key is known is asked, and only what is newer than this node's own log counts.

use super::{Doors, Mode};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ironcache_types::{KeyHash, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// On the peer port.
pub(crate) const PINS_PATH: &str = "/node/pins";

/// After one round of questions: whoever comes with unknown keys has this node ask no oftener.
const APART: Duration = Duration::from_millis(500);
const ANSWER_MAX: Duration = Duration::from_millis(1_000);

/// `GET /node/pins`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pins {
    /// The log index up to which it is applied.
    pub index: u64,
    pub nodes: BTreeMap<NodeId, KeyHash>,
}

/// What this node's own log names.
pub(crate) async fn pins(State(app): State<Arc<App>>) -> Result<Json<Pins>, StatusCode> {
    match app.doors.mode() {
        Mode::Keys(view) => {
            let nodes = app.doors.pins().unwrap_or_default();
            Ok(Json(Pins { index: view.index, nodes }))
        }
        Mode::Open | Mode::Heard(..) | Mode::Bound(_) | Mode::Locked => Err(StatusCode::NOT_FOUND),
    }
}

/// Asks whenever somebody came with an unknown key. Runs until the process ends.
pub(crate) async fn follow(app: Arc<App>) {
    loop {
        app.doors.unknown.notified().await;
        let addresses = app.raft.addresses();
        for (node, addr) in addresses.iter().filter(|(node, _)| **node != app.me.node) {
            let url = format!("http://{addr}{PINS_PATH}");
            let asked = async {
                let answer = app.client.get(url).to(*node).timeout(ANSWER_MAX).send().await?;
                answer.error_for_status()?.json::<Pins>().await
            };
            match asked.await {
                Ok(pins) => app.doors.hear(pins),
                Err(error) => tracing::debug!(%node, %error, "a member does not tell whose keys it knows"),
            }
        }
        tokio::time::sleep(APART).await;
    }
}

impl Doors {
    pub(super) fn hear(&self, pins: Pins) {
        let applied = match self.mode() {
            Mode::Keys(view) | Mode::Heard(view, _) => view.index,
            // Not even the first entry has come: a member that is known has it.
            Mode::Bound(_) => 0,
            Mode::Open | Mode::Locked => return,
        };
        {
            let mut known = self.known();
            let newest = known.heard.as_ref().map_or(0, |heard| heard.index).max(applied);
            if pins.index <= newest {
                return;
            }
            known.heard = Some(Arc::new(pins));
        }
        self.look();
    }
}
