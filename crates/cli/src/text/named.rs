//! Who a node is: behind its id, its address.
//!
//! The sentences of this module's siblings are made of reasons, and a reason names a node by its id alone: what a person
//! types into `redis-cli`, or looks for in a unit file, is the address. It is put in here, once for all of them, so that no
//! sentence can forget it.

use ironcache_api::{ControlView, UpgradeStatus};
use std::collections::BTreeMap;

/// Addresses by the id's text: 16 hex digits, of which two nodes never have the same.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    pub fn of_upgrade(status: &UpgradeStatus) -> Self {
        Self(status.nodes.iter().map(|node| (node.node.to_string(), node.client_addr.clone())).collect())
    }

    pub fn of_control(control: &ControlView) -> Self {
        Self(control.nodes.iter().map(|(id, node)| (id.to_string(), node.client_addr.clone())).collect())
    }

    /// `line` with the address behind the id of every node that is known, unless it stands in the line already.
    pub fn named(&self, line: &str) -> String {
        let missing = self.0.iter().filter(|(id, addr)| line.contains(*id) && !line.contains(*addr));
        missing.fold(line.to_owned(), |line, (id, addr)| line.replace(id, &format!("{id} ({addr})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::waiting_on;
    use ironcache_api::WaitingOn;
    use ironcache_types::{NodeId, ShardId};

    fn names() -> Names {
        Names(
            [(NodeId(2), "10.0.0.2:6379"), (NodeId(3), "[::1]:7000")]
                .map(|(id, addr)| (id.to_string(), addr.to_owned()))
                .into(),
        )
    }

    #[test]
    fn every_node_of_a_sentence_is_told_with_its_address() {
        let wait = WaitingOn::NotAttached { shard: ShardId(1), node: NodeId(2) };
        assert_eq!(
            names().named(&waiting_on(&wait)),
            "replica 0000000000000002 (10.0.0.2:6379) is not attached to the primary of shard 1"
        );
        assert_eq!(
            names().named("0000000000000003 and 0000000000000002"),
            "0000000000000003 ([::1]:7000) and 0000000000000002 (10.0.0.2:6379)"
        );
    }

    #[test]
    fn an_address_is_told_once_and_a_stranger_has_none() {
        let line = "node 0000000000000002 (10.0.0.2:6379) joins";
        assert_eq!(names().named(line), line);
        assert_eq!(names().named("node 0000000000000009 joins"), "node 0000000000000009 joins");
    }
}
