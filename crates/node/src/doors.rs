//! Who is spoken to, and who is obeyed: by keys, wherever somebody comes from.
//!
//! ```text
//!   applied state ─┬─ Keys ──────────► whom the log names
//!                  ├─ Insecure ──────► everybody
//!                  └─ none yet ─┬─ bound ──────► whom the node was told when it was met (`binding`)
//!                               ├─ `insecure` ─► everybody
//!                               └─ else ───────► nobody: who proves the join code may bind it
//!
//!   caller ─► TLS or plain (`wire`) ─► whose key? (`Caller`) ─► gate: may that one do this? ─► handler
//!   Dial ─► the pin of the node that is meant ─► TLS ─► a connection on which nobody else answers
//! ```
//! *Invariant:* what a connection may is decided at each request, by the state as it is applied then.
//! *Invariant:* a connection is closed when the state that is applied no longer names its key.
//! *Invariant:* a node of a cluster with keys neither calls nor answers anybody in plain text, but for the open reads.

mod binding;
mod caller;
mod dial;
mod gate;
mod heard;
mod start;
mod wire;

pub(crate) use binding::Binding;
pub use binding::BindingError;
pub(crate) use caller::{Caller, Revocation, Who};
pub(crate) use dial::KeyDial;
pub(crate) use gate::{http, identify, peer};
pub(crate) use heard::{PINS_PATH, Pins, follow, pins};
pub use start::StartError;
pub(crate) use wire::{Wire, open};

use crate::config::Config;
use ironcache_control::{Holder, OperatorRole, Security};
use ironcache_identity::{JoinCode, Tls};
use ironcache_raft::AppliedView;
use ironcache_types::{ClusterId, KeyHash, NodeId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// One node's.
#[derive(Debug)]
pub(crate) struct Doors {
    pub tls: Tls,
    config: Arc<Config>,
    dir: PathBuf,
    /// What a new node obeys before it belongs to a cluster, if it obeys anything.
    code: Option<JoinCode>,
    views: OnceLock<watch::Receiver<Arc<AppliedView>>>,
    known: Mutex<Known>,
    /// Counts the changes of what is known.
    changes: watch::Sender<u64>,
    generation: AtomicU64,
    /// The control plane's: keys are proved there, and not on the data thread.
    control: Option<Handle>,
    /// Somebody came whose key is not known here: the members may know it already.
    unknown: Notify,
}

/// What is known beside the log.
#[derive(Debug, Default)]
struct Known {
    binding: Option<Arc<Binding>>,
    /// Of a member whose log is ahead of this node's.
    heard: Option<Arc<Pins>>,
    /// Whose each key was that was ever named while this process runs.
    once: BTreeMap<KeyHash, NodeId>,
}

/// By what callers are known now.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// Everybody is believed.
    Open,
    /// The log's pins.
    Keys(Arc<AppliedView>),
    /// The log of a member that is ahead of this node's.
    Heard(Arc<AppliedView>, Arc<Pins>),
    /// No log yet: what the node was told when it was met.
    Bound(Arc<Binding>),
    /// Nobody is obeyed but who proves the join code.
    Locked,
}

impl Doors {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` where keys are proved.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match &self.control {
            Some(control) => control.spawn(work),
            None => tokio::spawn(work),
        }
    }

    /// From here on the log decides.
    pub(crate) fn attach(&self, views: watch::Receiver<Arc<AppliedView>>) {
        // A second log would be of the same node.
        let _ = self.views.set(views);
        self.look();
    }

    pub(crate) fn mode(&self) -> Mode {
        let view = self.views.get().map(|views| Arc::clone(&views.borrow()));
        if let Some(view) = view.filter(|view| view.state.cluster_id.is_some()) {
            if view.state.security == Security::Insecure {
                return Mode::Open;
            }
            let heard = self.known().heard.clone().filter(|heard| heard.index > view.index);
            return match heard {
                Some(heard) => Mode::Heard(view, heard),
                None => Mode::Keys(view),
            };
        }
        let known = self.known();
        match (&known.binding, self.config.insecure) {
            (Some(binding), _) => match &known.heard {
                Some(heard) => {
                    let nodes = heard.nodes.clone();
                    Mode::Bound(Arc::new(Binding { nodes, ..Binding::clone(binding) }))
                }
                None => Mode::Bound(Arc::clone(binding)),
            },
            (None, true) => Mode::Open,
            (None, false) => Mode::Locked,
        }
    }

    /// Whose key this is.
    pub(crate) fn holder(&self, key: KeyHash) -> Who {
        let member = |nodes: &BTreeMap<NodeId, KeyHash>| {
            nodes.iter().find(|(_, pinned)| **pinned == key).map(|(node, _)| Who::Member(*node))
        };
        let by_log = |view: &AppliedView| match view.state.security.holder(key) {
            Some(Holder::Node(node)) => Who::Member(node),
            Some(Holder::Operator(operator)) => {
                Who::Operator { key, name: operator.name.clone(), role: operator.role }
            }
            None => Who::Unknown(key),
        };
        match self.mode() {
            Mode::Open => Who::Open,
            Mode::Keys(view) => by_log(&view),
            Mode::Heard(view, heard) => match by_log(&view) {
                operator @ Who::Operator { .. } => operator,
                _ => member(&heard.nodes).unwrap_or(Who::Unknown(key)),
            },
            Mode::Bound(binding) if binding.admin == key => {
                Who::Operator { key, name: String::new(), role: OperatorRole::Admin }
            }
            Mode::Bound(binding) => member(&binding.nodes).unwrap_or(Who::Unknown(key)),
            Mode::Locked => Who::Unknown(key),
        }
    }

    /// The keys of the members, as far as this node knows; `None`: nobody has one.
    pub(crate) fn pins(&self) -> Option<BTreeMap<NodeId, KeyHash>> {
        match self.mode() {
            Mode::Open => None,
            Mode::Keys(view) => match &view.state.security {
                Security::Keys(keys) => Some(keys.nodes.clone()),
                Security::Insecure => None,
            },
            Mode::Heard(_, heard) => Some(heard.nodes.clone()),
            Mode::Bound(binding) => Some(binding.nodes.clone()),
            Mode::Locked => Some(BTreeMap::new()),
        }
    }

    /// What is known may have changed: whoever waits for that is told if it has.
    fn look(&self) {
        let pins = self.pins();
        {
            let mut known = self.known();
            let named = pins.iter().flatten().map(|(node, key)| (*key, *node));
            known.once.extend(named);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Follows the log for as long as there is one: at each change of its keys whoever waits is told.
    pub(crate) async fn watch(self: Arc<Self>) {
        let Some(mut views) = self.views.get().cloned() else { return };
        let mut security = views.borrow_and_update().state.security.clone();
        self.look();
        while views.changed().await.is_ok() {
            let view = Arc::clone(&views.borrow_and_update());
            if view.state.security != security {
                security = view.state.security.clone();
                self.look();
            }
        }
        // Raft has ended: nothing is learned any more.
        std::future::pending().await
    }

    /// The node that had this key once, if it left for good since: it is told so.
    fn removed(&self, key: KeyHash) -> Option<NodeId> {
        let node = *self.known().once.get(&key)?;
        let view = Arc::clone(&self.views.get()?.borrow());
        view.state.removed.contains(&node).then_some(node)
    }

    /// What binds this node, if somebody has bound it.
    pub(crate) fn binding(&self) -> Option<Arc<Binding>> {
        self.known().binding.clone()
    }

    /// The code that this node obeys, for as long as it belongs to no cluster.
    pub(crate) fn code(&self) -> Option<&JoinCode> {
        let founded = self.views.get().is_some_and(|views| views.borrow().state.cluster_id.is_some());
        self.code.as_ref().filter(|_| !founded)
    }

    /// From now on this node obeys those whom the binding names; durably.
    pub(crate) fn bind(
        &self,
        cluster: ClusterId,
        nodes: BTreeMap<NodeId, KeyHash>,
        admin: KeyHash,
    ) -> Result<(), BindingError> {
        let binding = Binding { cluster, nodes, admin };
        binding.write(&self.dir)?;
        self.known().binding = Some(Arc::new(binding));
        self.look();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
