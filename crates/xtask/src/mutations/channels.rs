//! Messages of channels.

use super::Mutation;

pub(super) const ROWS: &[Mutation] = &[
    Mutation {
        name: "a-late-batch-is-heard",
        breaks: "messages of one publisher are heard out of order, or twice",
        file: "crates/node/src/messages/hear.rs",
        guard: "            Some((of, last)) if of == incarnation && number <= last => {",
        instead: "            Some((of, last)) if of == incarnation && number <= last && last == u64::MAX => {",
        tests: &["-p", "ironcache-node", "--lib", "messages::"],
    },
    Mutation {
        name: "a-message-below-its-level",
        breaks: "a node of a release without messages is sent some",
        file: "crates/node/src/messages/mod.rs",
        guard: "    node.levels.admits(SINCE)",
        instead: "    node.levels.admits(SINCE) || node.id != NodeId(0)",
        tests: &["-p", "ironcache-node", "--lib", "data::tests::pubsub"],
    },
    Mutation {
        name: "a-message-after-it-was-left",
        breaks: "a client hears of a channel after it was confirmed to have left it",
        file: "crates/node/src/data/connection.rs",
        guard: "                inbox.catch_up(&mut self.client.session, &mut self.out);",
        instead: "                let _ = inbox;",
        tests: &["-p", "ironcache-node", "--lib", "data::tests::pubsub"],
    },
    Mutation {
        name: "a-listener-without-a-bound",
        breaks: "a client that never reads fills the node's memory with what others publish",
        file: "crates/node/src/data/client.rs",
        guard: "            if hard_bytes > 0 && bytes as u64 > hard_bytes {",
        instead: "            if hard_bytes == u64::MAX && bytes as u64 > hard_bytes {",
        tests: &["-p", "ironcache-node", "--lib", "data::tests::pubsub"],
    },
    Mutation {
        name: "a-lost-shard-is-not-told",
        breaks: "a client goes on listening at a node that is about to be restarted",
        file: "crates/node/src/data/perform.rs",
        guard: "        if owned && self.primary_epoch().is_none() {",
        instead: "        if owned && self.primary_epoch().is_none() && self.clients.is_empty() {",
        tests: &["-p", "ironcache-node", "--lib", "data::tests::pubsub"],
    },
];
