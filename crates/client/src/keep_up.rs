//! The nodes of a cluster change, and the pins follow: see [`crate::pins`] for whom they follow.
//!
//! A node answers for its leader. So the second word is that of a node that takes part in the cluster's log and goes by the
//! same leader, and not one of another mind: against a key that the cluster let go it is all that is needed.
//!
//! *Invariant:* whoever asks waits a moment at most, and is told nothing of it: what was not confirmed is left to the next time.

use crate::access::Keyed;
use crate::client::Client;
use crate::pins::Words;
use futures_util::StreamExt;
use hyper::StatusCode;
use ironcache_api::{ClusterStatus, ControlView};
use ironcache_types::KeyHash;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A node that is up answers in some milliseconds. Longer, and `cluster status` is slow whenever a node is down.
const SECOND_WORD_WITHIN: Duration = Duration::from_secs(2);

/// One that is away keeps nobody waiting for the others; more would call a whole cluster for one answer.
const ASKED_AT_ONCE: usize = 4;

impl Client {
    /// After the node with the key `by` has said what the cluster looks like.
    pub(crate) async fn keep_up(&self, keyed: &Keyed, control: &ControlView, by: KeyHash) {
        let mut words = Words::of(by, named(control));
        let Some(seconds) = keyed.hear(&words).map(Arc::new) else { return };
        let mut addrs: BTreeSet<String> = self.known().into_iter().collect();
        addrs.extend(control.nodes.values().map(|node| node.http_addr.clone()));
        let words_at = futures_util::stream::iter(addrs)
            .map(|addr| self.word_at(addr, Arc::clone(&seconds), control))
            .buffer_unordered(ASKED_AT_ONCE);
        let agree = async {
            let mut words_at = std::pin::pin!(words_at);
            while let Some(told) = words_at.next().await {
                let Some((second, named)) = told else { continue };
                words.and(second, &named);
                if keyed.agree(&words) {
                    return;
                }
            }
        };
        // Whoever is away has no word.
        let _ = tokio::time::timeout(SECOND_WORD_WITHIN, agree).await;
    }

    /// Whom the node at `addr`, one of `seconds`, names; nobody, if it is another one or speaks of another cluster.
    async fn word_at(
        &self,
        addr: String,
        seconds: Arc<BTreeSet<KeyHash>>,
        control: &ControlView,
    ) -> Option<(KeyHash, BTreeSet<KeyHash>)> {
        let answer = self.wire.ask_one_of(&addr, "/v1/cluster", seconds).await.ok()?;
        let status: ClusterStatus = match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body).ok()?,
            _ => return None,
        };
        (status.control.cluster_id == control.cluster_id)
            .then(|| Some((answer.by?, named(&status.control))))?
    }
}

fn named(control: &ControlView) -> BTreeSet<KeyHash> {
    control.pins.values().copied().collect()
}
