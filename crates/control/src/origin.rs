//! Who has the cluster do something.
//!
//! *Invariant:* an order of an operator is applied only while the state names its key with the role that the command needs
//! ([`Command::role`]). Beside that `apply` branches on no origin: it is written down, by [`crate::Audit`].

use crate::command::Command;
use crate::security::Security;
use ironcache_types::{KeyHash, NodeId};
use std::collections::BTreeMap;

/// By what an order came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The cluster is insecure: whoever reached a port, and nobody knows who that was.
    Insecure,
    /// The operator of this key, proved to the node that proposed for them.
    Operator(KeyHash),
    /// A node for itself, or whoever holds its directory (`--as-node`).
    Node(NodeId),
    /// Nobody asked: the policy, or what follows from what an operator began.
    Policy,
}

/// Who asked, from where, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub by: Credential,
    /// The address that the request came from. `None`: it came from the node itself.
    pub from: Option<String>,
    /// The clock of the node that proposed, Unix ms.
    pub at_ms: u64,
}

/// What is proposed, and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub command: Command,
    /// `None`: nobody asked, and nobody says when.
    pub origin: Option<Origin>,
}

impl From<Command> for Proposal {
    fn from(command: Command) -> Self {
        Proposal { command, origin: None }
    }
}

impl Origin {
    /// What the cluster does by itself.
    pub fn policy(at_ms: u64) -> Self {
        Origin { by: Credential::Policy, from: None, at_ms }
    }

    /// What `node` does by itself.
    pub fn node(node: NodeId, at_ms: u64) -> Self {
        Origin { by: Credential::Node(node), from: None, at_ms }
    }

    pub fn asks(self, command: Command) -> Proposal {
        Proposal { command, origin: Some(self) }
    }
}

impl Credential {
    /// As the audit chain has it; an operator by the name that the cluster knew when the order was applied.
    pub(crate) fn words(self, known: &Security) -> BTreeMap<String, String> {
        let mut words = BTreeMap::new();
        let mut say = |key: &str, value: String| {
            words.insert(key.to_owned(), value);
        };
        match self {
            Credential::Insecure => say("credential", "insecure".to_owned()),
            Credential::Operator(key) => {
                say("credential", "operator".to_owned());
                say("key", key.to_string());
                if let Some(name) = known.operator_name(key) {
                    say("name", name.to_owned());
                }
            }
            Credential::Node(node) => {
                say("credential", "node".to_owned());
                say("node", node.to_string());
            }
            Credential::Policy => say("credential", "policy".to_owned()),
        }
        words
    }
}
