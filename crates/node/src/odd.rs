//! A node that most others contradict about the control state begins anew from what they made of the log.
//!
//! ```text
//!  leader: one node's hash differs from that of more than half of all, at one index ──► POST /node/odd: "look"
//!  the odd node: asks all members of raft's group ─► more than half of them contradict it ─► GET /node/snapshot of one of
//!     those ─► checked ─► roles given away, drained, raft ended
//!     ─► the file `reloaded` says by which release ─► the file `snapshot` replaced ─► the next process
//!  the same release is contradicted again ─► it says so, and stays: it would make the same of the log again
//! ```
//! Changing the state under a running process is not tried: what it did by the odd one is undone by its end, since a new life
//! has no roles.
//!
//! *Invariant:* nobody is believed: whoever says that this node is odd only has it look, one look at a time. It acts by what
//! the members of raft's group tell it themselves, and takes over only what one of the majority gives.
//! *Invariant:* once a release; a node on trial goes back to its release instead.
//! *Invariant (I23):* a node that holds the only copy of a dataset, by its own state, does not end for this.
//! *Invariant:* a reload that was refused or failed leaves no mark. One that a crash broke off between the mark and the
//! snapshot does: that node stays, and says what to do.

use crate::app::App;
use axum::extract::{Query, State};
use axum::http;
use axum::http::StatusCode;
use ironcache_agent::LauncherPhase;
use ironcache_coordinator::{Outvoted, Standing, StateHash, standing};
use ironcache_raft::{ReloadError, TakenOver};
use ironcache_shard::is_only_copy;
use ironcache_store::{DiskError, read_durably, remove_durably, replace_durably};
use ironcache_types::{Member, NodeId, chain};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) const ODD_PATH: &str = "/node/odd";
pub(crate) const SNAPSHOT_PATH: &str = "/node/snapshot";
/// The leader says it again after this, until the node's newest hashes agree. Sooner would not make the node faster.
const TOLD_AGAIN: Duration = Duration::from_millis(2_000);
/// Between two looks at least: whoever asks for more of them, a look asks every member. Longer would only delay the mending.
const LOOKS_APART: Duration = Duration::from_millis(500);
/// A node that knows that it is odd looks by itself after this: the leader says nothing when it agrees again.
const LOOK_AGAIN: Duration = Duration::from_millis(2_000);
/// A node that takes longer has not answered, and is asked at the next look.
const REPORT_MAX: Duration = Duration::from_millis(1_000);
/// The others have such a snapshot, or take it within milliseconds; it is some MB at most.
const FETCH_MAX: Duration = Duration::from_millis(10_000);

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Covers {
    covers: u64,
}

/// Of a node's report only this: another release may say more, or less.
#[derive(Debug, Deserialize)]
struct Holds {
    member: Member,
    #[serde(default)]
    state_hashes: Vec<(u64, u64)>,
}

type Held = BTreeMap<NodeId, Vec<StateHash>>;

/// What keeps a node as it is, though it is odd.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    on_trial: bool,
    /// Its release began anew before.
    reloaded: bool,
    holds_only_copy: bool,
}

/// What this node does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// It is not odd, or not any more.
    Agrees,
    /// Nothing changes.
    Unknown,
    TakesOver(Outvoted),
    /// For a reason that a person has to know.
    Stays {
        why: String,
    },
}

/// Whom this leader has told, and when.
#[derive(Debug, Default)]
pub(crate) struct Told(Option<Instant>);

impl Told {
    /// Has the odd node look, now and then. What comes of it is seen in its next hashes.
    pub(crate) fn tell(&mut self, app: &Arc<App>, odd: Outvoted, addr: &str) {
        if self.0.is_some_and(|at| at.elapsed() < TOLD_AGAIN) {
            return;
        }
        self.0 = Some(Instant::now());
        let Outvoted { node, log_index, hash: _ } = odd;
        tracing::error!(%node, log_index, "the node holds another control state than most others: it is told so");
        let request = app.client.post(format!("http://{addr}{ODD_PATH}")).to(node);
        tokio::spawn(async move {
            if let Err(error) = request.timeout(REPORT_MAX).send().await {
                tracing::warn!(%node, error = chain(&error), "the odd node was not told");
            }
        });
    }
}

/// On the odd node.
pub(crate) async fn said(State(app): State<Arc<App>>) -> StatusCode {
    app.look_at_hashes.notify_one();
    StatusCode::ACCEPTED
}

/// On a node that the odd one asks.
pub(crate) async fn snapshot(
    State(app): State<Arc<App>>,
    Query(Covers { covers }): Query<Covers>,
) -> Result<Vec<u8>, (StatusCode, String)> {
    let unavailable = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    let Ok(_one) = app.snapshots.try_acquire() else {
        return Err(unavailable("a snapshot is being given to somebody else"));
    };
    app.raft.snapshot_file(covers).await.map_err(|error| unavailable(&chain(&error)))
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("nobody who holds what most hold can be asked")]
    Nobody,
    #[error("node {from} does not give its snapshot")]
    Http { from: NodeId, source: ironcache_host::http::Error },
    #[error("node {from} gives no snapshot ({status}): {text}")]
    Refused { from: NodeId, status: http::StatusCode, text: String },
    #[error("node {asked} was asked, and the snapshot is of node {from}")]
    OtherNode { asked: NodeId, from: NodeId },
    #[error(transparent)]
    Reload(#[from] ReloadError),
}

/// Returns once this node is odd, may begin anew, and has what it begins from.
pub(crate) async fn taken_over(app: &App) -> TakenOver {
    let mut again = false;
    loop {
        tokio::select! {
            () = app.look_at_hashes.notified() => {}
            () = tokio::time::sleep(LOOK_AGAIN), if again => {}
        }
        let held = ask_all(app).await;
        let members = app.raft.addresses();
        // Who is no member of the group has nobody to agree with.
        let standing = match members.contains_key(&app.me.node) {
            true => standing(app.me.node, members.len(), &held),
            false => Standing::Unknown,
        };
        let mut failed = false;
        match answer(standing, facts(app)) {
            Answer::Unknown => {}
            Answer::Agrees => app.agrees(),
            Answer::Stays { why } => app.is_odd(why),
            Answer::TakesOver(odd) => {
                match fetch(app, odd, &held).await {
                    // It took a while, in which the others may have gone.
                    Ok(taken) => match answer(standing, facts(app)) {
                        Answer::TakesOver(_) => return taken,
                        Answer::Stays { why } => app.is_odd(why),
                        Answer::Agrees | Answer::Unknown => {}
                    },
                    Err(error) => {
                        tracing::error!(
                            error = chain(&error),
                            "this node holds another control state than most others, and cannot take theirs over yet"
                        );
                        failed = true;
                    }
                }
            }
        }
        again = failed || app.odd().is_some();
        tokio::time::sleep(LOOKS_APART).await;
    }
}

/// What each member of raft's group holds by its own word, this node's own hashes among them.
async fn ask_all(app: &App) -> Held {
    let others = app.raft.addresses().into_iter().filter(|(node, _)| *node != app.me.node);
    let asked = others.map(async |(node, addr)| {
        let holds: Holds = app
            .client
            .get(format!("http://{}/node/report", addr.0))
            .to(node)
            .timeout(REPORT_MAX)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        Ok::<_, ironcache_host::http::Error>((node, holds))
    });
    let mut held = Held::new();
    for answered in futures_util::future::join_all(asked).await {
        match answered {
            Ok((node, Holds { member, state_hashes })) if member.node == node => {
                let hashes = state_hashes.into_iter();
                held.insert(node, hashes.map(|(log_index, hash)| StateHash { log_index, hash }).collect());
            }
            Ok((node, Holds { member, .. })) => {
                tracing::debug!(%node, found = %member.node, "another node is there");
            }
            Err(error) => tracing::debug!(error = chain(&error), "a member does not tell what it holds"),
        }
    }
    let view = Arc::clone(&app.raft.applied().borrow());
    let own = view.hashes.iter().map(|at| StateHash { log_index: at.index, hash: at.hash });
    held.insert(app.me.node, own.collect());
    held
}

fn facts(app: &App) -> Facts {
    let reloaded = read_durably(&marker(app)).ok().flatten();
    Facts {
        on_trial: matches!(app.launcher.borrow().facts.phase, LauncherPhase::Trial { .. }),
        reloaded: reloaded.as_deref() == Some(own_mark(app).as_bytes()),
        holds_only_copy: is_only_copy(&app.raft.applied().borrow().state, app.me),
    }
}

/// What is to be done, by how this node stands to the others.
fn answer(standing: Standing, facts: Facts) -> Answer {
    let odd = match standing {
        Standing::Agrees => return Answer::Agrees,
        Standing::Unknown => return Answer::Unknown,
        Standing::Contradicted(odd) => odd,
    };
    let Facts { on_trial, reloaded, holds_only_copy } = facts;
    let what =
        format!("this node holds another control state than most others at log index {}", odd.log_index);
    let why = match (on_trial, reloaded, holds_only_copy) {
        (true, _, _) => "its release is on trial, and goes back",
        (false, true, _) => {
            "its release began anew from theirs before, and makes something else of the log. Take it to the release of the \
             others (`ironcache cluster upgrade rollback`), or replace the node (`ironcache cluster replace-node`); and \
             report it"
        }
        (false, false, true) => {
            "it holds the only copy of its shard's dataset, and stays until a replica is in sync"
        }
        (false, false, false) => return Answer::TakesOver(odd),
    };
    Answer::Stays { why: format!("{what}: {why}") }
}

/// From the first who gives it, of those that hold there what most hold.
async fn fetch(app: &App, odd: Outvoted, held: &Held) -> Result<TakenOver, FetchError> {
    let common = StateHash { log_index: odd.log_index, hash: odd.hash };
    let addresses = app.raft.addresses();
    let mut why = FetchError::Nobody;
    for (node, _) in held.iter().filter(|(_, hashes)| hashes.contains(&common)) {
        let Some(addr) = addresses.get(node).filter(|_| *node != app.me.node) else { continue };
        match fetch_from(app, *node, &addr.0).await {
            Ok(taken) => return Ok(taken),
            Err(error) => why = error,
        }
    }
    Err(why)
}

async fn fetch_from(app: &App, node: NodeId, addr: &str) -> Result<TakenOver, FetchError> {
    let http = |source| FetchError::Http { from: node, source };
    let url = format!("http://{addr}{SNAPSHOT_PATH}?covers={}", app.raft.has_to_cover());
    let answer = app.client.get(url).to(node).timeout(FETCH_MAX).send().await.map_err(http)?;
    if !answer.status().is_success() {
        let status = answer.status();
        let text = answer.text().await.map_err(http)?.trim().to_owned();
        return Err(FetchError::Refused { from: node, status, text });
    }
    let taken = app.raft.taken_over(&answer.bytes().await.map_err(http)?)?;
    match taken.from() {
        from if from == node => Ok(taken),
        from => Err(FetchError::OtherNode { asked: node, from }),
    }
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
    // First: without the mark, the node could begin anew again and again.
    replace_durably(&marker(app), own_mark(app).as_bytes())?;
    if let Err(error) = app.raft.begin_anew(taken).await {
        // Nothing was taken over, so that this was not the one time.
        if let Err(stays) = remove_durably(&marker(app)) {
            tracing::error!(error = chain(&stays), "the mark of a reload that failed stays");
        }
        return Err(error.into());
    }
    Ok(())
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

    #[test]
    fn an_odd_node_begins_anew_once_a_release_never_on_trial_and_never_with_the_only_copy() {
        let odd = Outvoted { node: NodeId(3), log_index: 64, hash: 8 };
        let contradicted = Standing::Contradicted(odd);
        assert_eq!(answer(contradicted, Facts::default()), Answer::TakesOver(odd));
        let stays = |facts| match answer(contradicted, facts) {
            Answer::Stays { why } => why,
            other @ (Answer::Agrees | Answer::Unknown | Answer::TakesOver(_)) => panic!("{other:?}"),
        };
        let with = |set: fn(&mut Facts)| {
            let mut facts = Facts::default();
            set(&mut facts);
            facts
        };
        assert!(stays(with(|facts| facts.on_trial = true)).contains("on trial"));
        assert!(stays(with(|facts| facts.reloaded = true)).contains("replace-node"));
        assert!(stays(with(|facts| facts.holds_only_copy = true)).contains("the only copy"));
    }

    #[test]
    fn a_node_that_nobody_contradicts_does_nothing_whatever_it_is_told_on_trial_and_marked_included() {
        let all = Facts { on_trial: true, reloaded: true, holds_only_copy: true };
        for facts in [Facts::default(), all] {
            assert_eq!(answer(Standing::Agrees, facts), Answer::Agrees);
            assert_eq!(answer(Standing::Unknown, facts), Answer::Unknown);
        }
    }
}
