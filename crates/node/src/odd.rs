//! A node that most others contradict about the control state begins anew from what they made of the log.
//!
//! ```text
//!  leader: one node's hash differs from that of more than half of all, at one index ──► POST /node/odd
//!  the odd node: so it does ─► GET /node/snapshot of the leader ─► checked ─► roles given away, drained, raft ended
//!     ─► the file `reloaded` says by which release ─► the file `snapshot` replaced ─► the next process
//!  the same release is told again ─► it says so, and stays: it would make the same of the log again
//! ```
//! Changing the state under a running process is not tried: what it did by the odd one is undone by its end, since a new life
//! has no roles.
//!
//! *Invariant:* nobody is believed: this node's own hash has to differ from the one that it is told, at that index.
//! *Invariant:* once a release; a node on trial goes back to its release instead.

use crate::app::App;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Json, http};
use ironcache_agent::LauncherPhase;
use ironcache_coordinator::Outvoted;
use ironcache_raft::{AppliedView, ReloadError, TakenOver};
use ironcache_store::{DiskError, read_durably, replace_durably};
use ironcache_types::chain;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) const ODD_PATH: &str = "/node/odd";
pub(crate) const SNAPSHOT_PATH: &str = "/node/snapshot";
/// The leader says it again after this, until the node's newest hashes agree. Sooner would not make the node faster.
const TOLD_AGAIN: Duration = Duration::from_millis(2_000);
/// The others have such a snapshot, or take it within milliseconds; it is some MB at most.
const FETCH_MAX: Duration = Duration::from_millis(10_000);

/// What the leader says to the odd one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SaidOdd {
    pub log_index: u64,
    /// What more than half of all nodes have there.
    pub hash: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Covers {
    covers: u64,
}

/// What this node does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// It is not odd, or not any more.
    Agrees,
    TakesOver,
    /// For a reason that a person has to know.
    Stays {
        why: String,
    },
}

/// Whom this leader has told, and when.
#[derive(Debug, Default)]
pub(crate) struct Told(Option<Instant>);

impl Told {
    /// Tells the odd node so, now and then. Its answer is seen in its next hashes.
    pub(crate) fn tell(&mut self, app: &Arc<App>, odd: Outvoted, addr: &str) {
        if self.0.is_some_and(|at| at.elapsed() < TOLD_AGAIN) {
            return;
        }
        self.0 = Some(Instant::now());
        let Outvoted { node, log_index, hash } = odd;
        tracing::error!(%node, log_index, "the node holds another control state than most others: it is told so");
        let request = app.client.post(format!("http://{addr}{ODD_PATH}")).json(&SaidOdd { log_index, hash });
        tokio::spawn(async move {
            if let Err(error) = request.timeout(FETCH_MAX).send().await {
                tracing::warn!(%node, error = chain(&error), "the odd node was not told");
            }
        });
    }
}

/// On the odd node.
pub(crate) async fn said(State(app): State<Arc<App>>, Json(said): Json<SaidOdd>) -> StatusCode {
    app.say_odd(said);
    StatusCode::ACCEPTED
}

/// On the leader.
pub(crate) async fn snapshot(
    State(app): State<Arc<App>>,
    Query(Covers { covers }): Query<Covers>,
) -> Result<Vec<u8>, (StatusCode, String)> {
    let taken = app.raft.snapshot_file(covers).await;
    taken.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", chain(&error))))
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no leader is known")]
    NoLeader,
    #[error("the leader does not give its snapshot")]
    Http(#[from] ironcache_host::http::Error),
    #[error("the leader gives no snapshot ({status}): {text}")]
    Refused { status: http::StatusCode, text: String },
    #[error(transparent)]
    Reload(#[from] ReloadError),
}

/// Returns once this node is odd, may begin anew, and has what it begins from.
pub(crate) async fn taken_over(app: &App) -> TakenOver {
    let mut said = app.said_odd();
    loop {
        // It lives in the app.
        let _ = said.changed().await;
        let Some(now) = *said.borrow_and_update() else { continue };
        let reloaded = read_durably(&marker(app)).ok().flatten();
        let on_trial = matches!(app.launcher.borrow().facts.phase, LauncherPhase::Trial { .. });
        let view = Arc::clone(&app.raft.applied().borrow());
        match answer(now, &view, on_trial, reloaded.as_deref() == Some(own_mark(app).as_bytes())) {
            Answer::Agrees => {}
            Answer::Stays { why } => app.is_odd(why),
            Answer::TakesOver => match fetch(app).await {
                Ok(taken) => return taken,
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "this node holds another control state than most others, and cannot take theirs over yet"
                    );
                }
            },
        }
    }
}

/// What is to be done, by what this node itself has at that index.
fn answer(said: SaidOdd, view: &AppliedView, on_trial: bool, reloaded: bool) -> Answer {
    let SaidOdd { log_index, hash } = said;
    let differs = view.hashes.iter().any(|own| own.index == log_index && own.hash != hash);
    let what = format!("this node holds another control state than most others at log index {log_index}");
    match (differs, on_trial, reloaded) {
        (false, _, _) => Answer::Agrees,
        (true, true, _) => Answer::Stays { why: format!("{what}: its release is on trial, and goes back") },
        (true, false, true) => Answer::Stays {
            why: format!(
                "{what}, though it began anew from theirs: its release makes something else of the log. Take it to the \
                 release of the others (`ironcache cluster upgrade rollback`), or replace the node (`ironcache cluster \
                 replace-node`); and report it"
            ),
        },
        (true, false, false) => Answer::TakesOver,
    }
}

async fn fetch(app: &App) -> Result<TakenOver, FetchError> {
    let leader =
        app.raft.view().leader.filter(|leader| *leader != app.me.node).ok_or(FetchError::NoLeader)?;
    let addr = app.raft.addresses().get(&leader).map(|addr| addr.0.clone()).ok_or(FetchError::NoLeader)?;
    let url = format!("http://{addr}{SNAPSHOT_PATH}?covers={}", app.raft.has_to_cover());
    let answer = app.client.get(url).timeout(FETCH_MAX).send().await?;
    if !answer.status().is_success() {
        let status = answer.status();
        return Err(FetchError::Refused { status, text: answer.text().await?.trim().to_owned() });
    }
    Ok(app.raft.taken_over(&answer.bytes().await?)?)
}

#[derive(Debug, thiserror::Error)]
pub enum BeginAnewError {
    #[error("it cannot be noted that this release began anew")]
    Mark(#[from] DiskError),
    #[error("the others' snapshot does not take the place of this node's")]
    Reload(#[from] ReloadError),
}

/// Has the next process begin from `taken`. After raft has ended here.
pub(crate) async fn begin_anew(app: &App, taken: TakenOver) -> Result<(), BeginAnewError> {
    // First: told again without the mark, the node would begin anew again and again.
    replace_durably(&marker(app), own_mark(app).as_bytes())?;
    Ok(app.raft.begin_anew(taken).await?)
}

fn marker(app: &App) -> PathBuf {
    app.config.data_dir.join("reloaded")
}

/// One line: the release that began anew. Anything else than the own one is as if there were none.
fn own_mark(app: &App) -> String {
    format!("{}\n", app.release.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_raft::StateHash;

    #[test]
    fn a_node_begins_anew_once_a_release_and_only_if_its_own_hash_differs() {
        let hashes = vec![StateHash { index: 64, hash: 7 }, StateHash { index: 128, hash: 9 }];
        let view = AppliedView { hashes, ..AppliedView::default() };
        let said = |log_index, hash| SaidOdd { log_index, hash };
        assert_eq!(answer(said(64, 8), &view, false, false), Answer::TakesOver);
        for agrees in [said(64, 7), said(128, 9), said(192, 8)] {
            assert_eq!(answer(agrees, &view, false, true), Answer::Agrees, "{agrees:?}");
        }
        let stays = |on_trial, reloaded| match answer(said(128, 8), &view, on_trial, reloaded) {
            Answer::Stays { why } => why,
            other @ (Answer::Agrees | Answer::TakesOver) => panic!("{other:?}"),
        };
        assert!(stays(true, false).contains("on trial"));
        assert!(stays(false, true).contains("replace-node"));
    }
}
