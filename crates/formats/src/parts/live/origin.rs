//! Who asked.

use crate::parts::v1::origin::{Credential, Origin};
use ironcache_control as live;
use ironcache_types::{Digest, KeyHash, NodeId};

impl From<&live::Origin> for Origin {
    fn from(live::Origin { by, from, at_ms }: &live::Origin) -> Self {
        let by = match *by {
            live::Credential::Insecure => Credential::Insecure,
            live::Credential::Operator(KeyHash(Digest(key))) => Credential::Operator(key),
            live::Credential::Node(node) => Credential::Node(node.0),
            live::Credential::Policy => Credential::Policy,
        };
        Origin { by, from: from.clone(), at_ms: *at_ms }
    }
}

impl From<Origin> for live::Origin {
    fn from(Origin { by, from, at_ms }: Origin) -> Self {
        let by = match by {
            Credential::Insecure => live::Credential::Insecure,
            Credential::Operator(key) => live::Credential::Operator(KeyHash(Digest(key))),
            Credential::Node(node) => live::Credential::Node(NodeId(node)),
            Credential::Policy => live::Credential::Policy,
        };
        live::Origin { by, from, at_ms }
    }
}
