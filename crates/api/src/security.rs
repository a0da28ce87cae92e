//! By what a cluster knows its members and its operators.

use crate::unknown::words;
use ironcache_types::{ClusterId, Digest, KeyHash, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

words! {
    /// Chosen when the cluster is created.
    pub enum SecurityMode {
        /// It knows nobody: whoever reaches a peer or HTTP port is believed.
        Insecure = "insecure",
        /// Every node and every operator proves a key that the log pins.
        Keys = "keys",
    }
}

words! {
    /// What an operator may do: everything that the roles before it may, too.
    pub enum OperatorRole {
        Viewer = "viewer",
        Operator = "operator",
        Admin = "admin",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    pub key: KeyHash,
    pub name: String,
    pub role: OperatorRole,
}

/// `GET /v1/operators`: by name. None in a cluster that is insecure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operators {
    pub operators: Vec<Operator>,
}

words! {
    /// Whom a node believes, now.
    pub enum Believes {
        /// Everybody who reaches a port.
        Open = "open",
        /// Those whose keys the log of its cluster pins.
        Keys = "keys",
        /// Those whose keys it was told when it was met; its log has no entry yet.
        Bound = "bound",
        /// Nobody, but who proves the join code of a new node.
        Locked = "locked",
    }
}

/// `POST /v1/operators/add`: the holder of this key may operate the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddOperator {
    pub key: KeyHash,
    pub name: String,
    pub role: OperatorRole,
}

/// `POST /v1/operators/revoke`: the key opens nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeOperator {
    pub key: KeyHash,
}

/// What a new cluster with keys begins with. The first admin's key is the one that the request came under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateKeys {
    /// As every node was told when it was met ([`JoinBind`]).
    pub cluster: ClusterId,
    /// The first admin's name.
    pub admin: String,
    /// Of every node of the layout.
    pub nodes: BTreeMap<NodeId, KeyHash>,
    /// The hashes of the join codes by which they were met: none is good for another node.
    pub codes: Vec<Digest>,
}

/// How a node that joins a cluster with keys was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admitted {
    /// Its key, as it proved it.
    pub key: KeyHash,
    /// The hash of the join code that both sides proved.
    pub code: Digest,
}

/// `POST /v1/join/prove`: whoever sends it holds the join code. By TLS only, since it is proved for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinProve {
    /// 32 bytes.
    pub proof: Digest,
}

/// So does the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinProved {
    pub node: NodeId,
    pub proof: Digest,
}

/// `POST /v1/join/bind`, on the connection on which the code was proved: whom the node obeys from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinBind {
    pub cluster: ClusterId,
    /// Of every member, its own among them.
    pub nodes: BTreeMap<NodeId, KeyHash>,
}
