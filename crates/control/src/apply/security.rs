//! Keys: those that a cluster begins with, those of nodes that join, and operators that come and go.
//!
//! *Invariant:* an admin is left, always: without one nobody could make another, but whoever reads a node's disk.
//! *Invariant:* who asks is looked at when the entry is applied, whatever it is about: what an operator proposed before it was
//! revoked, or by a node that had not heard of that, and the log took after, is refused.

use super::Result;
use crate::command::{Command, InitCluster};
use crate::origin::{Credential, Origin};
use crate::rejection::{Applied, Rejection};
use crate::security::{Admitted, AskedBy, Keys, NewOperator, NewSecurity, Operator, OperatorRole, Security};
use crate::state::ControlState;
use ironcache_types::{Digest, KeyHash, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// What a new cluster knows of its members.
pub(super) fn first_security(init: &InitCluster) -> Result<Security> {
    let bad = |detail: &str| Err(Rejection::BadLayout { detail: detail.to_owned() });
    let (nodes, NewOperator { key, name }, codes) = match &init.security {
        NewSecurity::Insecure => return Ok(Security::Insecure),
        NewSecurity::Keys { nodes, admin, codes } => (nodes, admin, codes),
    };
    let named: BTreeSet<NodeId> = init.nodes.iter().map(|spec| spec.member.node).collect();
    if !named.iter().eq(nodes.keys()) {
        return bad("every node has one key, and nobody else");
    }
    let keys: BTreeSet<&KeyHash> = nodes.values().chain([key]).collect();
    if keys.len() != nodes.len() + 1 {
        return bad("two nodes, or a node and the operator, have one key");
    }
    check_name(name)?;
    let admin = Operator { name: name.clone(), role: OperatorRole::Admin };
    let operators = BTreeMap::from([(*key, admin)]);
    let mut keys = Keys { nodes: nodes.clone(), operators, ..Keys::default() };
    codes.iter().for_each(|code| keys.note_used(*code));
    Ok(Security::Keys(keys))
}

impl ControlState {
    /// May a node come in with what was proved of it?
    pub(super) fn check_admitted(&self, node: NodeId, admitted: Option<&Admitted>) -> Result<()> {
        match (&self.security, admitted) {
            (Security::Insecure, None) => Ok(()),
            (Security::Insecure, Some(_)) => Err(Rejection::Insecure),
            (Security::Keys(_), None) => Err(Rejection::NotAdmitted { node }),
            (Security::Keys(keys), Some(Admitted { key, code })) => {
                check_free(keys, *key)?;
                match keys.codes.contains(code) {
                    true => Err(Rejection::CodeUsed { node }),
                    false => Ok(()),
                }
            }
        }
    }

    /// Pins what [`ControlState::check_admitted`] found good.
    pub(super) fn pin(&mut self, node: NodeId, admitted: Option<&Admitted>) {
        if let (Security::Keys(keys), Some(Admitted { key, code })) = (&mut self.security, admitted) {
            keys.nodes.insert(node, *key);
            keys.note_used(*code);
        }
    }

    /// Is the operator in whose name it is proposed one who may?
    pub(super) fn check_asked(&self, origin: Option<&Origin>, command: &Command) -> Result<()> {
        let (Security::Keys(keys), Some(Credential::Operator(key))) =
            (&self.security, origin.map(|origin| origin.by))
        else {
            return Ok(());
        };
        let needed = command.role();
        match keys.operators.get(&key).is_some_and(|asks| asks.role >= needed) {
            true => Ok(()),
            false => Err(Rejection::NotAllowed { needed }),
        }
    }

    /// Raft has let the node go: nobody waits for its vote any more, and its key opens nothing. Whose it was is remembered.
    pub(super) fn unpin(&mut self, node: NodeId) {
        match &mut self.security {
            Security::Insecure => {}
            Security::Keys(keys) => {
                keys.gone.extend(keys.nodes.remove(&node).map(|key| (node, key)));
                while keys.gone.len() > ControlState::REMOVED_MAX {
                    keys.gone.pop_front();
                }
            }
        }
    }

    pub(super) fn add_operator(
        &mut self,
        by: AskedBy,
        key: KeyHash,
        name: &str,
        role: OperatorRole,
    ) -> Result {
        let operator = Operator { name: name.to_owned(), role };
        let keys = self.keys_for(by)?;
        if keys.operators.get(&key) == Some(&operator) {
            return Ok(Applied::Unchanged);
        }
        check_free(keys, key)?;
        check_name(name)?;
        if keys.operators.values().any(|other| other.name == name) {
            return Err(Rejection::NameTaken { name: name.to_owned() });
        }
        if keys.operators.len() >= Keys::OPERATORS_MAX {
            return Err(Rejection::TooManyOperators { max: Keys::OPERATORS_MAX });
        }
        keys.operators.insert(key, operator);
        self.fresh_epoch();
        self.changed()
    }

    pub(super) fn revoke_operator(&mut self, by: AskedBy, key: KeyHash) -> Result {
        let keys = self.keys_for(by)?;
        let operator = keys.operators.get(&key).ok_or(Rejection::UnknownOperator { key })?;
        if operator.role == OperatorRole::Admin && keys.admins() == 1 {
            return Err(Rejection::LastAdmin { name: operator.name.clone() });
        }
        keys.operators.remove(&key);
        self.fresh_epoch();
        self.changed()
    }

    /// The keys, for somebody who may change who operates.
    fn keys_for(&mut self, by: AskedBy) -> Result<&mut Keys> {
        let keys = match &mut self.security {
            Security::Insecure => return Err(Rejection::Insecure),
            Security::Keys(keys) => keys,
        };
        let may = match by {
            AskedBy::Operator(key) => {
                keys.operators.get(&key).is_some_and(|asks| asks.role >= OperatorRole::Admin)
            }
            // A node that raft still lets go has a key, and is no member.
            AskedBy::Node(node) => self.nodes.contains_key(&node),
        };
        if may { Ok(keys) } else { Err(Rejection::NotAllowed { needed: OperatorRole::Admin }) }
    }
}

impl Keys {
    /// One code, one node.
    fn note_used(&mut self, code: Digest) {
        self.codes.retain(|used| *used != code);
        self.codes.push_back(code);
        while self.codes.len() > Keys::CODES_MAX {
            self.codes.pop_front();
        }
    }
}

fn check_free(keys: &Keys, key: KeyHash) -> Result<()> {
    if keys.holder(key).is_some() { Err(Rejection::KeyTaken { key }) } else { Ok(()) }
}

/// Names are for people: one line, and not empty.
fn check_name(name: &str) -> Result<()> {
    let fits = !name.trim().is_empty() && name.len() <= Keys::NAME_BYTES_MAX;
    if fits && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Rejection::BadName { name: name.escape_debug().to_string(), bytes_max: Keys::NAME_BYTES_MAX })
    }
}
