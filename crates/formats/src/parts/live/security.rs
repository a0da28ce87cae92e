//! Keys.

use crate::parts::v1::security::{Admitted, AskedBy, NewSecurity, Operator, OperatorRole, Security};
use ironcache_control as live;
use ironcache_types::{Digest, KeyHash, NodeId};
use std::collections::BTreeMap;

fn bytes(KeyHash(Digest(bytes)): KeyHash) -> [u8; 32] {
    bytes
}

fn key(bytes: [u8; 32]) -> KeyHash {
    KeyHash(Digest(bytes))
}

fn pins(nodes: &BTreeMap<NodeId, KeyHash>) -> BTreeMap<u64, [u8; 32]> {
    nodes.iter().map(|(node, pinned)| (node.0, bytes(*pinned))).collect()
}

fn live_pins(nodes: BTreeMap<u64, [u8; 32]>) -> BTreeMap<NodeId, KeyHash> {
    nodes.into_iter().map(|(node, pinned)| (NodeId(node), key(pinned))).collect()
}

impl From<&live::Security> for Security {
    fn from(security: &live::Security) -> Self {
        match security {
            live::Security::Insecure => Security::Insecure,
            live::Security::Keys(live::Keys { nodes, operators, codes, gone }) => Security::Keys {
                nodes: pins(nodes),
                operators: operators.iter().map(|(key, operator)| (bytes(*key), operator.into())).collect(),
                codes: codes.iter().map(|code| code.0).collect(),
                gone: gone.iter().map(|(node, key)| (node.0, bytes(*key))).collect(),
            },
        }
    }
}

impl From<Security> for live::Security {
    fn from(security: Security) -> Self {
        match security {
            Security::Insecure => live::Security::Insecure,
            Security::Keys { nodes, operators, codes, gone } => live::Security::Keys(live::Keys {
                nodes: live_pins(nodes),
                operators: operators.into_iter().map(|(of, operator)| (key(of), operator.into())).collect(),
                codes: codes.into_iter().map(Digest).collect(),
                gone: gone.into_iter().map(|(node, of)| (NodeId(node), key(of))).collect(),
            }),
        }
    }
}

impl From<&live::Operator> for Operator {
    fn from(live::Operator { name, role }: &live::Operator) -> Self {
        Operator { name: name.clone(), role: (*role).into() }
    }
}

impl From<Operator> for live::Operator {
    fn from(Operator { name, role }: Operator) -> Self {
        live::Operator { name, role: role.into() }
    }
}

impl From<live::OperatorRole> for OperatorRole {
    fn from(role: live::OperatorRole) -> Self {
        match role {
            live::OperatorRole::Viewer => OperatorRole::Viewer,
            live::OperatorRole::Operator => OperatorRole::Operator,
            live::OperatorRole::Admin => OperatorRole::Admin,
        }
    }
}

impl From<OperatorRole> for live::OperatorRole {
    fn from(role: OperatorRole) -> Self {
        match role {
            OperatorRole::Viewer => live::OperatorRole::Viewer,
            OperatorRole::Operator => live::OperatorRole::Operator,
            OperatorRole::Admin => live::OperatorRole::Admin,
        }
    }
}

impl From<&live::NewSecurity> for NewSecurity {
    fn from(security: &live::NewSecurity) -> Self {
        match security {
            live::NewSecurity::Insecure => NewSecurity::Insecure,
            live::NewSecurity::Keys { nodes, admin: live::NewOperator { key, name }, codes } => {
                NewSecurity::Keys {
                    nodes: pins(nodes),
                    admin_key: bytes(*key),
                    admin_name: name.clone(),
                    codes: codes.iter().map(|code| code.0).collect(),
                }
            }
        }
    }
}

impl From<NewSecurity> for live::NewSecurity {
    fn from(security: NewSecurity) -> Self {
        match security {
            NewSecurity::Insecure => live::NewSecurity::Insecure,
            NewSecurity::Keys { nodes, admin_key, admin_name, codes } => live::NewSecurity::Keys {
                nodes: live_pins(nodes),
                admin: live::NewOperator { key: key(admin_key), name: admin_name },
                codes: codes.into_iter().map(Digest).collect(),
            },
        }
    }
}

impl From<live::Admitted> for Admitted {
    fn from(live::Admitted { key, code }: live::Admitted) -> Self {
        Admitted { key: bytes(key), code: code.0 }
    }
}

impl From<Admitted> for live::Admitted {
    fn from(Admitted { key: pinned, code }: Admitted) -> Self {
        live::Admitted { key: key(pinned), code: Digest(code) }
    }
}

impl From<live::AskedBy> for AskedBy {
    fn from(by: live::AskedBy) -> Self {
        match by {
            live::AskedBy::Operator(key) => AskedBy::Operator(bytes(key)),
            live::AskedBy::Node(node) => AskedBy::Node(node.0),
        }
    }
}

impl From<AskedBy> for live::AskedBy {
    fn from(by: AskedBy) -> Self {
        match by {
            AskedBy::Operator(of) => live::AskedBy::Operator(key(of)),
            AskedBy::Node(node) => live::AskedBy::Node(NodeId(node)),
        }
    }
}
