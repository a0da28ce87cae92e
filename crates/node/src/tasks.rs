//! The daemon's tasks, each with a name.
//!
//! *Invariant:* a task that ends while the daemon runs ends the daemon, by name: half a node is none, and its launcher
//! starts a whole one. Nothing of the daemon is spawned past this.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use tokio::task::{Id, JoinError, JoinSet};

/// All of them. Dropped, it ends them.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: JoinSet<()>,
    known: BTreeMap<Id, (&'static str, Ends)>,
}

/// When a task may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// With the process.
    Never,
    /// When its work is done.
    Done,
}

/// A task is gone, and the daemon with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task `{task}` {how}, and without it this process is of no use: a new one takes over")]
pub struct TaskEnded {
    pub task: &'static str,
    pub how: How,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    Returned,
    Panicked { why: String },
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Returned => f.write_str("has ended"),
            How::Panicked { why } => write!(f, "has panicked: {why}"),
        }
    }
}

impl Tasks {
    pub(crate) fn spawn(
        &mut self,
        task: &'static str,
        ends: Ends,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = self.running.spawn(work).id();
        self.known.insert(id, (task, ends));
    }

    /// Returns when a task has ended that should not have; never, if all goes well.
    pub(crate) async fn ended(&mut self) -> TaskEnded {
        loop {
            let (id, how) = match self.running.join_next_with_id().await {
                None => return std::future::pending().await,
                Some(Ok((id, ()))) => (id, How::Returned),
                Some(Err(error)) => (error.id(), How::Panicked { why: text_of(error) }),
            };
            let (task, ends) = self.known.remove(&id).unwrap_or(("unknown", Ends::Never));
            match (ends, &how) {
                (Ends::Done, How::Returned) => {}
                (Ends::Never, _) | (Ends::Done, How::Panicked { .. }) => return TaskEnded { task, how },
            }
        }
    }
}

fn text_of(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was cancelled".to_owned() };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "of an unknown kind".to_owned())
}

/// A task's own helper has ended: its panic is the task's.
///
/// # Panics
/// If the helper has.
pub(crate) fn share_panic<T>(ended: Result<T, JoinError>) -> Option<T> {
    match ended {
        Ok(value) => Some(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // It was cancelled, so somebody meant it to end.
            Err(_) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Far more than it takes.
    async fn soon(tasks: &mut Tasks) -> TaskEnded {
        tokio::time::timeout(Duration::from_secs(20), tasks.ended()).await.expect("it is told")
    }

    #[tokio::test]
    async fn a_task_that_returns_or_panics_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("idle", Ends::Never, std::future::pending());
        tasks.spawn("done", Ends::Done, async {});
        tasks.spawn("gone", Ends::Never, async {});
        let ended = soon(&mut tasks).await;
        assert_eq!(ended, TaskEnded { task: "gone", how: How::Returned }, "and the one that is done is not");
        tasks.spawn("broken", Ends::Done, async { panic!("on purpose, {}", 7) });
        let ended = soon(&mut tasks).await;
        assert!(ended.to_string().contains("`broken` has panicked: on purpose, 7"), "{ended}");
    }

    #[tokio::test]
    async fn a_helpers_panic_is_its_tasks() {
        let mut tasks = Tasks::default();
        tasks.spawn("parent", Ends::Never, async {
            share_panic(tokio::spawn(async { panic!("the helper") }).await);
            std::future::pending().await
        });
        let ended = soon(&mut tasks).await;
        assert_eq!(ended, TaskEnded { task: "parent", how: How::Panicked { why: "the helper".to_owned() } });
    }
}
