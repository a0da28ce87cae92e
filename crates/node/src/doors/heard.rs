//! Keys that the log of this node does not name yet: of a node that joined while this one was away, and leads now.
//!
//! ```text
//!   an unknown key comes ─► ask the members that the own log names: GET /node/pins
//!     ─► of those who answer more than half name it, in a log that is ahead? ─► it counts
//!                                             ├─ until this node has applied as much
//!                                             ├─ until the own log changes its keys
//!                                             └─ until they are asked again, soon
//! ```
//! Without this, a node that was away could not be told of a new member by that member, and nobody else tells it.
//!
//! *Invariant:* only members that the own log names are asked: none that was heard of vouches for another.
//! *Invariant:* what is heard adds nodes, and changes nothing: a node that the own log names keeps its key, one that has
//! left for good stays away, and a key that has a holder has no other.
//! *Invariant:* what is heard is forgotten with every change of the own log's keys, and is asked for again while it counts:
//! whoever is removed takes along what it has said.

use super::{Doors, Mode};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::join_all;
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
/// What was heard is asked for again after this. Longer, and what a member said outlives it; shorter is only more questions.
const AGAIN: Duration = Duration::from_secs(5);

/// `GET /node/pins`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pins {
    /// The log index up to which it is applied.
    pub index: u64,
    pub nodes: BTreeMap<NodeId, KeyHash>,
}

/// Nodes that most of those who were asked know, and this node's log does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Once this node has applied as much, its own log says it, or says otherwise.
    pub until: u64,
    pub added: BTreeMap<NodeId, KeyHash>,
}

impl Heard {
    /// What one round of answers adds for a node that has applied up to `index`, and to whom `is_news` says who may be added.
    ///
    /// Whoever answers and is not ahead speaks against it: in a cluster that is at rest everybody who is honest has as much as
    /// this node. What a majority has committed, most of those know who answer.
    pub(super) fn of(
        index: u64,
        answers: &[Pins],
        is_news: impl Fn(NodeId, KeyHash) -> bool,
    ) -> Option<Heard> {
        let ahead: Vec<&Pins> = answers.iter().filter(|pins| pins.index > index).collect();
        let until = ahead.iter().map(|pins| pins.index).min()?;
        let mut said: BTreeMap<(NodeId, KeyHash), usize> = BTreeMap::new();
        for (node, key) in ahead.iter().flat_map(|pins| &pins.nodes) {
            *said.entry((*node, *key)).or_default() += 1;
        }
        let most = said.into_iter().filter(|(_, by)| 2 * by > answers.len()).map(|(pin, _)| pin);
        let added: BTreeMap<_, _> = most.filter(|(node, key)| is_news(*node, *key)).collect();
        (!added.is_empty()).then_some(Heard { until, added })
    }
}

/// What this node's own log names.
pub(crate) async fn pins(State(app): State<Arc<App>>) -> Result<Json<Pins>, StatusCode> {
    match app.doors.mode() {
        Mode::Keys(view) | Mode::Heard(view, _) => {
            let nodes = super::pins_of(&view).cloned().unwrap_or_default();
            Ok(Json(Pins { index: view.index, nodes }))
        }
        Mode::Open | Mode::Bound(_) | Mode::Locked => Err(StatusCode::NOT_FOUND),
    }
}

/// Asks whenever somebody came with an unknown key, and while what was heard counts. Runs until the process ends.
pub(crate) async fn follow(app: Arc<App>) {
    loop {
        tokio::select! {
            () = app.doors.unknown.notified() => {}
            () = tokio::time::sleep(AGAIN), if app.doors.has_heard() => {}
        }
        let known = app.doors.own_pins();
        let addresses = app.raft.addresses();
        let asked = addresses.iter().filter(|(node, _)| **node != app.me.node && known.contains_key(node));
        let answers = asked.map(async |(node, addr)| {
            let url = format!("http://{addr}{PINS_PATH}");
            let answer = async {
                let answer = app.client.get(url).to(*node).timeout(ANSWER_MAX).send().await?;
                answer.error_for_status()?.json::<Pins>().await
            };
            answer.await.inspect_err(
                |error| tracing::debug!(%node, %error, "a member does not tell whose keys it knows"),
            )
        });
        let answers: Vec<Pins> = join_all(answers).await.into_iter().flatten().collect();
        app.doors.hear(&answers);
        tokio::time::sleep(APART).await;
    }
}

impl Doors {
    /// The members that this node knows without having been told by another one since.
    fn own_pins(&self) -> BTreeMap<NodeId, KeyHash> {
        match self.mode() {
            Mode::Keys(view) | Mode::Heard(view, _) => super::pins_of(&view).cloned().unwrap_or_default(),
            Mode::Bound(_) => self.binding().map(|binding| binding.nodes.clone()).unwrap_or_default(),
            Mode::Open | Mode::Locked => BTreeMap::new(),
        }
    }

    fn has_heard(&self) -> bool {
        self.known().heard.is_some()
    }

    /// One round of answers takes the place of the one before.
    pub(super) fn hear(&self, answers: &[Pins]) {
        let mode = self.mode();
        let heard = match &mode {
            Mode::Keys(view) | Mode::Heard(view, _) => {
                Heard::of(view.index, answers, |node, key| super::is_news(view, node, key))
            }
            // Not even the first entry has come: a member that is known has it.
            Mode::Bound(_) => self.binding().and_then(|binding| {
                Heard::of(0, answers, |node, key| {
                    let own = &binding.nodes;
                    key != binding.admin
                        && !own.contains_key(&node)
                        && own.values().all(|known| *known != key)
                })
            }),
            Mode::Open | Mode::Locked => None,
        };
        let heard = heard.map(Arc::new);
        if std::mem::replace(&mut self.known().heard, heard.clone()) != heard {
            self.look();
        }
    }

    /// The own log's keys have changed: whoever said something may be known no longer. If it still counts, it is heard again.
    pub(super) fn unhear(&self) {
        if self.known().heard.take().is_some() {
            self.unknown.notify_one();
        }
    }
}
