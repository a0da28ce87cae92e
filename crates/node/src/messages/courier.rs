//! Carries what waits for one node to it.
//!
//! *Invariant:* a batch whose fate is unknown is not sent again: a message is heard at most once.
//! *Invariant:* for a node that is not reached nothing is kept: it does not hear later what was said while it was away.

use super::batch;
use super::hear::MESSAGES_PATH;
use super::{Line, takes};
use crate::app::App;
use ironcache_types::{NodeId, chain};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// A node that has not answered within this is not waited for, and what it was sent is lost or not. Longer, and more is
/// dropped behind it; shorter, and a busy node loses what it would have taken.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries to reach a node. Messages wait meanwhile, and no longer. Longer, and what is heard is older; shorter, and a
/// node that is away is dialled in vain more often.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// What is dropped is said this often at most: whoever publishes can have much dropped.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// The control plane's end: lines as they are opened.
pub(crate) struct Postman {
    lines: mpsc::UnboundedReceiver<(NodeId, Arc<Line>)>,
}

impl Postman {
    pub(super) fn new(lines: mpsc::UnboundedReceiver<(NodeId, Arc<Line>)>) -> Self {
        Postman { lines }
    }
}

/// Runs until the data thread ends.
pub(crate) async fn run(app: Arc<App>, mut postman: Postman) {
    let mut couriers = tokio::task::JoinSet::new();
    while let Some((node, line)) = postman.lines.recv().await {
        couriers.spawn(carry(Arc::clone(&app), node, line));
    }
    // With the process: the data thread drops its end when it stops.
    std::future::pending().await
}

#[derive(Debug, thiserror::Error)]
enum CarryError {
    #[error("it is no node of the cluster that takes messages")]
    NotANode,
    #[error("it is not reached")]
    Http(#[from] ironcache_host::http::Error),
    #[error("it takes no messages ({status})")]
    Refused { status: ironcache_host::http::StatusCode },
}

async fn carry(app: Arc<App>, node: NodeId, line: Arc<Line>) {
    let (mut number, mut said) = (0, Said::default());
    loop {
        line.more.notified().await;
        loop {
            let (messages, full) = {
                let mut queue = line.queue();
                (queue.take(), queue.take_dropped())
            };
            said.note(node, full, "more came than it takes");
            if messages.is_empty() {
                break;
            }
            number += 1;
            let body = batch::encode(app.me, number, &messages);
            if let Err(error) = deliver(&app, node, body).await {
                let lost = messages.len() as u64 + line.queue().clear();
                line.count_dropped(lost);
                said.note(node, lost, &chain(&error));
                // What comes meanwhile waits: the node may be back.
                sleep(TRY_AGAIN).await;
            }
        }
    }
}

async fn deliver(app: &App, node: NodeId, body: Vec<u8>) -> Result<(), CarryError> {
    let addr = {
        let view = app.raft.applied().borrow().clone();
        let node = view.state.nodes.get(&node).filter(|node| takes(node)).ok_or(CarryError::NotANode)?;
        node.peer_addr.clone()
    };
    let url = format!("http://{addr}{MESSAGES_PATH}");
    let answer = app.client.post(url).to(node).body(body).timeout(ANSWER_WITHIN).send().await?;
    let status = answer.status();
    // Read to its end: the connection is kept.
    answer.bytes().await?;
    if status.is_success() { Ok(()) } else { Err(CarryError::Refused { status }) }
}

/// What was dropped and not said yet.
#[derive(Default)]
struct Said {
    at: Option<Instant>,
    messages: u64,
}

impl Said {
    fn note(&mut self, node: NodeId, messages: u64, why: &str) {
        self.messages += messages;
        if self.messages > 0 && self.at.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
            self.at = Some(Instant::now());
            let messages = std::mem::take(&mut self.messages);
            tracing::warn!(%node, messages, why, "messages of channels did not reach another node");
        }
    }
}
