//! A node that left for good, and may not know it: it was away, or cut off, while the others let it go.
//!
//! Nobody sends it the log any more, so its own view will never say so. The others know it by name, and say so to
//! whatever it asks them; so it asks, as long as its log does not move.
//!
//! *Invariant:* what was once told is final: this process takes no role any more, and says why.

use crate::app::App;
use ironcache_raft::{AskError, REMOVED};
use std::sync::Arc;
use std::time::Duration;

/// How often a node whose log stands still asks. Oftener, and a quiet cluster would talk about nothing; more seldom, and
/// whoever starts a machine that was removed waits for the reason.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// Runs until this node is told that it was removed.
pub(crate) async fn watch(app: Arc<App>) {
    let mut seen = None;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let view = Arc::clone(&app.raft.applied().borrow());
        let applied = Some(view.index);
        if view.state.removed.contains(&app.me.node) {
            return told(&app);
        }
        let stands_still = std::mem::replace(&mut seen, applied) == applied;
        if app.raft.cluster().is_none() || !stands_still {
            continue;
        }
        if let Err(AskError::Refused(refusal)) = app.raft.confirm_index().await
            && refusal.code == REMOVED
        {
            return told(&app);
        }
    }
}

fn told(app: &App) {
    tracing::error!("{}", text(app));
    app.mark_removed();
    app.leave();
}

/// What whoever looks at such a node is told.
pub(crate) fn text(app: &App) -> String {
    format!(
        "this node was removed from the cluster; stop it. To use its machine again, empty its data directory ({}), start it, \
         and add it as a new node (`ironcache cluster add-node`)",
        app.config.data_dir.display()
    )
}
