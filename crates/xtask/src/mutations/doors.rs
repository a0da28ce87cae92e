//! Who may do what.

use super::Mutation;

/// A cluster with keys, as members, operators and strangers meet it.
const KEYED: &[&str] = &["-p", "ironcache-node", "--lib", "keyed"];

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
    Mutation {
        name: "a-member-says-hello-as-another",
        breaks: "a member is streamed to, and acknowledges, in the name of another one",
        file: "crates/node/src/data/source.rs",
        guard: "        Some(proved) if proved != said => Err(Refusal::NotItself { proved, said }),",
        instead: "        Some(proved) if proved != said && said.0 == 0 => Err(Refusal::NotItself { proved, said }),",
        tests: KEYED,
    },
    Mutation {
        name: "a-member-asks-in-the-name-of-another",
        breaks: "a member registers a life of another one, and deposes it",
        file: "crates/raft/src/network/server.rs",
        guard: "        if let Some(speaks_for) = node.speaks_for(&ask) {",
        instead: "        if let Some(speaks_for) = None {",
        tests: &["-p", "ironcache-raft", "--test", "raft", "peer_port"],
    },
    Mutation {
        name: "an-unknown-key-is-a-members",
        breaks: "a stranger who has a key of its own owns the cluster",
        file: "crates/node/src/doors/gate.rs",
        guard: "            None => NotAllowed::UnknownKey(key),",
        instead: "            None => return next.run(request).await,",
        tests: KEYED,
    },
    Mutation {
        name: "a-new-node-is-bound-without-its-code",
        breaks: "whoever reaches a new node first has it",
        file: "crates/node/src/http/join.rs",
        guard: "    caller.key().filter(|_| caller.has_met()).ok_or_else(|| {",
        instead: "    caller.key().ok_or_else(|| {",
        tests: KEYED,
    },
    Mutation {
        name: "the-connection-of-a-revoked-key-stays",
        breaks: "whoever was connected when the key was revoked goes on",
        file: "crates/node/src/doors/caller.rs",
        guard: "            if was_named && !named {",
        instead: "            if was_named && !named && key.0.0 == [0; 32] {",
        tests: KEYED,
    },
    Mutation {
        name: "a-text-is-as-long-as-it-claims-to-be",
        breaks: "a few hundred bytes of a peer, or of a file, take megabytes of memory",
        file: "crates/formats/src/wire/within.rs",
        guard: "        self.0.deserialize_str(Within(visitor))",
        instead: "        self.0.deserialize_string(Within(visitor))",
        tests: &["-p", "ironcache-formats", "--test", "it", "fuzz_bodies"],
    },
    Mutation {
        name: "a-list-is-as-long-as-it-claims-to-be",
        breaks: "lists within lists of a peer take a megabyte of memory each",
        file: "crates/formats/src/wire/within.rs",
        guard: "        self.0.visit_seq(Within(elements))",
        instead: "        self.0.visit_seq(elements)",
        tests: &["-p", "ironcache-formats", "--test", "it", "fuzz_bodies"],
    },
];
