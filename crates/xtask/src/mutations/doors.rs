//! Who may do what.

use super::Mutation;

pub(super) const ROWS: &[Mutation] = &[
    Mutation {
        name: "any-node-answers-for-the-pinned-one",
        breaks: "a stranger with a key of its own is taken for a member",
        file: "crates/identity/src/tls.rs",
        guard: "            Expect::Key(expected) => *expected == key,",
        instead: "            Expect::Key(expected) => *expected == key || key != *expected,",
        tests: &["-p", "ironcache-identity", "--test", "links"],
    },
    Mutation {
        name: "a-proof-of-the-code-is-carried-to-another-connection",
        breaks: "somebody in the middle is taken for whoever holds the join code",
        file: "crates/identity/src/join_code.rs",
        guard: "    [side, exported, called, &caller].concat()",
        instead: "    [side, &exported[..0], called, &caller].concat()",
        tests: &["-p", "ironcache-identity"],
    },
    Mutation {
        name: "an-operator-orders-whoever-answers",
        breaks: "what answers at a node's address is given an admin's orders, whoever it is",
        file: "crates/client/src/wire.rs",
        guard: "                let (connection, _) = secure(stream, keyed.tls(), Expect::OneOf(keyed.pins())).await?;",
        instead: "                let (connection, _) = secure(stream, keyed.tls(), Expect::Anybody).await?;",
        tests: &["-p", "ironcache-client", "--test", "keyed", "a_node_with_another_key"],
    },
    Mutation {
        name: "a-node-without-the-code-is-bound",
        breaks: "somebody in the middle is taken into the cluster in place of the node that printed the code",
        file: "crates/client/src/join.rs",
        guard: "    if !code.is_proved_by(&Proof(proof), Side::Called, &session) {",
        instead: "    if false && !code.is_proved_by(&Proof(proof), Side::Called, &session) {",
        tests: &["-p", "ironcache-client", "--test", "keyed", "a_node_that_does_not_hold"],
    },
    Mutation {
        name: "another-cluster-is-believed",
        breaks: "credentials of one cluster take over the nodes of another",
        file: "crates/client/src/client.rs",
        guard: "                && ours != theirs",
        instead: "                && ours != theirs\n                && ours == theirs",
        tests: &["-p", "ironcache-client", "--test", "keyed", "credentials_follow"],
    },
];
