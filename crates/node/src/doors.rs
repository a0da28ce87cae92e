//! Who is spoken to, and who is obeyed: by keys, wherever somebody comes from.
//!
//! ```text
//!   applied state ─┬─ Keys ──────────► whom the log names
//!                  ├─ Insecure ──────► everybody, if `insecure` permits it and nobody has bound the node; else nobody
//!                  └─ none yet ─┬─ bound ──────► whom the node was told when it was met (`binding`)
//!                               ├─ `insecure` ─► everybody
//!                               └─ else ───────► nobody: who proves the join code may bind it
//!
//!   caller ─► TLS or plain (`wire`) ─► whose key? (`Caller`) ─► gate: may that one do this? ─► handler
//!   Dial ─► the pin of the node that is meant ─► TLS ─► a connection on which nobody else answers
//! ```
//! *Invariant:* what a connection may is decided at each request, by the state as it is applied then.
//! *Invariant:* a node that was bound once, or that does not permit it, believes nobody for where they come from, whatever its
//! log says.
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
pub(crate) use heard::{Heard, PINS_PATH, follow, pins};
pub(crate) use start::CODE_KEPT_FOR;
pub use start::StartError;
pub(crate) use wire::{Opened, Wire, open};

use crate::config::Config;
use crate::keepalive::Keepalive;
use ironcache_control::{Holder, OperatorRole, Security};
use ironcache_identity::{JoinCode, Tls};
use ironcache_raft::{AppliedView, MayJoin};
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
    /// Of every connection that goes out or comes in here.
    pub keepalive: Keepalive,
    config: Arc<Config>,
    dir: PathBuf,
    /// What a new node obeys before it belongs to a cluster, if it obeys anything.
    code: Option<Code>,
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
    /// Of members whose logs are ahead of this node's.
    heard: Option<Arc<Heard>>,
}

/// A join code, and how the node came to it.
#[derive(Clone, Debug)]
struct Code {
    code: JoinCode,
    by: CodeBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CodeBy {
    /// This node, which has to tell it.
    Drawn,
    /// Whoever gave it knows it, and its file says who may read it.
    Given,
}

/// By what callers are known now.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// Everybody is believed.
    Open,
    /// The log's pins.
    Keys(Arc<AppliedView>),
    /// The log's pins, and nodes that members add whose logs are ahead of this node's.
    Heard(Arc<AppliedView>, Arc<Heard>),
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
            let known = self.known();
            if view.state.security == Security::Insecure {
                let is_open = self.config.insecure && known.binding.is_none();
                return if is_open { Mode::Open } else { Mode::Locked };
            }
            let heard = known.heard.clone().filter(|heard| heard.until > view.index);
            return match heard {
                Some(heard) => Mode::Heard(view, heard),
                None => Mode::Keys(view),
            };
        }
        let known = self.known();
        match (&known.binding, self.config.insecure) {
            (Some(binding), _) => match &known.heard {
                Some(heard) => {
                    let mut nodes = heard.added.clone();
                    nodes.extend(&binding.nodes);
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
                Who::Unknown(key) => match member(&heard.added) {
                    Some(Who::Member(node)) if is_news(&view, node, key) => Who::Member(node),
                    Some(_) | None => Who::Unknown(key),
                },
                known => known,
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
            Mode::Keys(view) => pins_of(&view).cloned(),
            Mode::Heard(view, heard) => {
                let added = heard.added.iter().filter(|(node, key)| is_news(&view, **node, **key));
                let mut pins: BTreeMap<_, _> = added.map(|(node, key)| (*node, *key)).collect();
                pins.extend(pins_of(&view).into_iter().flatten());
                Some(pins)
            }
            Mode::Bound(binding) => Some(binding.nodes.clone()),
            Mode::Locked => Some(BTreeMap::new()),
        }
    }

    /// What is known may have changed: whoever waits for that is told if it has.
    fn look(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Follows the log for as long as there is one: at each change of its keys whoever waits is told; and so is whoever reads
    /// this node's lines, where it asks nobody who they are.
    pub(crate) async fn watch(self: Arc<Self>) {
        let Some(mut views) = self.views.get().cloned() else { return };
        let of = |view: &AppliedView| (view.state.cluster_id, view.state.security.clone());
        let mut security = of(&views.borrow_and_update());
        self.look();
        let mut told = None;
        loop {
            if let Some(warning) = self.warning().filter(|warning| told != Some(*warning)) {
                tracing::warn!("{warning}");
                told = Some(warning);
            }
            if views.changed().await.is_err() {
                break;
            }
            let now = of(&views.borrow_and_update());
            if now != security {
                security = now;
                self.unhear();
                self.look();
            }
        }
        // Raft has ended: nothing is learned any more.
        std::future::pending().await
    }

    /// What whoever runs this node has to know.
    fn warning(&self) -> Option<&'static str> {
        let has_cluster = self.views.get().is_some_and(|views| views.borrow().state.cluster_id.is_some());
        match (self.mode(), has_cluster) {
            (Mode::Open, true) => Some(
                "this cluster is insecure: whoever reaches a peer or HTTP port of its nodes is believed; keep strangers away \
                 from them",
            ),
            (Mode::Open, false) => Some(
                "this node is new, and `insecure` permits it to believe whoever reaches its peer or HTTP port: the first one \
                 who founds a cluster with it has it",
            ),
            (Mode::Locked, true) => Some(
                "this node's log is of an insecure cluster, and the node was bound to one with keys, or its settings do not \
                 permit that: it obeys nobody, and calls nobody",
            ),
            (Mode::Locked, false) | (Mode::Bound(_) | Mode::Keys(_) | Mode::Heard(..), _) => None,
        }
    }

    /// The node that had this key until it left for good: it is told so.
    fn removed(&self, key: KeyHash) -> Option<NodeId> {
        self.views.get()?.borrow().state.security.gone(key)
    }

    /// What binds this node, if somebody has bound it.
    pub(crate) fn binding(&self) -> Option<Arc<Binding>> {
        self.known().binding.clone()
    }

    /// The code that this node obeys, for as long as it belongs to no cluster.
    pub(crate) fn code(&self) -> Option<&JoinCode> {
        self.obeyed().map(|Code { code, by: _ }| code)
    }

    /// The code that somebody has to be told, who carries it to where the cluster is made.
    pub(crate) fn code_to_tell(&self) -> Option<&JoinCode> {
        self.obeyed().filter(|Code { code: _, by }| *by == CodeBy::Drawn).map(|Code { code, by: _ }| code)
    }

    fn obeyed(&self) -> Option<&Code> {
        let founded = self.views.get().is_some_and(|views| views.borrow().state.cluster_id.is_some());
        self.code.as_ref().filter(|_| !founded)
    }

    /// From now on this node obeys those whom the binding names; durably.
    pub(crate) fn bind(&self, binding: Binding) -> Result<(), BindingError> {
        binding.write(&self.dir)?;
        self.known().binding = Some(Arc::new(binding));
        self.look();
        Ok(())
    }
}

impl MayJoin for Doors {
    fn may_join(&self, cluster: ClusterId) -> bool {
        match self.mode() {
            Mode::Open | Mode::Keys(_) | Mode::Heard(..) => true,
            Mode::Bound(binding) => binding.cluster == cluster,
            Mode::Locked => false,
        }
    }
}

/// Whom the log names.
fn pins_of(view: &AppliedView) -> Option<&BTreeMap<NodeId, KeyHash>> {
    match &view.state.security {
        Security::Keys(keys) => Some(&keys.nodes),
        Security::Insecure => None,
    }
}

/// May a node of which this log says nothing be added: is it none that it names or has let go, and its key nobody's?
fn is_news(view: &AppliedView, node: NodeId, key: KeyHash) -> bool {
    let state = &view.state;
    state.security.pin(node).is_none()
        && !state.removed.contains(&node)
        && state.security.holder(key).is_none()
        && state.security.gone(key).is_none()
}

#[cfg(test)]
mod tests;
